"""What other programs hear of a run: the format, the address, keys, and a subscriber."""
