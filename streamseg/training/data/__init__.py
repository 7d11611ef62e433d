"""What is trained on: annotated pictures, and the scenes that are made of them."""
