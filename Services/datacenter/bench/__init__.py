"""`run_datacenter.py bench`: what the datacenter costs, and what a centre would cost the application."""
