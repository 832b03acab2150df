"""The math Controller: the program that runs a math node."""
