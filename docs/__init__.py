"""The documentation, and the programs that make the pages of `docs/reference` of the code: see `docs/generator.py`."""
