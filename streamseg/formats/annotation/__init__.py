"""Formats of programs in which people correct masks and boxes: a module for each, and what only they need."""
