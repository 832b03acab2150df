"""The application node."""
