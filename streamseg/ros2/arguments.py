"""What ROS passes to a node on the command line, after ``--ros-args``: names remapped, parameters, its own name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streamseg.errors import UsageError
from streamseg.yaml_files import parse_yaml, read_yaml

_NAME = re.compile(r"/?[A-Za-z_~][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")
_LOG = ("--log-level", "--log-config-file")
_TAKES_VALUE = ("-r", "--remap", "-p", "--param", "--params-file", "-e", "--enclave", *_LOG)
_MEANS_NOTHING = ("use_sim_time", "start_type_description_service")
"""Parameters that launch files give to every node: the stamps that go out are those of the images, whatever clock."""


class RosArguments(msgspec.Struct, frozen=True, kw_only=True):
    """What was passed."""

    node: str
    namespace: str = "/"
    remaps: tuple[tuple[str, str], ...] = ()
    """From, to: as they were written."""
    parameters: dict[str, Any] = {}

    def resolve(self, name: str) -> str:
        """The full name of a topic or service, after remapping.

        Raises:
            UsageError: it is no name.
        """
        full = self._full(name)
        for old, new in self.remaps:
            if self._full(old) == full:
                return self._full(new)
        return full

    def _full(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"expected the name of a topic or service, say /camera/image_raw, got {name!r}; names have letters, "
                f"digits, _ and /"
            )
        namespace = self.namespace.rstrip("/")
        if name.startswith("~"):
            return f"{namespace}/{self.node}{name[1:] if name[1:].startswith('/') else '/' + name[1:]}"
        return name if name.startswith("/") else f"{namespace}/{name}"


def parse(words: Sequence[str], node: str) -> RosArguments:
    """Read what stands behind ``--ros-args``.

    Args:
        words: of the command line, from ``--ros-args`` on or from behind it.
        node: name of the node, if it is not given another one.

    Raises:
        UsageError: a word that is not understood.
    """
    remaps: list[tuple[str, str]] = []
    parameters: dict[str, Any] = {}
    files: list[str] = []
    names = {"__node": node, "__name": node, "__ns": "/"}
    for flag, value in _pairs(words):
        if flag in ("-r", "--remap"):
            old, new = _halves(flag, value, "-r image:=/camera/image_raw")
            old = old.partition(":")[2] or old  # a rule may say for which node it is: here there is one
            if old in names:
                names[old] = new
            else:
                remaps.append((old, new))
        elif flag in ("-p", "--param"):
            name, text = _halves(flag, value, "-p model:=tiny")
            parameters[name.partition(":")[2] or name] = _yaml(name, text)
        elif flag == "--params-file":
            files.append(value)
    called = names["__name"] if names["__node"] == node else names["__node"]
    from_files: dict[str, Any] = {}
    for each in files:
        from_files |= _parameters_in(Path(each), called)
    given = {name: value for name, value in {**from_files, **parameters}.items() if name not in _MEANS_NOTHING}
    namespace = "/" + names["__ns"].strip("/")
    return RosArguments(node=called, namespace=namespace, remaps=tuple(remaps), parameters=given)


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Flags with their values; those without a value, which are about ROS's own log, are passed over."""
    left = iter(words)
    for word in left:
        if word in ("--ros-args", "--"):
            continue
        if word in _TAKES_VALUE:
            value = next(left, None)
            if value is None:
                raise UsageError(f"expected a value after {word} of --ros-args, got nothing")
            yield word, value
        elif not re.fullmatch(r"--(enable|disable)-(rosout|stdout|external-lib)-logs", word):
            raise UsageError(
                f"expected -r FROM:=TO, -p NAME:=VALUE or --params-file FILE after --ros-args, got {word!r}; options "
                f"of streamseg stand before --ros-args"
            )


def _halves(flag: str, text: str, example: str) -> tuple[str, str]:
    left, found, right = text.partition(":=")
    if not found or not left or not right:
        raise UsageError(f"expected NAME:=VALUE after {flag}, such as {example}, got {text!r}")
    return left, right


def _yaml(name: str, text: str) -> Any:
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise UsageError(f"parameter {name}: expected a value in YAML, got {text!r}: {error}") from error


def _parameters_in(path: Path, node: str) -> dict[str, Any]:
    """Those of a node in a file as ROS has it: ``/**`` or the node's name, then ``ros__parameters``."""
    found = read_yaml(path, UsageError)
    if not isinstance(found, Mapping):
        raise UsageError(f"{path}: expected parameters by node, got {type(found).__name__}")
    parameters: dict[str, Any] = {}
    for name, entry in found.items():
        if str(name) in ("/**", "/*") or str(name).rpartition("/")[2] == node:
            inner = entry.get("ros__parameters") if isinstance(entry, Mapping) else None
            if not isinstance(inner, Mapping):
                raise UsageError(f"{path}: expected ros__parameters under {name}, as ROS has it")
            parameters |= {str(key): value for key, value in inner.items()}
    return parameters
