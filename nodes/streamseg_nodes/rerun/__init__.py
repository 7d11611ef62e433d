"""The node that shows results in Rerun, and what it is made of."""
