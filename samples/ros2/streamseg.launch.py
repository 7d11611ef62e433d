"""Starts streamseg from ROS's launch system: ros2 launch samples/ros2/streamseg.launch.py image:=/camera/image_raw"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir


def generate_launch_description():
    here = PathJoinSubstitution([ThisLaunchFileDir(), "params.yaml"])
    return LaunchDescription(
        [
            DeclareLaunchArgument("image", default_value="/camera/image_raw", description="topic of the images"),
            DeclareLaunchArgument("namespace", default_value="/", description="of everything that streamseg publishes"),
            DeclareLaunchArgument("params", default_value=here, description="file with parameters"),
            ExecuteProcess(
                # Its own command: streamseg is a package of Python, not of ROS.
                cmd=[
                    "streamseg",
                    "ros2",
                    "--ros-args",
                    "-r",
                    ["image:=", LaunchConfiguration("image")],
                    "-r",
                    ["__ns:=", LaunchConfiguration("namespace")],
                    "--params-file",
                    LaunchConfiguration("params"),
                ],
                name="streamseg",
                output="screen",
                sigterm_timeout="15",
            ),
        ]
    )
