"""Stands in for a camera: the pictures of a clip, as dora's camera nodes send them."""

import itertools
import os
import time

import pyarrow as pa
from dora import Node

from streamseg.video.open import open_source

node = Node()
pause_s = float(os.environ.get("PAUSE_S", "0"))
limit = int(os.environ["FRAMES"]) if "FRAMES" in os.environ else None
with open_source(os.environ["SOURCE"]) as reader:
    for picture in itertools.islice(reader, limit):
        facts = {"encoding": "rgb8", "width": picture.width, "height": picture.height, "primitive": "image"}
        node.send_output("image", pa.array(picture.to_rgb().ravel()), facts)
        time.sleep(pause_s)
