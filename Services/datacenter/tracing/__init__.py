"""What happened to a run, from what its application node knows of it: shown by `runs` and `trace` of `run_datacenter.py`."""
