"""Videos and pictures of the results, to look at or to work on with: a module for each."""
