import sys
import time

import msgspec
import numpy as np
import zmq
import zmq.auth

listener = zmq.Context().socket(zmq.SUB)
listener.rcvhwm, listener.rcvbuf = 4, 1 << 17  # what waits here is old by the time it is acted on
if len(sys.argv) == 4:  # ADDRESS OWN.key_secret PUBLISHER.key, from another machine
    listener.curve_publickey, listener.curve_secretkey = zmq.auth.load_certificate(sys.argv[2])
    listener.curve_serverkey, _ = zmq.auth.load_certificate(sys.argv[3])
listener.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5560")
listener.subscribe("")  # or "NAME/" and "NAME.", with the name of a source, if there are several
head = {"kind": "nothing yet"}
while head["kind"] != "end":
    while not listener.poll(3000):
        print("nothing for 3 s, not even a heartbeat: stop, the publisher is gone")
    parts = listener.recv_multipart()
    while not parts[0].endswith(b"/end") and listener.poll(1):
        parts = listener.recv_multipart()  # only the newest counts; never ZMQ_CONFLATE, which tears messages apart
    head = msgspec.msgpack.decode(parts[1])
    if head["kind"] in ("status", "heartbeat") and head["state"] in ("lost", "reconnecting"):
        print("the camera is away")
    for thing in head.get("objects", []):
        age_ms = (time.time_ns() - head["arrived_ns"]) // 1_000_000
        area_px, how = thing["area_px"], thing["mask"] or {}
        if how.get("encoding") == "uint8":  # publish with masks: raw; README.md says how the others are read
            mask = np.frombuffer(parts[how["part"]], np.uint8).reshape(head["height"], head["width"])
            area_px = int(mask.sum())
        print(head["frame"], thing["id"], thing["state"], thing["box_xyxy"], area_px, "px,", age_ms, "ms old")
