"""Commands to a graph of real processes: every one gets one answer, whatever happens."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import msgspec
import pytest
from support.told_nodes import Told
from support.toy_nodes import Counter

from streamseg.commands import Answer, Applied, Refused
from streamseg.errors import RunError
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.runtime.supervision.command_queue import CommandQueue
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.transport import command_socket


def plan_of(*names: str, **count: Any) -> Plan:
    """A source, and nodes that take commands below it."""
    counter = {"use": f"{Counter.__module__}:Counter", "options": {"frames": 40, "pause_s": 0.05, **count}}
    told = {name: {"use": f"{Told.__module__}:Told"} for name in names}
    return Plan(config.parse({"nodes": {"count": counter, **told}, "links": [f"count -> {name}" for name in names]}))


def run(plan: Plan, *orders: str, node: str | None = None) -> tuple[list[Answer], RunError | None]:
    """Give orders while processes start, run to the end, and return the answers and what ended the run."""
    answers: list[Answer] = []
    command_queue = CommandQueue(plan)
    error: RunError | None = None
    for order in orders:
        command_queue.submit(node, msgspec.msgpack.encode({"do": order}), answers.append)
    with Supervisor(plan, command_queue=command_queue) as supervisor:
        try:
            supervisor.run()
        except RunError as caught:
            error = caught
    command_queue.close(error)
    return answers, error


def test_answers_come_now_or_later_and_errors_are_answers() -> None:
    answers, error = run(plan_of("told"), "answer", "wait", "refuse", "break", "sing", "answer")
    assert error is None, "what a node's code raises on a command costs that command only"
    kinds = {type(answer) for answer in answers}
    assert (len(answers), kinds) == (6, {Applied, Refused})
    refused = [(answer.kind, answer.message) for answer in answers if isinstance(answer, Refused)]
    assert refused[0] == ("UsageError", "not today")
    assert refused[1] == ("KeyError", "KeyError: 'something unforeseen'")
    assert refused[2][0] == "PromptError"
    assert "'sing'" in refused[2][1]
    assert sorted(answer.id for answer in answers if isinstance(answer, Applied)) == [0, 0, 1]


@pytest.mark.parametrize(("order", "reason"), [("forget", "it came to its end"), ("die", "node 'told' was killed")])
def test_what_a_node_never_answers_is_refused_at_the_end(order: str, reason: str) -> None:
    answers, error = run(plan_of("told"), "forget", order)
    assert [type(answer) for answer in answers] == [Refused, Refused]
    assert all("over before the command" in answer.message for answer in answers if isinstance(answer, Refused))
    assert reason in str(answers[0])
    assert (error is None) == (order == "forget")


@pytest.mark.slow
def test_of_several_nodes_one_is_named() -> None:
    plan = plan_of("left", "right")
    answers, _ = run(plan, "answer")
    assert isinstance(answers[0], Refused)
    assert "say which node: left, right" in answers[0].message
    answers, _ = run(plan, "answer", node="rigth")
    assert "did you mean 'right'" in str(answers[0])
    answers, _ = run(plan, "answer", node="right")
    assert isinstance(answers[0], Applied)


def test_what_a_dead_process_was_handed_is_handed_to_the_next_one() -> None:
    answers: list[Answer] = []
    plan = plan_of("left", "right", frames=1, pause_s=0)
    command_queue = CommandQueue(plan)
    for node in ("left", "right", "left", "left"):
        command_queue.submit(node, msgspec.msgpack.encode({"do": "answer"}), answers.append)
    first = list(command_queue.take())
    command_queue.answer(first[0][1], Refused("UsageError", "no"))
    assert list(command_queue.take()) == []
    command_queue.requeue("left")
    assert [(node, bytes(body)) for node, _, body in command_queue.take()] == [
        (node, bytes(body)) for node, _, body in first[2:]
    ]
    command_queue.answer(first[2][1], Refused("UsageError", "from the dead"))
    assert len(answers) == 1, "the dead do not answer"
    # And in processes: a second run with the same command_queue, as when a job is started again.
    with Supervisor(plan, command_queue=command_queue) as supervisor:
        supervisor.run()
    command_queue.close()
    assert [type(answer) for answer in answers] == [Refused, Applied, Applied, Applied]


def test_too_many_at_once_are_refused() -> None:
    answers: list[Answer] = []
    command_queue = CommandQueue(plan_of("told"))
    for _ in range(1001):
        command_queue.submit(None, msgspec.msgpack.encode({"do": "wait"}), answers.append)
    assert len(answers) == 1
    assert "1000 commands wait" in str(answers[0])
    command_queue.close()
    assert len(answers) == 1001
    command_queue.submit(None, b"", answers.append)
    assert "came to its end" in str(answers[-1])


def test_a_graph_without_a_node_that_takes_commands() -> None:
    graph = {
        "nodes": {"count": {"use": "support.toy_nodes:Counter"}, "sum": {"use": "support.toy_nodes:Follow"}},
        "links": ["count -> sum"],
    }
    answers: list[Answer] = []
    CommandQueue(Plan(config.parse(graph), results_from="sum")).submit(None, b"", answers.append)
    assert "no node of this graph takes any" in str(answers[0])


def test_a_command_that_comes_while_processes_start_does_not_keep_a_core_busy(tmp_path_factory: Any) -> None:
    control = tmp_path_factory.mktemp("c") / "s"
    counter = {"use": f"{Counter.__module__}:Counter", "options": {"frames": 3}}
    told = {"use": f"{Told.__module__}:SlowTold"}
    plan = Plan(config.parse({"nodes": {"count": counter, "told": told}, "links": ["count -> told"]}))
    command_queue = CommandQueue(plan, control)
    answers: list[Answer] = []
    body = msgspec.msgpack.encode({"do": "answer"})
    client = threading.Thread(target=lambda: answers.append(command_socket.ask(control, None, body, 60)))
    client.start()
    rounds = 0
    with Supervisor(plan, command_queue=command_queue) as supervisor:
        while supervisor.state == "starting":
            supervisor.pump(500)
            rounds += 1
        supervisor.run()
    command_queue.close()
    client.join()
    assert [type(answer) for answer in answers] == [Applied]
    assert rounds < 100, "each round waited for news; there were thousands"


def test_a_command_can_be_taken_back_while_it_waits_and_while_a_node_has_it() -> None:
    plan = plan_of("told", frames=1, pause_s=0)
    command_queue = CommandQueue(plan)
    answers: dict[str, list[Answer]] = {"waits": [], "handed on": [], "kept": [], "in force": []}
    replies = {name: partial(_note, found) for name, found in answers.items()}
    body = msgspec.msgpack.encode({"do": "answer"})
    for name in ("in force", "handed on"):
        command_queue.submit(None, body, replies[name])
    numbers = [number for _, number, _ in command_queue.take()]
    for name in ("waits", "kept"):
        command_queue.submit(None, body, replies[name])
    command_queue.answer(numbers[0], Applied(what="added", id=1, stream="count", frame=3))
    for name in ("waits", "handed on", "in force"):
        command_queue.withdraw(replies[name])
    assert list(command_queue.withdrawn()) == [("told", numbers[1])]
    assert list(command_queue.withdrawn()) == [], "said once"
    assert "taken back" in str(answers["waits"])
    command_queue.requeue("told")
    assert "taken back" in str(answers["handed on"]), "the process that had it is dead"
    assert [len(found) for found in answers.values()] == [1, 1, 0, 1]
    assert len(list(command_queue.take())) == 1
    command_queue.close()


def _note(answers: list[Answer], answer: Answer) -> None:
    answers.append(answer)


def test_what_has_come_into_force_is_kept_until_its_frame_is() -> None:
    plan = plan_of("told", frames=1, pause_s=0)
    command_queue = CommandQueue(plan)
    for _ in range(101):
        command_queue.submit(None, msgspec.msgpack.encode({"do": "answer"}), lambda answer: None)
    for frame, (_, number, _) in enumerate(list(command_queue.take())):
        command_queue.answer(number, Applied(what="added", id=frame, stream="count", frame=frame))
    assert command_queue.past_is_long
    command_queue.forget_past({"count": 98, "another": 1000})
    assert [(each.node, each.id, each.frame) for each in command_queue.past] == [("told", 99, 99), ("told", 100, 100)]
    command_queue.forget_past({})
    assert len(command_queue.past) == 2
    command_queue.close()
