"""Masks, boxes and label maps as plain arrays: numpy and OpenCV only, no processes, no models."""
