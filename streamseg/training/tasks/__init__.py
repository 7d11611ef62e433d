"""What the model has to do: pictures with prompts and true masks, one by one and in episodes."""
