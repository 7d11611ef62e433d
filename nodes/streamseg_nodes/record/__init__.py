"""The node that writes results to a folder, and what it is made of."""
