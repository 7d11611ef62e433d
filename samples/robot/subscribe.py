"""Print what streamseg publishes, always the newest: however slow this program is, it acts on what is now."""

import time
from pathlib import Path

import numpy as np
from listening import arguments, listen, mask_of, ms_since, newest

parser = arguments(__doc__)
parser.add_argument("--stream", help="the name of a source, if there are several")
parser.add_argument("--masks", type=Path, metavar="DIR", help="write each mask as a picture, STREAM-FRAME-ID.pgm")
parser.add_argument("--work", type=float, default=0, metavar="S", help="pretend to work so long on each frame")
args = parser.parse_args()
socket = listen(args, args.stream)
kind = "nothing yet"
while kind != "end":
    heard = newest(socket, 3000)
    if not heard:
        print("nothing for 3 s, not even a heartbeat: stop, the publisher is gone", flush=True)
    for header, parts in heard:
        kind, line = header["kind"], f"{header['stream']} {header['kind']}"
        if kind == "frame":
            masks = [mask_of(thing, header, parts) for thing in header["objects"]]
            # Publishers of before do not say when the picture came, and know no other time than that.
            came_ns = header.get("arrived_ns") or header["captured_ns"]
            age_ms, way_ms = ms_since(came_ns), ms_since(header["published_ns"])
            line += f" {header['frame']}, {age_ms:.1f} ms old, {way_ms:.2f} ms on the way"
            for thing, mask in zip(header["objects"], masks, strict=True):
                box = ",".join(f"{edge:.0f}" for edge in thing["box_xyxy"] or ())
                line += f"; {thing['id']} {thing['label']} {thing['state']} {thing['score']:.2f} [{box}]"
                line += f" {thing['area_px']} px"
                if mask is not None and args.masks:
                    head = f"P5 {mask.shape[1]} {mask.shape[0]} 255\n".encode()
                    name = f"{header['stream']}-{header['frame']}-{thing['id']}.pgm"
                    (args.masks / name).write_bytes(head + (mask * np.uint8(255)).tobytes())
            time.sleep(args.work)
        elif kind == "gap":
            line += f" {header['frame']}: {header['reason']}"
        elif kind == "status":
            line += f": {header['state']} {header['reason']}"
        print(line, flush=True)
