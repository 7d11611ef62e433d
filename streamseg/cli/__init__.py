"""The command ``streamseg``. Importing this package imports nothing heavy."""

from streamseg.cli import startup

with startup.interruptible():
    from streamseg.cli.main import main

__all__ = ["main"]
