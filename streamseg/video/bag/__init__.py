"""Bags: MCAP files and ROS 2 bags, with pictures among what robots have recorded."""
