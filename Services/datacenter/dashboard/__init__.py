"""`run_datacenter.py dashboard`: a page that shows the datacenter as it runs."""
