"""The process that stands for a worker on another machine.

To the supervisor and to its neighbors in the graph it is that worker: it binds the worker's inboxes, has its end of the
control channel and its heartbeat, and ends as the worker ends. All it does is to carry messages to and fro.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
import zmq

from streamseg.errors import RunError, StreamsegError, WireError, rebuild
from streamseg.graph import registry
from streamseg.graph.plan import Placed, feedback_inbox, finished_inbox, inbox
from streamseg.node import ports
from streamseg.publishing.keys import load_guest
from streamseg.redaction import redact_text
from streamseg.remote import terms
from streamseg.remote.freight import Loader, billed, plain, unload
from streamseg.remote.terms import Ended, Order, Waybill, unpacked
from streamseg.remote.uplink import Uplink
from streamseg.remote.ways import buffers_there, ways_out
from streamseg.runtime.worker.assignment import Assignment
from streamseg.runtime.worker.io import waiting
from streamseg.runtime.worker.process import run_assigned, setup_trouble, wait_for_exit
from streamseg.transport.control import (
    Beat,
    Bye,
    Figures,
    FromWorker,
    Ready,
    decode_from_supervisor,
    decode_from_worker,
)
from streamseg.transport.heartbeats import RelayedHeartbeat
from streamseg.transport.slots import SlotBuffer
from streamseg.transport.sockets import Sockets

log = logging.getLogger(__name__)

_WAIT_MS = 100
_AWAY_BUSY_S = 2.0
"""While the link is lost the worker counts as busy: nothing can move, and that is no reason to end the run."""


class Bridge:
    """Between the sockets of a run and one connection.

    Args:
        assignment: what a worker would be told.
        sockets: of the run.
        control: the worker's side of the control channel.

    Raises:
        StreamsegError: keys that cannot be used, or a node whose messages are not known here.
    """

    def __init__(self, assignment: Assignment, sockets: Sockets, control: zmq.Socket[bytes]) -> None:
        spec = assignment.spec
        placed = self._placed = _placed(assignment)
        self._identity = spec.identity
        self._heartbeat = None if assignment.heartbeat is None else RelayedHeartbeat(*assignment.heartbeat)
        guest = load_guest(Path(placed.host.own_key).expanduser(), Path(placed.host.server_key).expanduser())
        if guest is None:
            raise RunError(f"host {placed.name!r} has no keys")
        self._control = control
        there = buffers_there(placed)
        own = [] if spec.own_buffer is None else [spec.own_buffer]
        buffers = {
            each.number: SlotBuffer(
                assignment.file_descriptors[each.number], each.slots, each.slot_bytes, writable=each.number in there
            )
            for each in [*spec.buffers, *own]
        }
        self._writable = {number: buffer for number, buffer in buffers.items() if number in there}
        types = [gives for use in spec.inputs if (gives := ports(registry.load(use)).gives) is not None]
        self._loader = Loader(types, buffers, there, placed.host.pictures, placed.host.quality)
        self._inboxes: dict[str, zmq.Socket[bytes]] = {}
        if spec.inputs:
            self._inboxes[terms.IN] = sockets.pull(inbox(spec.name, spec.replica))
        if spec.feedback_inputs:
            self._inboxes[terms.BACK] = sockets.pull(feedback_inbox(spec.name, spec.replica))
        if spec.source:
            self._inboxes[terms.FINISHED] = sockets.pull(finished_inbox(spec.name))
        ways = ways_out(spec)[1]
        self._outbox = {str(number): sockets.push(way.endpoints) for number, way in enumerate(ways)}
        self._with_frames = {str(number) for number, way in enumerate(ways) if way.carries_frames}
        self._uplink = Uplink(
            placed.name,
            placed.host,
            guest,
            assignment.session,
            spec.identity,
            patient=assignment.job is not None and assignment.job.begun,
        )
        order = Order(spec, assignment.job, assignment.log_level)
        self._uplink.link.push(plain(terms.ORDER, msgspec.msgpack.encode(order)))
        self._ended: Ended | None = None
        self.ready = False
        """Whether the worker has been set up."""

    def run(self) -> int:
        """Carry messages until the worker has ended. Returns its exit code.

        Raises:
            StreamsegError: it was not started, or cannot be reached any more.
        """
        while self._ended is None:
            self._wait()
            self._take_from_here()
            for parts in self._uplink.receive():
                self._take_from_there(parts)
            self._tell_heartbeat()
        # What came last is kept over there until it is known to be here.
        self._uplink.link.ping()
        if self._ended.kind:
            raise rebuild(self._ended.kind, f"{self._uplink.text}: {self._ended.text}")
        if self._ended.code:
            log.error("on %s it %s", self._uplink.text, self._ended.text)
        return 1 if self._ended.code else 0

    def close(self) -> None:
        """Let what was sent last leave."""
        self._uplink.close()
        for socket in (*self._outbox.values(), self._control):
            socket.close(linger=1000)

    def _wait(self) -> None:
        poller = zmq.Poller()
        for socket in (self._control, self._uplink.socket, *self._inboxes.values()):
            poller.register(socket, zmq.POLLIN)
        poller.poll(_WAIT_MS)

    def _take_from_here(self) -> None:
        link = self._uplink.link
        while self._control.poll(0):
            said = self._control.recv()
            try:
                newest = terms.CONTROL if isinstance(decode_from_supervisor(said), Figures) else ""
            except WireError as error:
                log.warning("an instruction was thrown away: %s", error)
                continue
            link.push(plain(terms.CONTROL, said), newest=newest)
        for way, socket in self._inboxes.items():
            for parts in waiting(socket):
                if way == terms.IN:
                    link.push(self._loader.load(way, parts))
                else:
                    link.push(plain(way, *(part.bytes for part in parts)))

    def _take_from_there(self, parts: list[memoryview]) -> None:
        waybill = billed(parts)
        if waybill.way == terms.CONTROL:
            self._control.send(self._with_facts(bytes(parts[1])))
        elif waybill.way == terms.ENDED:
            self._ended = unpacked(parts[1], Ended)
        elif waybill.way in self._outbox:
            self._pass_on(waybill, parts[1:])

    def _pass_on(self, waybill: Waybill, parts: list[memoryview]) -> None:
        socket = self._outbox[waybill.way]
        if waybill.way not in self._with_frames:
            socket.send_multipart(parts)
            return
        try:
            socket.send_multipart(unload(waybill, parts, self._writable))
        except WireError as error:
            log.warning("a message from %s was thrown away: %s", self._uplink.text, error)

    def _with_facts(self, said: bytes) -> bytes:
        """What the worker says of itself, and what there is to say of the way to it."""
        try:
            _, message = decode_from_worker([self._identity.encode(), said])
        except WireError:
            return said  # whoever gets it says so
        found: FromWorker = message
        if isinstance(message, (Ready, Bye)):
            self.ready = True
            found = msgspec.structs.replace(message, facts={**message.facts, "host": self._facts()})
        if isinstance(message, (Beat, Bye)):
            counters = {**message.stats.counters, **self._counters()}
            found = msgspec.structs.replace(found, stats=msgspec.structs.replace(message.stats, counters=counters))
        return msgspec.msgpack.encode(found)

    def _facts(self) -> dict[str, Any]:
        host = self._placed.host
        facts: dict[str, Any] = {"name": self._placed.name, "address": host.address, "pictures": host.pictures}
        if host.changes_pixels:
            facts |= {"quality": host.quality, "pixels_changed": True}
        return facts | {"links_lost": self._uplink.lost, "away_s": round(self._uplink.away_s, 3)}

    def _counters(self) -> dict[str, int]:
        link = self._uplink.link
        sent, received = link.sent_bytes, link.received_bytes
        return {"links_lost": self._uplink.lost, "wire_bytes_sent": sent, "wire_bytes_received": received}

    def _tell_heartbeat(self) -> None:
        if self._heartbeat is None:
            return
        link = self._uplink.link
        if not link.up:
            self._heartbeat.tell(0.0, _AWAY_BUSY_S)
        elif link.pulse is not None and link.pulse[0] is not None:
            self._heartbeat.tell(link.pulse[0], link.pulse[1])


def _placed(assignment: Assignment) -> Placed:
    if assignment.spec.placed is None:
        raise RunError(f"node {assignment.spec.name!r} was to run on another machine, but nobody said on which")
    return assignment.spec.placed


def _run(assignment: Assignment) -> int:
    with Sockets(Path(assignment.run_dir)) as sockets:
        control = sockets.worker(assignment.spec.identity)
        bridge: Bridge | None = None
        try:
            bridge = Bridge(assignment, sockets, control)
            return bridge.run()
        except StreamsegError as error:
            if bridge is not None and bridge.ready:
                # The worker counts as dead, as any other would.
                log.error("%s", redact_text(str(error)))
                return 1
            control.send(msgspec.msgpack.encode(setup_trouble(error, assignment.spec.name)))
            wait_for_exit(control)
            return 1
        finally:
            # Whatever it was: a connection that is left open would keep the process from ending.
            if bridge is not None:
                bridge.close()


def main() -> int:
    """Entry point of the process."""
    return run_assigned(_run, "start a process for another machine")
