"""What looks after the worker processes of a run: starts them, watches them, puts others in their place, ends them."""
