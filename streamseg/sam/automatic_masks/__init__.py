"""Masks of all that there is to see, without a prompt: SAM's automatic mask generator."""
