"""Readers of files and folders of pictures."""
