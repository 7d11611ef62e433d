"""The nodes that come with streamseg, one file each."""
