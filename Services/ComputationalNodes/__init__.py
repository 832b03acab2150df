"""The computational nodes: arithmetic and neural networks."""
