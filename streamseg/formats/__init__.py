"""Results in the formats of other programs, and theirs for us: a module for each, in rooms by what they are for."""
