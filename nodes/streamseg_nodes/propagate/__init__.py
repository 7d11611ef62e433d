"""The node that follows objects from frame to frame, and what it is made of."""
