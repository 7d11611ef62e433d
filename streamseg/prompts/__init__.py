"""What a user points at: the prompts, the rules they keep, and the files they are written in."""
