"""A listener that is stopped costs the publisher nothing: no time, and no more memory than its queue."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import zmq
from streamseg_nodes.publish import Publish
from support.bright_nodes import drawn
from support.command import eventually

from streamseg.node import NodeContext
from streamseg.publishing.format import FrameHeader
from streamseg.publishing.subscriber import listen, newest

SAMPLE = Path(__file__).parents[2] / "samples" / "robot" / "subscribe.py"
LABELS = np.ones((1080, 1920), np.uint16)
MESSAGE_MB = LABELS.size / 1e6


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def test_a_stopped_listener_holds_up_nobody_and_takes_no_memory(tmp_path: Path) -> None:
    node = Publish(Publish.Config(bind="tcp://127.0.0.1:*", masks="raw"), NodeContext("publish"))
    node.setup()
    endpoint, said, sent = node.describe()["endpoint"], tmp_path / "said.txt", 0
    message = drawn(0, LABELS, (7,), stream="camera")
    context = zmq.Context()
    awake = listen(context, endpoint)
    with said.open("w") as output, subprocess.Popen([sys.executable, SAMPLE, endpoint], stdout=output) as stopped:

        def heard_by_both() -> bool:
            node.process(message)
            return bool(newest(awake, 200)) and "frame" in said.read_text()

        try:
            assert eventually(heard_by_both, seconds=30)
            stopped.send_signal(signal.SIGSTOP)
            # Until all that can wait for it does: its queues here and there, and those of the kernel.
            for _ in range(30):
                node.process(message)
                newest(awake, 5000)
            before_mb, heard = rss_mb(), 0
            for sent in range(1, 301):
                node.process(drawn(sent, LABELS, (7,), index=sent, stream="camera"))
                heard += sum(isinstance(each.header, FrameHeader) for each in newest(awake, 5000))
            # 620 MB were sent, and whoever reads had all of them.
            assert rss_mb() - before_mb < 20 * MESSAGE_MB
            assert heard == 300
            stopped.send_signal(signal.SIGCONT)
            lines = len(said.read_text().splitlines())

            def goes_on() -> bool:
                node.process(drawn(1000, LABELS, (7,), index=1000, stream="camera"))
                return "camera frame 1000," in said.read_text()

            assert eventually(goes_on, seconds=20)
            # What waited for it meanwhile was little: it did not have to work through three hundred.
            old = said.read_text().splitlines()[lines:]
            assert sum("camera frame 1000," not in line for line in old) <= 10
        finally:
            stopped.kill()
            context.destroy(linger=0)
            node.close()
