"""Many sources, each a task of its own: side by side on this machine, or on those of a Ray cluster."""
