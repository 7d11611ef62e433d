"""How good the results are, on data with true masks."""
