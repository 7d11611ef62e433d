"""A stranger on DDS: a process that knows nothing of streamseg, and has Cyclone DDS convert its own types.

It reads a command in JSON from each line of its standard input, and writes what it hears to its standard output. Its
types are written without postponed annotations, which Cyclone cannot read.
"""

import base64
import dataclasses
import json
import os
import random
import subprocess
import sys
import threading
import time
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from cyclonedds.core import InstanceState, ReadCondition, SampleState, ViewState, WaitSet
from cyclonedds.domain import DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import array, float64, int32, int64, sequence, uint8, uint32, uint64
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

_HERE_ONLY = (
    "<CycloneDDS><Domain Id='any'><General><Interfaces><NetworkInterface address='127.0.0.1' multicast='true'/>"
    "</Interfaces></General></Domain></CycloneDDS>"
)
_WHOSE = {"guid": 0x1234_5678_9ABC_DEF0, "seq": 7}


@dataclass
class Time(IdlStruct, typename="builtin_interfaces::msg::dds_::Time_"):
    sec: int32 = 0
    nanosec: uint32 = 0


@dataclass
class Header(IdlStruct, typename="std_msgs::msg::dds_::Header_"):
    stamp: Time = dataclasses.field(default_factory=Time)
    frame_id: str = ""


@dataclass
class String(IdlStruct, typename="std_msgs::msg::dds_::String_"):
    data: str = ""


@dataclass
class Image(IdlStruct, typename="sensor_msgs::msg::dds_::Image_"):
    header: Header
    height: uint32
    width: uint32
    encoding: str
    is_bigendian: uint8
    step: uint32
    data: sequence[uint8]


@dataclass
class CompressedImage(IdlStruct, typename="sensor_msgs::msg::dds_::CompressedImage_"):
    header: Header
    format: str
    data: sequence[uint8]


@dataclass
class Point2D(IdlStruct, typename="vision_msgs::msg::dds_::Point2D_"):
    x: float64 = 0.0
    y: float64 = 0.0


@dataclass
class Pose2D(IdlStruct, typename="vision_msgs::msg::dds_::Pose2D_"):
    position: Point2D = dataclasses.field(default_factory=Point2D)
    theta: float64 = 0.0


@dataclass
class BoundingBox2D(IdlStruct, typename="vision_msgs::msg::dds_::BoundingBox2D_"):
    center: Pose2D
    size_x: float64
    size_y: float64


@dataclass
class ObjectHypothesis(IdlStruct, typename="vision_msgs::msg::dds_::ObjectHypothesis_"):
    class_id: str
    score: float64


@dataclass
class Point(IdlStruct, typename="geometry_msgs::msg::dds_::Point_"):
    x: float64
    y: float64
    z: float64


@dataclass
class Quaternion(IdlStruct, typename="geometry_msgs::msg::dds_::Quaternion_"):
    x: float64
    y: float64
    z: float64
    w: float64


@dataclass
class Pose(IdlStruct, typename="geometry_msgs::msg::dds_::Pose_"):
    position: Point
    orientation: Quaternion


@dataclass
class PoseWithCovariance(IdlStruct, typename="geometry_msgs::msg::dds_::PoseWithCovariance_"):
    pose: Pose
    covariance: array[float64, 36]


@dataclass
class ObjectHypothesisWithPose(IdlStruct, typename="vision_msgs::msg::dds_::ObjectHypothesisWithPose_"):
    hypothesis: ObjectHypothesis
    pose: PoseWithCovariance


@dataclass
class Detection2D(IdlStruct, typename="vision_msgs::msg::dds_::Detection2D_"):
    header: Header
    results: sequence[ObjectHypothesisWithPose]
    bbox: BoundingBox2D
    id: str


@dataclass
class Detection2DArray(IdlStruct, typename="vision_msgs::msg::dds_::Detection2DArray_"):
    header: Header
    detections: sequence[Detection2D]


@dataclass
class KeyValue(IdlStruct, typename="diagnostic_msgs::msg::dds_::KeyValue_"):
    key: str
    value: str


@dataclass
class DiagnosticStatus(IdlStruct, typename="diagnostic_msgs::msg::dds_::DiagnosticStatus_"):
    level: uint8
    name: str
    message: str
    hardware_id: str
    values: sequence[KeyValue]


@dataclass
class DiagnosticArray(IdlStruct, typename="diagnostic_msgs::msg::dds_::DiagnosticArray_"):
    header: Header
    status: sequence[DiagnosticStatus]


_ISAAC = "isaac_ros_segment_anything2_interfaces::srv::dds_"


@dataclass
class AddObjectsRequest(IdlStruct, typename=f"{_ISAAC}::AddObjects_Request_"):
    guid: uint64
    seq: int64
    request_header: Header
    bbox_object_ids: sequence[str]
    bbox_coords: sequence[BoundingBox2D]
    point_object_ids: sequence[str]
    point_coords: sequence[Point2D]
    point_labels: sequence[int32]


@dataclass
class AddObjectsResponse(IdlStruct, typename=f"{_ISAAC}::AddObjects_Response_"):
    guid: uint64
    seq: int64
    object_ids: sequence[str]
    object_indices: sequence[int32]
    success: bool
    message: str


@dataclass
class RemoveObjectRequest(IdlStruct, typename=f"{_ISAAC}::RemoveObject_Request_"):
    guid: uint64
    seq: int64
    request_header: Header
    object_id: str


@dataclass
class RemoveObjectResponse(IdlStruct, typename=f"{_ISAAC}::RemoveObject_Response_"):
    guid: uint64
    seq: int64
    object_ids: sequence[str]
    object_indices: sequence[int32]
    success: bool
    message: str


@dataclass
class TriggerRequest(IdlStruct, typename="std_srvs::srv::dds_::Trigger_Request_"):
    guid: uint64
    seq: int64
    structure_needs_at_least_one_member: uint8 = 0


@dataclass
class TriggerResponse(IdlStruct, typename="std_srvs::srv::dds_::Trigger_Response_"):
    guid: uint64
    seq: int64
    success: bool
    message: str


TYPES: dict[str, Any] = {kind.__name__: kind for kind in IdlStruct.__subclasses__()}


def made(kind: Any, fields: dict[str, Any]) -> Any:
    """A message from plain data; `data` may be in base64."""
    hints = typing.get_type_hints(kind)
    values = dict(fields)
    for name, value in fields.items():
        if dataclasses.is_dataclass(hints[name]):
            values[name] = made(hints[name], value)
        elif name == "data" and kind is not String:
            values[name] = list(base64.b64decode(value))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            inner = {"bbox_coords": BoundingBox2D, "point_coords": Point2D}[name]
            values[name] = [made(inner, each) for each in value]
    return kind(**values)


def plain(message: Any) -> dict[str, Any]:
    found = dataclasses.asdict(message)
    if not isinstance(message, String) and "data" in found:
        found["data"] = base64.b64encode(bytes(found["data"])).decode()
    return found


class Peer:
    """The process's own side."""

    def __init__(self, domain: int) -> None:
        self.participant = DomainParticipant(domain)
        self.waits = WaitSet(self.participant)
        self.readers: list[tuple[Any, Any, str]] = []
        self.writers: dict[str, Any] = {}
        self.lock = threading.Lock()
        threading.Thread(target=self.hear, daemon=True).start()

    def qos(self, command: dict[str, Any]) -> Qos:
        reliable = command.get("reliable", True)
        return Qos(
            Policy.Reliability.Reliable(duration(seconds=1)) if reliable else Policy.Reliability.BestEffort,
            Policy.History.KeepLast(10),
            Policy.DataRepresentation(use_cdrv0_representation=True),
            Policy.Userdata(data=command.get("user_data", "").encode()),
        )

    def listen(self, command: dict[str, Any], full: str, kind: Any) -> None:
        with self.lock:
            reader = DataReader(self.participant, Topic(self.participant, full, kind), self.qos(command))
            condition = ReadCondition(reader, SampleState.Any | ViewState.Any | InstanceState.Any)
            self.waits.attach(condition)
            self.readers.append((reader, condition, command.get("topic") or command["service"]))

    def writer(self, command: dict[str, Any], full: str, kind: Any) -> Any:
        if full not in self.writers:
            writer = DataWriter(self.participant, Topic(self.participant, full, kind), self.qos(command))
            self.writers[full] = writer
            for _ in range(200 if command.get("wait", True) else 0):
                if writer.get_matched_subscriptions():
                    break
                time.sleep(0.05)
            # The other side may learn of this one a moment later, and has no use for what comes before.
            time.sleep(0.5)
        return self.writers[full]

    def do(self, command: dict[str, Any]) -> None:
        if command["do"] == "listen":
            self.listen(command, f"rt{command['topic']}", TYPES[command["type"]])
        elif command["do"] == "publish":
            kind = TYPES[command["type"]]
            writer = self.writer(command, f"rt{command['topic']}", kind)
            writer.write(made(kind, command["fields"]))
        elif command["do"] == "call":
            self.call(command)

    def call(self, command: dict[str, Any]) -> None:
        # rmw_cyclonedds_cpp puts before the fields whose the request is, and takes the reply that says the same.
        kind, response = TYPES[f"{command['type']}Request"], TYPES[f"{command['type']}Response"]
        if f"rr{command['service']}Reply" not in self.writers:
            self.writers[f"rr{command['service']}Reply"] = None
            self.listen(command, f"rr{command['service']}Reply", response)
        writer = self.writer(command, f"rq{command['service']}Request", kind)
        writer.write(made(kind, {**_WHOSE, **command["fields"]}))

    def hear(self) -> None:
        while True:
            self.waits.wait(duration(milliseconds=100))
            with self.lock:
                readers = list(self.readers)
            for reader, _, name in readers:
                for sample in reader.take(20):
                    if dataclasses.is_dataclass(sample):
                        print(json.dumps({"heard": name, "fields": plain(sample)}), flush=True)


class PeerProcess:
    """The test's side: gives commands, and waits for what is heard."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._telling = threading.Lock()
        self._change = threading.Condition()
        self.heard: list[tuple[str, dict[str, Any]]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def do(self, do: str, **command: Any) -> None:
        assert self._process.stdin is not None
        with self._telling:
            self._process.stdin.write(json.dumps({"do": do, **command}) + "\n")
            self._process.stdin.flush()

    def wait(self, name: str, accept: Any = lambda fields: True, within_s: float = 30.0) -> dict[str, Any]:
        """The first message of that topic or service that is accepted, of those that came or will come."""

        def found() -> dict[str, Any] | None:
            return next((fields for heard, fields in self.heard if heard == name and accept(fields)), None)

        with self._change:
            assert self._change.wait_for(lambda: found() is not None, within_s), (
                name,
                [each for each, _ in self.heard[-5:]],
            )
            result = found()
        assert result is not None
        return result

    def forget(self) -> None:
        with self._change:
            self.heard.clear()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            with self._change:
                self.heard.append((said["heard"], said["fields"]))
                self._change.notify_all()


def until(reached: Callable[[], Any], within_s: float = 30.0) -> Any:
    """What is there once something is; asked for again and again."""
    end_s = time.monotonic() + within_s
    while not (found := reached()):
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.02)
    return found


def enter_domain(monkeypatch: pytest.MonkeyPatch) -> int:
    """A domain of this machine alone that, by chance, nobody else is in; also for processes started from now on."""
    # Of those that run at once, `make test` has several.
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    domain = random.randrange(20 + worker, 200, workers)
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    monkeypatch.setenv("ROS_LOCALHOST_ONLY", "1")
    monkeypatch.delenv("CYCLONEDDS_URI", raising=False)
    return domain


@contextmanager
def peer() -> Iterator[PeerProcess]:
    """A peer in the domain that was entered, with a configuration of its own."""
    process = subprocess.Popen(
        [sys.executable, __file__, os.environ["ROS_DOMAIN_ID"]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "CYCLONEDDS_URI": _HERE_ONLY},
    )
    try:
        yield PeerProcess(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


if __name__ == "__main__":
    this = Peer(int(sys.argv[1]))
    for line in sys.stdin:
        this.do(json.loads(line))
