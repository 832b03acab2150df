"""The tests, by what they need: nothing, a virtual clock, a node, a datacenter."""
