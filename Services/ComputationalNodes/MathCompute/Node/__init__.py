"""The math Device, plain Python functions on integers and on arrays."""
