"""Results in the formats of other programs: a module for each, and what they share."""
