"""The services of the mock datacenter: the operating-system layer, the devices, the launcher."""
