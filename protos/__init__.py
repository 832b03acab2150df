"""The contracts of the datacenter: `*.proto`, and beside them the Python code that `make protos` generates from them."""
