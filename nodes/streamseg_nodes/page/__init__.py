"""The page: what a run sees, in a browser, and a way to point at it."""
