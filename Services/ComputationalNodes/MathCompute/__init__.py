"""The math node: exact integer arithmetic."""
