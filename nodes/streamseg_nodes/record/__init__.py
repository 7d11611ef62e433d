"""The node that writes results to a folder, and its helpers."""
