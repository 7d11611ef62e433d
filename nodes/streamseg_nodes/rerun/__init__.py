"""The node that shows results in Rerun, and its helpers."""
