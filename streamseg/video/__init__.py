"""Video in and out: what a source is, reading and decoding it, writing video files."""
