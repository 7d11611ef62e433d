"""What people and scripts read: words, tables, progress."""
