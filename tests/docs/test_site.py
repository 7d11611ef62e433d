"""The documentation as a site: its pages, its links, what is generated of the code, and all that is public."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

import streamseg
from streamseg.cli.main import COMMANDS
from streamseg.formats.format import entry_points as format_entry_points
from streamseg.graph import registry
from streamseg.graph.options import named_options

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "site"
LINK = re.compile(r"\]\(([^()\s:]+)\)")


def of_site(name: str) -> ModuleType:
    """A module of docs/site, which is no package."""
    spec = importlib.util.spec_from_file_location(name, SITE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


make, api = of_site("make"), of_site("api_pages")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the site is built of."""
    made = tmp_path_factory.mktemp("site")
    assert make.make(made) == []
    return made


def prose(text: str) -> str:
    """A page without its code."""
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Those of the headings of a page, as GitHub and the site make them."""
    plain = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", plain, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_link_leads_somewhere(folder: Path) -> None:
    pages = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.md")}
    for page, text in pages.items():
        for target in LINK.findall(prose(text)):
            path, _, anchor = target.partition("#")
            full = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
            assert (folder / full).is_file(), f"{page}: {target}"
            if anchor and "api" not in full:
                assert anchor in anchors(pages[full]), f"{page}: {target}"


def test_a_link_that_leads_nowhere_is_seen() -> None:
    wrong: list[str] = []
    text = "[a](page.md) [b](nothing.md) [c](../README.md#x) [`d`](../samples/clip)\n```\n[f](no.md)\n```\n"
    turned = make.turn_links("own_loop.md", text, {"page.md"}, wrong)
    assert wrong == ["docs/own_loop.md: there is no nothing.md"]
    assert "[a](page.md)" in turned and "[c](index.md#x)" in turned and " `d`\n" in turned
    assert "\n[f](no.md)\n" in turned, "code stays as it is"


def test_a_link_to_code_leads_to_the_page_that_is_made_of_it(folder: Path) -> None:
    wrong: list[str] = []
    turned = make.turn_links("start/a.md", "[errors](../../streamseg/errors.py)", set(), wrong)
    assert (turned, wrong) == ("[errors](../reference/errors.md)", [])
    for code, page in make.MADE_OF.items():
        assert (ROOT / code).exists() and (folder / page).is_file(), code


def test_links_of_the_repository_lead_somewhere() -> None:
    """As they stand, for who reads on GitHub or in an editor."""
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "samples").glob("*/*.md")]:
        for target in LINK.findall(prose(path.read_text())):
            name, _, anchor = target.partition("#")
            there = (path.parent / name).resolve() if name else path
            assert there.exists(), f"{path}: {target}"
            assert not anchor or anchor in anchors(there.read_text()), f"{path}: {target}"


def test_the_menu_has_every_page_once(folder: Path) -> None:
    listed = re.findall(r"^ +- ([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE)
    there = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.md"))
    assert sorted(listed) == there, "a new page goes into the menu in mkdocs.yml"


def test_the_reference_has_all_that_the_code_has(folder: Path) -> None:
    command = (folder / "reference" / "command.md").read_text()
    for name in COMMANDS:
        assert f"\n## {name}\n" in command
        assert f"usage: streamseg {name}" in command
    for option in named_options().values():
        assert option.flag in command
    nodes = (folder / "reference" / "nodes.md").read_text()
    for name in registry.entry_points():
        section = nodes.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for field in msgspec.structs.fields(registry.load(name).Config):
            assert f"| `{field.name}` |" in section, (name, field.name)
    assert "| `tracking.lost_score` | `float` | `0.2` | Below this estimated IoU the object is LOST. |" in nodes
    formats = (folder / "reference" / "formats.md").read_text()
    assert all(f"\n## {name}\n" in formats for name in format_entry_points())


def public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Name and value of what a module has for others: what it defines itself, or what it says."""
    said = getattr(module, "__all__", None)
    for name, value in vars(module).items():
        own = getattr(value, "__module__", module.__name__) == module.__name__
        if name in said if said is not None else (own and not name.startswith("_")):
            yield name, value


def undocumented(name: str, value: Any) -> Iterator[str]:
    """Of a function or class, and of what a class has itself, what has no docstring."""
    if inspect.isroutine(value) or isinstance(value, property):
        if not inspect.getdoc(value):
            yield name
    elif inspect.isclass(value) and value.__module__.startswith("streamseg"):
        if not value.__doc__:
            yield name
        for key, each in vars(value).items():
            called = inspect.isroutine(each) or isinstance(each, property | classmethod)
            if called and not key.startswith("_") and not inspect.getdoc(getattr(value, key)):
                yield f"{name}.{key}"


@pytest.mark.parametrize("name", api.MODULES)
def test_every_public_name_of_a_module_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    assert not [each for key, value in public(module) for each in undocumented(f"{name}.{key}", value)]


def test_every_public_name_of_streamseg_is_documented(folder: Path) -> None:
    page = (folder / "reference" / "api.md").read_text()
    for name in streamseg.__all__:
        if name == "__version__":
            continue
        assert not list(undocumented(name, getattr(streamseg, name)))
        assert f"::: streamseg.{name}\n" in page


def test_no_module_is_in_the_reference_twice() -> None:
    assert len(set(api.MODULES)) == len(api.MODULES)


def test_what_has_no_docstring_is_seen() -> None:
    class Thing:
        """One."""

        def said(self) -> None:
            """Two."""

        def unsaid(self) -> None:
            pass

    Thing.__module__ = "streamseg.thing"
    assert list(undocumented("Thing", Thing)) == ["Thing.unsaid"]


def test_what_docs_and_samples_import_is_on_the_site() -> None:
    """Or it is something that people should not be shown."""
    texts = [path.read_text() for kind in ("docs/**/*.md", "README.md") for path in ROOT.glob(kind)]
    found = {module for text in texts for module in re.findall(r"^from (streamseg[\w.]*) import", text, re.MULTILINE)}
    assert found - {"streamseg"} <= set(api.MODULES)
