"""Add an object to a run that is under way, and remove it some seconds later.

streamseg run 0 --box 220,140,420,340 --control live.sock
python samples/live/add_and_remove.py live.sock 20,20,120,120
"""

import sys
import time

import streamseg

control, box = sys.argv[1], [float(edge) for edge in sys.argv[2].split(",")]
seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 5.0

added = streamseg.send_prompt(control, {"label": "second", "box": box})
print(added)
time.sleep(seconds)
print(streamseg.send_prompt(control, {"id": added.id, "remove": True}))
