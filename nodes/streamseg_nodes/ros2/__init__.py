"""Images from ROS 2 topics, and results to them."""
