"""Formats of data sets, which training and evaluation read: a module for each."""
