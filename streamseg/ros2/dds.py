"""ROS 2 straight over DDS, by Eclipse Cyclone DDS from pip: no ROS installation is needed.

What ROS adds to DDS is names: topic ``/a`` is ``rt/a``, its type ``pkg::msg::dds_::Name_``, a service ``/s`` the two
topics ``rq/sRequest`` and ``rr/sReply``, and a type's hash is in the user data of who publishes or listens (REP 2016).
Requests and replies begin with 16 bytes that say whose they are, as ``rmw_cyclonedds_cpp`` has it. Other middlewares of
ROS have that in the wire format below, which Cyclone's Python does not show: their clients are not heard.

Cyclone checks all bytes against the type, in C. What does not fit never arrives.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from streamseg.errors import RunError, UsageError
from streamseg.extras import load
from streamseg.ros2 import types
from streamseg.ros2.middleware import Answer, Endpoint, Fields, Qos, Reliability

log = logging.getLogger(__name__)

_ENCAPSULATION_BYTES = 4
_REQUEST_ID_BYTES = 16
_SERVICE = Qos(depth=10)
_WAIT_MS = 500
_AT_ONCE = 16
_RECEIVE_MAX_BYTES = 32 << 20
_TYPE = re.compile(r"(\w+)::(\w+)::dds_::(\w+)_")
_HASH = re.compile(rb"(?:^|;)typehash=(RIHS01_[0-9a-f]{64});")


class DdsMiddleware:
    """One participant of a DDS domain (``ROS_DOMAIN_ID``, 0 without it), and a thread that receives.

    ``ROS_LOCALHOST_ONLY=1`` and ``ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST`` keep it on this machine. Where
    ``CYCLONEDDS_URI`` is set that says it all instead.

    Raises:
        UsageError: cyclonedds or rosbags is not installed, or the domain is none.
        RunError: the domain cannot be entered.
    """

    def __init__(self) -> None:
        types.typestore()
        dds = _Cyclone()
        self.name = "cyclonedds"
        self._dds = dds
        number = _domain()
        try:
            # Kept: the domain ends with it.
            self._domain = None if os.environ.get("CYCLONEDDS_URI") else dds.domain.Domain(number, _configuration())
            self._participant = dds.domain.DomainParticipant(number, dds.Qos(dds.Policy.Userdata(data=b"enclave=/;")))
            self._wait_set = dds.core.WaitSet(self._participant)
            self._wake = dds.core.GuardCondition(self._participant)
            self._wait_set.attach(self._wake)
            self._found = dds.builtin.BuiltinDataReader(self._participant, dds.builtin.BuiltinTopicDcpsPublication)
        except dds.core.DDSException as error:
            raise RunError(
                f"expected to enter DDS domain {number}, got: {error}; check the network interface"
            ) from error
        self._lock = threading.Lock()
        self._readers: list[_Reader] = []
        self._subscriptions: list[DdsSubscription] = []
        self._closing = False
        self._thread = threading.Thread(target=self._receive, name="dds-receiver", daemon=True)
        self._thread.start()

    def advertise(self, topic: str, type_name: str, qos: Qos) -> DdsPublisher:
        """As `Middleware.advertise`."""
        return DdsPublisher(self._dds, type_name, self._writer("rt", topic, type_name, qos))

    def subscribe(self, topic: str, type_name: str, qos: Qos, on_message: Callable[[Any], None]) -> DdsSubscription:
        """As `Middleware.subscribe`."""
        subscription = DdsSubscription(type_name, on_message)
        subscription.reader = self._listen("rt", topic, type_name, qos, subscription.take)
        self._subscriptions.append(subscription)
        return subscription

    def serve(self, service: str, type_name: str, on_request: Callable[[Any, Answer], None]) -> None:
        """As `Middleware.serve`."""
        request, response = f"{type_name}_Request", f"{type_name}_Response"
        writer = self._writer("rr", f"{service}Reply", response, _SERVICE)
        writing = threading.Lock()

        def take(data: bytes) -> None:
            try:
                asked_by, asked = _split(data)
                message = types.decode(request, asked)
            except ValueError as error:
                log.warning(
                    "a request for %s cannot be read (%s): clients have to use rmw_cyclonedds_cpp", service, error
                )
                return

            def answer(fields: Fields) -> None:
                reply = types.encode(response, fields)
                with writing:
                    self._dds.write(writer, reply[:_ENCAPSULATION_BYTES] + asked_by + reply[_ENCAPSULATION_BYTES:])

            on_request(message, answer)

        self._listen("rq", f"{service}Request", request, _SERVICE, take)

    def publishers(self) -> list[Endpoint]:
        """As `Middleware.publishers`."""
        with self._lock:
            samples = [] if self._closing else self._found.read(N=10_000)
        alive = self._dds.core.InstanceState.Alive
        found = [_endpoint(self._dds, each) for each in samples if each.sample_info.instance_state == alive]
        return [each for each in found if each is not None]

    def close(self) -> None:
        """As `Middleware.close`."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            self._wake.set(True)
        self._thread.join()
        for each in self._subscriptions:
            each.end()
        self._readers.clear()
        self._wait_set = self._found = self._wake = None
        self._participant = self._domain = None

    def _writer(self, prefix: str, topic: str, type_name: str, qos: Qos) -> Any:
        return self._dds.pub.DataWriter(
            self._participant, self._topic(prefix, topic, type_name), self._qos(type_name, qos, writer=True)
        )

    def _listen(self, prefix: str, topic: str, type_name: str, qos: Qos, take: Callable[[bytes], None]) -> Any:
        dds = self._dds
        with self._lock:
            reader = dds.sub.DataReader(
                self._participant, self._topic(prefix, topic, type_name), self._qos(type_name, qos)
            )
            anything = dds.core.SampleState.Any | dds.core.ViewState.Any | dds.core.InstanceState.Any
            condition = dds.core.ReadCondition(reader, anything)
            self._wait_set.attach(condition)
            self._readers.append(_Reader(reader, condition, take))
        return reader

    def _topic(self, prefix: str, topic: str, type_name: str) -> Any:
        made = _idl(type_name, with_id=prefix != "rt")
        return self._dds.topic.Topic(self._participant, f"{prefix}{topic}", made)

    def _qos(self, type_name: str, qos: Qos, writer: bool = False) -> Any:
        policy = self._dds.Policy
        # A writer whose reader does not keep up drops the message rather than wait.
        reliable = policy.Reliability.Reliable(max_blocking_time=0)
        policies = [
            reliable if qos.reliability == "reliable" else policy.Reliability.BestEffort,
            policy.Durability.TransientLocal if qos.durability == "transient_local" else policy.Durability.Volatile,
            policy.History.KeepLast(qos.depth),
            policy.DataRepresentation(use_cdrv0_representation=True),
            policy.Userdata(data=f"typehash={types.type_hash(type_name)};".encode()),
        ]
        if not writer:
            policies.append(policy.TypeConsistency.AllowTypeCoercion())
        return self._dds.Qos(*policies)

    def _receive(self) -> None:
        dds = self._dds
        while not self._closing:
            self._wait_set.wait(dds.util.duration(milliseconds=_WAIT_MS))
            with self._lock:
                readers = [] if self._closing else list(self._readers)
            for each in readers:
                for data in dds.take(each.reader, _AT_ONCE):
                    try:
                        each.take(data)
                    except Exception:
                        log.exception("a message came to nothing")


class DdsPublisher:
    """As `Publisher`."""

    def __init__(self, dds: _Cyclone, type_name: str, writer: Any) -> None:
        self._dds = dds
        self._type_name = type_name
        self._writer = writer

    @property
    def listeners(self) -> int:
        """As `Publisher.listeners`."""
        return len(self._writer.get_matched_subscriptions())

    def publish(self, fields: Fields) -> bool:
        """As `Publisher.publish`."""
        return self._dds.write(self._writer, types.encode(self._type_name, fields))


class DdsSubscription:
    """As `Subscription`."""

    def __init__(self, type_name: str, on_message: Callable[[Any], None]) -> None:
        self.type_hash: str | None = types.type_hash(type_name)
        self.malformed = 0
        self.reader: Any = None
        self._lost = 0
        self._type_name = type_name
        self._on_message = on_message

    @property
    def lost(self) -> int:
        """As `Subscription.lost`."""
        return self._lost if self.reader is None else int(self.reader.get_sample_lost_status().total_count)

    def end(self) -> None:
        """Keep the last count: the reader cannot be asked any more."""
        self._lost, self.reader = self.lost, None

    def take(self, data: bytes) -> None:
        """Hand a message on, or count it."""
        try:
            message = types.decode(self._type_name, data)
        except ValueError as error:
            self.malformed += 1
            if self.malformed == 1:
                log.warning("a message that came is no %s: %s; such are counted and left out", self._type_name, error)
            return
        self._on_message(message)


class _Reader:
    def __init__(self, reader: Any, condition: Any, take: Callable[[bytes], None]) -> None:
        self.reader = reader
        self.condition = condition
        self.take = take


class _Cyclone:
    """The modules of cyclonedds, and its two calls for bytes."""

    def __init__(self) -> None:
        what = "for ROS 2 without a ROS installation"
        modules = ("builtin", "core", "domain", "pub", "sub", "topic", "util", "qos")
        for name in modules:
            setattr(self, name, load(f"cyclonedds.{name}", "ros2", what))
        self.Qos, self.Policy = self.qos.Qos, self.qos.Policy

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def write(self, writer: Any, data: bytes) -> bool:
        """Send bytes, padded as Cyclone wants them; False if there was no room."""
        padded = data.ljust(-len(data) % 4 + len(data), b"\0")
        try:
            writer.write(writer.data_type(padded))
        except self.core.DDSException as error:
            if error.code != self.core.DDSException.DDS_RETCODE_TIMEOUT:
                raise
            return False
        return True

    def take(self, reader: Any, most: int) -> list[bytes]:
        """The bytes of the messages that wait, without those that only say that a publisher has gone."""
        return [each.data for each in reader.take(most) if isinstance(each, reader.topic.data_type)]


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Who asked, and what, as a message of its own."""
    if len(data) < _ENCAPSULATION_BYTES + _REQUEST_ID_BYTES:
        raise ValueError(f"it has {len(data)} bytes")
    body = _ENCAPSULATION_BYTES + _REQUEST_ID_BYTES
    return data[_ENCAPSULATION_BYTES:body], data[:_ENCAPSULATION_BYTES] + data[body:]


def _endpoint(dds: _Cyclone, found: Any) -> Endpoint | None:
    kind = _TYPE.fullmatch(found.type_name)
    if not found.topic_name.startswith("rt/") or kind is None:
        return None
    policies = {policy.__scope__: policy for policy in found.qos}
    said = _HASH.search(getattr(policies.get("Userdata"), "data", b""))
    reliability: Reliability = "best_effort"
    if policies.get("Reliability") != dds.Policy.Reliability.BestEffort:
        reliability = "reliable"
    durable = policies.get("Durability") not in (None, dds.Policy.Durability.Volatile)
    return Endpoint(
        topic=found.topic_name.removeprefix("rt"),
        type="/".join(kind.groups()),
        type_hash=said and said[1].decode(),
        qos=Qos(reliability=reliability, durability="transient_local" if durable else "volatile"),
    )


@cache
def _idl(type_name: str, with_id: bool = False) -> Any:
    """The type as Cyclone has it: true to its fields, which it checks and peers may compare; its bytes go as they are.

    Args:
        type_name: of the message.
        with_id: whether it begins with the 16 bytes of a request or a reply.
    """
    idl = load("cyclonedds.idl", "ros2", "for ROS 2 without a ROS installation")
    package, kind, short = type_name.split("/")
    fields = {name: _idl_field(desc) for name, desc in types.typestore().fielddefs[type_name][1]}
    if with_id:
        t = load("cyclonedds.idl.types", "ros2", "for ROS 2 without a ROS installation")
        fields = {"guid": t.uint64, "seq": t.int64, **fields}
    made = idl.make_idl_struct(f"{short}_", f"{package}::{kind}::dds_::{short}_", fields, dataclassify=False)

    def keep(self: Any, data: bytes) -> None:
        self.data = data

    # Cyclone's own conversion, field by field in Python, takes a quarter of a second for a picture.
    made.__init__ = keep
    made.serialize = lambda self, *_, **__: self.data
    made.deserialize = classmethod(lambda cls, data, *_, **__: cls(data))
    made.deserialize_key = made.deserialize
    return made


def _idl_field(desc: Any) -> Any:
    t = load("cyclonedds.idl.types", "ros2", "for ROS 2 without a ROS installation")
    kind, rest = desc
    if kind.name == "NAME":
        return _idl(rest)
    if kind.name == "ARRAY":
        return t.array[_idl_field(rest[0]), rest[1]]
    if kind.name == "SEQUENCE":
        return t.sequence[_idl_field(rest[0])]
    plain = {"bool": bool, "string": str, "byte": t.uint8, "char": t.uint8, "octet": t.uint8}
    return plain[rest[0]] if rest[0] in plain else getattr(t, rest[0])


def _domain() -> int:
    said = os.environ.get("ROS_DOMAIN_ID") or "0"
    if not said.isdecimal() or int(said) > 232:
        raise UsageError(f"expected ROS_DOMAIN_ID to be a whole number from 0 to 232, got {said!r}; set it anew")
    return int(said)


def _configuration() -> str:
    """Large messages in few packets, and room for a whole picture to arrive at once: Cyclone's defaults lose most."""
    here_only = (
        os.environ.get("ROS_LOCALHOST_ONLY") == "1"
        or os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper() == "LOCALHOST"
    )
    # Found both ways: some of ROS's own middlewares ask each port of the machine, some ask by multicast.
    interfaces, discovery = "", ""
    if here_only:
        interfaces = "<Interfaces><NetworkInterface address='127.0.0.1' multicast='true'/></Interfaces>"
        discovery = (
            "<Discovery><ParticipantIndex>auto</ParticipantIndex><MaxAutoParticipantIndex>99</MaxAutoParticipantIndex>"
            "<Peers><Peer address='127.0.0.1'/></Peers></Discovery>"
        )
    return (
        f"<CycloneDDS><Domain Id='any'><General>{interfaces}<MaxMessageSize>65500B</MaxMessageSize>"
        f"<FragmentSize>65000B</FragmentSize></General>{discovery}<Internal>"
        f"<SocketReceiveBufferSize max='{_receive_bytes()}B'/></Internal></Domain></CycloneDDS>"
    )


def _receive_bytes() -> int:
    """What the kernel allows, up to some pictures; a limit that is not known is tried."""
    with contextlib.suppress(OSError, ValueError):
        return min(int(Path("/proc/sys/net/core/rmem_max").read_text()), _RECEIVE_MAX_BYTES)
    return _RECEIVE_MAX_BYTES
