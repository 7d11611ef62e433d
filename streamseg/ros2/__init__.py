"""ROS 2: topics and services, through rclpy or straight over DDS; what a picture is stands in `streamseg.robotics`."""
