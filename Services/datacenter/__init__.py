"""The launcher behind `run_datacenter.py`: set-up, the ZooKeeper servers, the nodes' processes, the commands."""
