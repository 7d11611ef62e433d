"""Pictures, masks and boxes as plain arrays: numpy and OpenCV only, no processes, no models."""
