import msgspec
import numpy as np
import zmq

listener = zmq.Context().socket(zmq.SUB)
listener.connect("tcp://127.0.0.1:5560")
listener.subscribe("camera/")  # the name of the source in the graph
while (head := msgspec.msgpack.decode((parts := listener.recv_multipart())[1]))["kind"] != "end":
    for thing in head.get("objects", []):
        mask = np.frombuffer(parts[thing["mask"]["part"]], np.uint8).reshape(head["height"], head["width"])
        print(head["frame"], thing["id"], thing["state"], thing["box_xyxy"], int(mask.sum()), "px")
