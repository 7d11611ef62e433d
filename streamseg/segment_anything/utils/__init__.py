"""Under the names of ``segment_anything.utils``."""
