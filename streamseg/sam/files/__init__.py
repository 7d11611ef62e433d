"""Files of weights and of graphs: fetched, checked, read, kept."""
