"""The command ``streamseg``. Importing this package imports nothing heavy."""

from streamseg.cli.main import main

__all__ = ["main"]
