"""The folder of a recorded run, read: its frames, masks and tracks, and plots of them."""
