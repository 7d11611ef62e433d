"""Ways to hand a frame to another process. Each is written the way its own guide or examples write it.

A way is a function ``(run: Run) -> None`` that starts its processes and returns when the consumer has written the age
of every frame (milliseconds, a JSON list) to ``run.path``.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zmq

from streamseg.benchmarking.runs import hand_over
from streamseg.benchmarking.timed_nodes import noise, read_age_ms, write_time

HEIGHT, WIDTH = 1080, 1920
SHAPE = (HEIGHT, WIDTH, 3)
RING = 6  # as many buffers as streamseg has tickets
DORA_POOL_BYTES = 256 << 20


class Run(NamedTuple):
    """One measurement."""

    frames: int
    pause_s: float
    path: Path


class Way(NamedTuple):
    """A way and what it is called."""

    title: str
    measure: Callable[[Run], None]
    needs: tuple[str, ...] = ()
    """Modules that must be there."""


def streamseg_graph(run: Run) -> None:
    """A real graph: a source, a sink, a supervisor, tickets."""
    hand_over(run.path, frames=run.frames, pause_s=run.pause_s, height=HEIGHT, width=WIDTH)


def pyzmq_tcp(run: Run) -> None:
    """PUSH/PULL on loopback; neither side copies in Python."""
    _pair(_zmq_producer, _zmq_consumer, run, f"tcp://127.0.0.1:{_free_port()}")


def pyzmq_ipc(run: Run) -> None:
    """The same over a Unix socket."""
    with tempfile.TemporaryDirectory() as folder:
        _pair(_zmq_producer, _zmq_consumer, run, f"ipc://{folder}/frames")


def imagezmq_req(run: Run) -> None:
    """imagezmq's default: each image is answered."""
    _pair(_imagezmq_producer, _imagezmq_consumer, run, (True, _free_port()))


def imagezmq_pub(run: Run) -> None:
    """imagezmq's other pattern: the receiver subscribes."""
    _pair(_imagezmq_producer, _imagezmq_consumer, run, (False, _free_port()))


def multiprocessing_queue(run: Run) -> None:
    """What most people try first."""
    _pair(_queue_producer, _queue_consumer, run, multiprocessing.Queue(RING))


def multiprocessing_shared_memory(run: Run) -> None:
    """What a careful user builds: a ring of named blocks, their numbers in one queue, the free ones in another."""
    blocks = [SharedMemory(create=True, size=HEIGHT * WIDTH * 3) for _ in range(RING)]
    full, free = multiprocessing.Queue(), multiprocessing.Queue()
    for number in range(RING):
        free.put(number)
    try:
        _pair(_ring_producer, _ring_consumer, run, ([block.name for block in blocks], full, free))
    finally:
        for block in blocks:
            block.close()
            block.unlink()


def dora_guide(run: Run) -> None:
    """dora-rs with `send_output` and ``for event in node``, as its guide has it."""
    _dora(run, tuned=False)


def dora_tuned(run: Run) -> None:
    """dora-rs at its best: frames written right into its buffers, a large pool of them, each event let go at once."""
    _dora(run, tuned=True)


WAYS = {
    "streamseg": Way("streamseg", streamseg_graph),
    "imagezmq-req": Way("imagezmq REQ/REP", imagezmq_req, ("imagezmq",)),
    "imagezmq-pub": Way("imagezmq PUB/SUB", imagezmq_pub, ("imagezmq",)),
    "pyzmq-tcp": Way("pyzmq tcp copy=False", pyzmq_tcp),
    "pyzmq-ipc": Way("pyzmq ipc copy=False", pyzmq_ipc),
    "dora": Way("dora-rs, as in its guide", dora_guide, ("dora",)),
    "dora-tuned": Way("dora-rs, tuned by hand", dora_tuned, ("dora",)),
    "mp-queue": Way("multiprocessing.Queue", multiprocessing_queue),
    "mp-shm": Way("shared_memory ring by hand", multiprocessing_shared_memory),
}


def _pair(producer: Callable[..., None], consumer: Callable[..., None], run: Run, where: Any) -> None:
    reader = multiprocessing.Process(target=consumer, args=(run, where))
    writer = multiprocessing.Process(target=producer, args=(run, where))
    reader.start()
    writer.start()
    writer.join()
    reader.join()
    if writer.exitcode or reader.exitcode:
        raise SystemExit(f"{producer.__name__} and its consumer ended with {writer.exitcode} and {reader.exitcode}")


def _zmq_producer(run: Run, address: str) -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as pusher:
        pusher.connect(address)
        image = noise(HEIGHT, WIDTH)
        for _ in range(run.frames):
            time.sleep(run.pause_s)
            write_time(image)
            pusher.send(image, copy=False)


def _zmq_consumer(run: Run, address: str) -> None:
    ages_ms = []
    with zmq.Context() as context, context.socket(zmq.PULL) as puller:
        puller.bind(address)
        for _ in range(run.frames):
            frame = puller.recv(copy=False)
            ages_ms.append(read_age_ms(np.frombuffer(frame, np.uint8).reshape(SHAPE)))
    run.path.write_text(json.dumps(ages_ms))


def _imagezmq_producer(run: Run, where: tuple[bool, int]) -> None:
    import imagezmq

    answered, port = where
    address = f"tcp://127.0.0.1:{port}" if answered else f"tcp://*:{port}"
    sender = imagezmq.ImageSender(connect_to=address, REQ_REP=answered)
    if not answered:
        time.sleep(1)  # a publisher drops what it sends before anyone has subscribed
    image = noise(HEIGHT, WIDTH)
    for _ in range(run.frames):
        time.sleep(run.pause_s)
        write_time(image)
        sender.send_image("camera", image)
    if not answered:
        time.sleep(1)
    sender.close()


def _imagezmq_consumer(run: Run, where: tuple[bool, int]) -> None:
    import imagezmq

    answered, port = where
    address = f"tcp://*:{port}" if answered else f"tcp://127.0.0.1:{port}"
    hub = imagezmq.ImageHub(open_port=address, REQ_REP=answered)
    ages_ms = []
    for _ in range(run.frames):
        _, image = hub.recv_image()
        ages_ms.append(read_age_ms(image))
        if answered:
            hub.send_reply(b"OK")
    run.path.write_text(json.dumps(ages_ms))
    hub.close()


def _queue_producer(run: Run, frames: multiprocessing.Queue[Any]) -> None:
    image = noise(HEIGHT, WIDTH)
    for _ in range(run.frames):
        time.sleep(run.pause_s)
        write_time(image)
        frames.put(image)
    frames.close()
    frames.join_thread()


def _queue_consumer(run: Run, frames: multiprocessing.Queue[Any]) -> None:
    run.path.write_text(json.dumps([read_age_ms(frames.get()) for _ in range(run.frames)]))


def _ring_producer(run: Run, where: tuple[list[str], Any, Any]) -> None:
    names, full, free = where
    blocks = [SharedMemory(name=name) for name in names]
    image = noise(HEIGHT, WIDTH)
    for _ in range(run.frames):
        time.sleep(run.pause_s)
        write_time(image)
        number = free.get()
        np.copyto(np.ndarray(SHAPE, np.uint8, blocks[number].buf), image)
        full.put(number)
    full.close()
    full.join_thread()
    for block in blocks:
        block.close()


def _ring_consumer(run: Run, where: tuple[list[str], Any, Any]) -> None:
    names, full, free = where
    blocks = [SharedMemory(name=name) for name in names]
    ages_ms = []
    for _ in range(run.frames):
        number = full.get()
        ages_ms.append(read_age_ms(np.ndarray(SHAPE, np.uint8, blocks[number].buf)))
        free.put(number)
    free.cancel_join_thread()
    run.path.write_text(json.dumps(ages_ms))
    for block in blocks:
        block.close()


def _dora(run: Run, *, tuned: bool) -> None:
    program = shutil.which("dora", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        raise SystemExit("the program 'dora' is not there; pip install dora-rs-cli")
    node = Path(__file__).with_name("handover_dora.py")
    options = {"FRAMES": run.frames, "PAUSE_S": run.pause_s, "AGES": str(run.path), "TUNED": int(tuned)}
    both = {"path": str(node), "env": options}
    flow = {
        "nodes": [
            {"id": "produce", "args": "produce", "outputs": ["frame"], **both},
            {"id": "consume", "args": "consume", "inputs": {"frame": "produce/frame"}, **both},
        ]
    }
    environment = dict(os.environ)
    if tuned:
        environment["DORA_NODE_SHM_POOL_SIZE"] = str(DORA_POOL_BYTES)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dataflow.yml"
        path.write_text(json.dumps(flow))  # JSON is YAML
        done = subprocess.run([program, "run", str(path)], cwd=folder, env=environment, capture_output=True, text=True)
        if not run.path.exists():
            raise SystemExit(f"dora run failed with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
