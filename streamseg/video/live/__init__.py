"""Cameras and streams: connections that may be lost, pictures that must not get old, and when they were taken."""
