"""The two dora-rs nodes of the hand-over benchmark: ``handover_dora.py produce`` and ``handover_dora.py consume``."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from dora import Node

from streamseg.benchmarking.timed_nodes import noise, read_age_ms, write_time

SHAPE = (1080, 1920, 3)
FRAMES, PAUSE_S = int(os.environ["FRAMES"]), float(os.environ["PAUSE_S"])
TUNED = os.environ["TUNED"] == "1"


def produce() -> None:
    node = Node()
    image = noise(*SHAPE[:2])
    time.sleep(3)  # until the other node is there, and dora has made the direct path to it
    for _ in range(FRAMES):
        time.sleep(PAUSE_S)
        write_time(image)
        if TUNED:
            with node.send_output_raw("frame", image.nbytes) as buffer:
                view = np.frombuffer(buffer, np.uint8)
                view[:] = image.reshape(-1)
                del view
        else:
            node.send_output("frame", pa.array(image.reshape(-1)))


def consume() -> None:
    node = Node()
    ages_ms: list[float] = []
    for event in node:
        if event["type"] == "INPUT":
            image = event["value"].to_numpy(zero_copy_only=True).reshape(SHAPE)
            ages_ms.append(read_age_ms(image))
            if TUNED:
                del image, event
        elif event["type"] == "STOP":
            break
    Path(os.environ["AGES"]).write_text(json.dumps(ages_ms))


if __name__ == "__main__":
    {"produce": produce, "consume": consume}[sys.argv[1]]()
