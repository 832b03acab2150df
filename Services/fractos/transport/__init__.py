"""How frames and calls travel between nodes."""
