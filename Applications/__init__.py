"""Programs for the mock datacenter, and the application node that starts them."""
