"""The entry point of CNN nodes."""
