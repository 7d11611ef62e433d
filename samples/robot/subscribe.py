import sys

import msgspec
import numpy as np
import zmq
import zmq.auth

listener = zmq.Context().socket(zmq.SUB)
if len(sys.argv) == 4:  # ADDRESS OWN.key_secret PUBLISHER.key, from another machine
    listener.curve_publickey, listener.curve_secretkey = zmq.auth.load_certificate(sys.argv[2])
    listener.curve_serverkey, _ = zmq.auth.load_certificate(sys.argv[3])
listener.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5560")
listener.subscribe("camera/")  # the name of the source in the graph
while (head := msgspec.msgpack.decode((parts := listener.recv_multipart())[1]))["kind"] != "end":
    for thing in head.get("objects", []):
        mask = np.frombuffer(parts[thing["mask"]["part"]], np.uint8).reshape(head["height"], head["width"])
        print(head["frame"], thing["id"], thing["state"], thing["box_xyxy"], int(mask.sum()), "px")
