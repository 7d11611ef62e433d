"""Which way imports point, and what may be imported at all, read from the source."""

from __future__ import annotations

import ast
import graphlib
import itertools
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from streamseg.extras import EXTRAS

ROOT = Path(__file__).parent.parent
LONGEST_FILE = 400

FOUNDATION = (
    "streamseg.types",
    "streamseg.errors",
    "streamseg.extras",
    "streamseg.plain_data",
    "streamseg.redaction",
    "streamseg.regular_files",
    "streamseg.result_files",
    "streamseg.structs",
    "streamseg.yaml_files",
)
MESSAGES = (*FOUNDATION, "streamseg.messages", "streamseg.commands")
NODE = (*MESSAGES, "streamseg.jobs", "streamseg.captured", "streamseg.node")
GRAPHS = (*NODE, "streamseg.mailbox", "streamseg.frame_pipe", "streamseg.graph", "streamseg.runtime")
ARRAYS = ("streamseg.sam", "streamseg.tracking", "streamseg.video", "streamseg.masks", "streamseg.prompts")

# Room -> rooms it may import from, itself included. The longest name that fits a module is its room.
ARROWS: dict[str, tuple[str, ...]] = {
    "streamseg.errors": (),
    "streamseg.types": (),
    "streamseg.extras": ("streamseg.errors",),
    "streamseg.redaction": (),
    "streamseg.plain_data": (),
    "streamseg.regular_files": (),
    "streamseg.result_files": (),
    "streamseg.structs": ("streamseg.errors", "streamseg.plain_data"),
    "streamseg.yaml_files": ("streamseg.errors", "streamseg.regular_files"),
    "streamseg.mailbox": (),
    "streamseg.frame_pipe": ("streamseg.errors",),
    "streamseg.messages": FOUNDATION,
    "streamseg.commands": FOUNDATION,
    "streamseg.jobs": (),
    "streamseg.commits": (*FOUNDATION, "streamseg.jobs"),
    "streamseg.captured": MESSAGES,
    "streamseg.node": (*MESSAGES, "streamseg.jobs", "streamseg.captured"),
    "streamseg.detector": NODE,
    "streamseg.transport": (*MESSAGES, "streamseg.transport"),
    "streamseg.masks": (*FOUNDATION, "streamseg.masks"),
    "streamseg.prompts": (*FOUNDATION, "streamseg.masks", "streamseg.prompts"),
    "streamseg.video": (
        *FOUNDATION,
        "streamseg.frame_pipe",
        "streamseg.mailbox",
        "streamseg.masks",
        "streamseg.publishing",
        "streamseg.robotics",
        "streamseg.video",
    ),
    "streamseg.tracking": (*FOUNDATION, "streamseg.masks", "streamseg.prompts", "streamseg.tracking"),
    "streamseg.sam": (*FOUNDATION, "streamseg.masks", "streamseg.prompts", "streamseg.sam"),
    "streamseg.stills": (*FOUNDATION, "streamseg.masks", "streamseg.prompts", "streamseg.sam", "streamseg.stills"),
    "streamseg.segment_anything": ("streamseg.sam.models", "streamseg.stills", "streamseg.segment_anything"),
    "streamseg.publishing": (*MESSAGES, "streamseg.masks", "streamseg.publishing"),
    "streamseg.robotics": (*FOUNDATION, "streamseg.masks", "streamseg.robotics"),
    "streamseg.ros2": (*MESSAGES, "streamseg.masks", "streamseg.robotics", "streamseg.ros2"),
    "streamseg.graph": (*NODE, "streamseg.graph"),
    "streamseg.monitoring": (*NODE, "streamseg.graph", "streamseg.transport", "streamseg.monitoring"),
    "streamseg.runtime": (*GRAPHS, "streamseg.masks", "streamseg.transport"),
    "streamseg.remote": (*GRAPHS, "streamseg.publishing", "streamseg.remote", "streamseg.transport"),
    "streamseg.formats": (
        *FOUNDATION,
        "streamseg.formats",
        "streamseg.masks",
        "streamseg.prompts",
        "streamseg.tracking.records",
        "streamseg.video",
    ),
    "streamseg.label_studio": (
        *GRAPHS,
        *ARRAYS,
        "streamseg.__version__",
        "streamseg.formats",
        "streamseg.stills",
        "streamseg.label_studio",
    ),
    "streamseg.cvat": (*FOUNDATION, *ARRAYS, "streamseg.runtime.library.tracker", "streamseg.stills", "streamseg.cvat"),
    "streamseg.batches": (*FOUNDATION, "streamseg.batches"),
    # These stand beside the command, on top of everything: nothing below may need them.
    "streamseg.evaluation": (*GRAPHS, *ARRAYS, "streamseg.evaluation", "streamseg.stills"),
    "streamseg.benchmarking": (*GRAPHS, *ARRAYS, "streamseg.transport", "streamseg.benchmarking"),
    "streamseg.training": (*FOUNDATION, *ARRAYS, "streamseg.evaluation", "streamseg.training"),
    "streamseg.cli": ("streamseg", "streamseg_nodes.page", "streamseg_nodes.record"),
    "streamseg.__main__": ("streamseg.cli",),
    "streamseg": (
        "streamseg.formats.runs.run",
        "streamseg.runtime.library.frame_result",
        "streamseg.runtime.library.prompting",
        "streamseg.runtime.library.segment_video",
        "streamseg.runtime.library.tracker",
        "streamseg.stills.automatic",
        "streamseg.stills.predictor",
    ),
    "streamseg_nodes": (
        *NODE,
        "streamseg.commits",
        "streamseg.detector",
        "streamseg.mailbox",
        "streamseg.publishing",
        "streamseg.robotics",
        "streamseg.ros2",
        *ARRAYS,
        "streamseg_nodes",
    ),
}

SOURCES = sorted([*(ROOT / "streamseg").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")])
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


def module_name(path: Path) -> str:
    base = ROOT / "nodes" if path.is_relative_to(ROOT / "nodes") else ROOT
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def inside(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names of all that is imported anywhere in a module, relative imports excepted (there are none)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def breaches(module: str, imported: list[str]) -> list[str]:
    """Those of the imports that point the wrong way."""
    room = max((room for room in ARROWS if inside(module, room)), key=len)
    ours = [name for name in imported if name.partition(".")[0] in ("streamseg", "streamseg_nodes")]
    return [name for name in ours if not any(inside(name, allowed) for allowed in ARROWS[room])]


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_point_the_right_way(path: Path) -> None:
    assert not breaches(module_name(path), list(imports(TREES[path])))


def test_a_wrong_import_is_seen() -> None:
    assert breaches("streamseg.masks.boxes", ["numpy", "streamseg.errors.UsageError", "streamseg.node.Node"]) == [
        "streamseg.node.Node"
    ]
    assert breaches("streamseg_nodes.decode", ["streamseg.transport.slots"]) == ["streamseg.transport.slots"]


def circle(trees: Mapping[str, ast.AST]) -> list[str]:
    """Modules of which each is imported by the next, the first once more at the end; empty if there is no circle.

    An import counts wherever it stands: at the top, for type checking alone, or inside a function.
    """
    graph: dict[str, set[str]] = {}
    for module, tree in trees.items():
        paths = (name.split(".") for name in imports(tree))
        prefixes = ([".".join(path[:length]) for length in range(len(path), 0, -1)] for path in paths)
        found = (next((name for name in names if name in trees), module) for names in prefixes)
        graph[module] = {name for name in found if name != module}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_import_goes_in_a_circle() -> None:
    assert not circle({module_name(path): tree for path, tree in TREES.items()})


@pytest.mark.parametrize(
    "back",
    [
        "import package.low",
        "from package import low",
        "from package.low import thing",
        "if TYPE_CHECKING:\n    from package.low import Thing",
        "def later():\n    from package.low import thing",
    ],
)
def test_a_circle_is_seen(back: str) -> None:
    sources = {"package": "", "package.low": "import package.middle", "package.middle": "from package import high"}
    trees = {module: ast.parse(source) for module, source in sources.items()}
    assert not circle({**trees, "package.high": ast.parse("import os.path\nfrom package.other import thing")})
    found = circle({**trees, "package.high": ast.parse(back)})
    assert found[0] == found[-1]
    assert set(found) == {"package.low", "package.middle", "package.high"}


def test_imports_are_absolute() -> None:
    relative = [
        module_name(path)
        for path, tree in TREES.items()
        if any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))
    ]
    assert not relative


LIGHT_ROOMS = (
    "streamseg.masks",
    "streamseg.prompts",
    "streamseg.tracking",
    "streamseg.video",
    "streamseg.publishing",
    "streamseg.robotics",
    "streamseg.formats",
)


def test_only_models_import_torch() -> None:
    for path, tree in TREES.items():
        if any(inside(module_name(path), room) for room in LIGHT_ROOMS):
            heavy = [n for n in imports(tree) if n.partition(".")[0] in ("torch", "torchvision", "segment_anything")]
            assert not heavy, path


PICKLERS = ("shelve", "marshal", "dill", "cloudpickle", "joblib", "multiprocessing")


def unpickles(tree: ast.AST) -> Iterator[str]:
    """What in a module could build objects from bytes: pickle in all its disguises."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("pickle", *PICKLERS):
            yield f"line {node.lineno}: from {node.module}"
        # `pickle` itself may be imported: see below. multiprocessing pickles whatever goes through its queues.
        if isinstance(node, ast.Import):
            yield from (f"line {node.lineno}: import {a.name}" for a in node.names if a.name.split(".")[0] in PICKLERS)
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            # The name of the error is all that may be taken from it.
            if owner == "pickle" and node.attr != "UnpicklingError":
                yield f"line {node.lineno}: pickle.{node.attr}"
            if node.attr in ("send_pyobj", "recv_pyobj"):
                yield f"line {node.lineno}: {node.attr}"
        if isinstance(node, ast.Call):
            given = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
            if given.get("allow_pickle"):
                yield f"line {node.lineno}: allow_pickle"
            if ast.unparse(node.func) in (
                "eval",
                "exec",
                "yaml.load",
                "torch.jit.load",
                "torch.package.PackageImporter",
            ):
                yield f"line {node.lineno}: {ast.unparse(node.func)}"
            if ast.unparse(node.func) == "torch.load" and given.get("weights_only") is not True:
                yield f"line {node.lineno}: torch.load without weights_only=True"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_nothing_is_unpickled(path: Path) -> None:
    assert not list(unpickles(TREES[path]))


def test_unpickling_is_seen() -> None:
    text = "import pickle\nfrom marshal import loads\npickle.loads(b'')\nnp.load(f, allow_pickle=True)\ntorch.load(f)\n"
    text += "import multiprocessing.queues\nyaml.load(f)\nsocket.recv_pyobj()\n"
    assert len(list(unpickles(ast.parse(text)))) == 7


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_a_file_is_one_room(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


LIGHT = [
    "streamseg",
    "streamseg.cli",
    "streamseg.cli.commands.convert",
    "streamseg.cli.running.watching",
    "streamseg.formats.runs.run",
    "streamseg.monitoring.figures",
    "streamseg.runtime.library.segment_video",
    "streamseg.runtime.library.tracker",
    "streamseg.runtime.worker.process",
    "streamseg.segment_anything",
    "streamseg_nodes.cleanup",
    "streamseg_nodes.decode",
    "streamseg_nodes.embed",
    "streamseg_nodes.discover",
    "streamseg_nodes.motion",
    "streamseg_nodes.page.node",
    "streamseg_nodes.propagate.node",
    "streamseg_nodes.publish",
    "streamseg_nodes.record.node",
    "streamseg_nodes.rerun.node",
    "streamseg_nodes.ros2.image",
    "streamseg_nodes.ros2.masks",
    "streamseg_nodes.text_detector",
]


HEAVY_EXTRAS = sorted(set(itertools.chain(*EXTRAS.values())))


@pytest.mark.parametrize("module", LIGHT)
def test_imports_are_cheap(module: str) -> None:
    """Embed and propagate too: whoever checks a graph, or receives their messages, imports their classes."""
    heavy = ["torch", "torchvision", "segment_anything", "onnxruntime", "matplotlib", *HEAVY_EXTRAS]
    script = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_streamseg_imports_next_to_nothing() -> None:
    script = "import sys, streamseg; print([n for n in ('numpy', 'zmq', 'av', 'cv2', 'yaml') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
