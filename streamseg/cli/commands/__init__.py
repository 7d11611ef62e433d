"""The commands, a module each of the name of its command; `eval` and `eval-images` are both in `evaluate`."""
