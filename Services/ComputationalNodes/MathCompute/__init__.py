"""The math node: exact integer arithmetic, and tensors times a number."""
