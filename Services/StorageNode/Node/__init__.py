"""The storage Device, plain Python: names, files and what their bytes mean."""
