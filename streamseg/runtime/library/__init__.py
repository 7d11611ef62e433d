"""What `import streamseg` gives: `segment_video`, `Tracker`, what they take and what they give."""
