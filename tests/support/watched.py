"""Asking a run that is watched, as Prometheus and people do."""

from __future__ import annotations

import http.client
import math
import socket
from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families


class Answer(NamedTuple):
    status: int
    body: str
    headers: Mapping[str, str]


def get(port: int, path: str, **headers: str) -> Answer:
    """What the server says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, response.read().decode(), dict(response.getheaders()))
    finally:
        connection.close()


class Scrape:
    """The metrics of one moment, read by Prometheus' own client."""

    def __init__(self, text: str) -> None:
        self.kinds: dict[str, str] = {}
        self.values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(text):
            self.kinds[family.name] = family.type
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self.values, f"{key} comes twice"
                self.values[key] = sample.value

    def __call__(self, name: str, **labels: str) -> float:
        """One value."""
        return self.values[name, frozenset(labels.items())]

    def sum(self, name: str, **labels: str) -> float:
        """Of all that have these labels and maybe more."""
        return sum(
            value
            for (found, has), value in self.values.items()
            if found == name and labels.items() <= dict(has).items()
        )

    def counters(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """All that must never fall."""
        ends = ("_total", "_bucket", "_count", "_sum")
        return {key: value for key, value in self.values.items() if key[0].endswith(ends)}

    def check_histograms(self) -> int:
        """That buckets only grow, and the last of them has all. Returns how many histograms there are."""
        found: dict[tuple[str, frozenset[tuple[str, str]]], list[tuple[float, float]]] = {}
        for (name, has), value in self.values.items():
            if name.endswith("_bucket"):
                labels = dict(has)
                le = math.inf if labels["le"] == "+Inf" else float(labels["le"])
                rest = frozenset((key, each) for key, each in has if key != "le")
                found.setdefault((name.removesuffix("_bucket"), rest), []).append((le, value))
        for (name, rest), buckets in found.items():
            counts = [count for _, count in sorted(buckets)]
            assert counts == sorted(counts) and max(buckets)[0] == math.inf
            assert counts[-1] == self.values[f"{name}_count", rest]
        return len(found)


def scrape(port: int) -> Scrape:
    """The metrics as of now."""
    answer = get(port, "/metrics")
    assert answer.status == 200, answer
    return Scrape(answer.body)


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
