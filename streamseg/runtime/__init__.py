"""Running a graph: planning it, its worker processes, and who looks after them."""
