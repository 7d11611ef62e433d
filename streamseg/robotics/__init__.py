"""Pictures, prompts and results as ROS messages have them: conversions on values; no middleware is imported here."""
