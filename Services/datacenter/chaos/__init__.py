"""`run_datacenter.py chaos`: faults in a running datacenter under load, and a check of every answer and every file."""
