"""The node that follows objects from frame to frame, and its helpers."""
