"""ROS 2: topics and services, through rclpy or straight over DDS; what messages mean stands in `streamseg.robotics`."""
