"""A processing graph before it runs: its file, which nodes there are, its plan, and the standard graph."""
