"""What runs in a worker process: one node, or one of its replicas, with its sockets and buffers."""
