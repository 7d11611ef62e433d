"""A very small SAM for the tests of this folder."""

from support.nano import nano

__all__ = ["nano"]
