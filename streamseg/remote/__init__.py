"""Nodes of one graph on other machines.

For each process that runs elsewhere the supervisor starts a *bridge* here (`bridge`), which is to it a worker like any
other: it has the worker's inboxes, its end of the control channel and its heartbeat. Over there ``streamseg worker``
(`server`) starts the real worker, in a directory of sockets and with buffers like those of the run. Between the two is
one connection (`link`): messages of the graph go over it as they are, and with them the content of those slots that
the other side has not got (`freight`), to lie at the same place in the same buffer there. So the worker, the tickets
and the recovery know nothing of all this.
"""
