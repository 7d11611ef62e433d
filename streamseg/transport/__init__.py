"""How messages get from one process to another: shared slots, the wire format, sockets, tickets, order."""
