"""The storage Controller: the program that runs a storage node."""
