"""Label Studio asks while people draw: its ML backend, a few requests over HTTP, without its packages."""
