"""What has to agree when a version is given out, and what others have to be told."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OF_MAKERS = ("bench", "dev", "docs", "fuzz")
"""Extras that nobody is handed."""


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=;~! ]", requirement)[0]


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    headings = re.findall(r"^## (\S+)(?: - (\S+))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    version, day = next(heading for heading in headings if heading[0] != "Unreleased")
    assert PROJECT["version"] == citation["version"] == version
    assert citation["date-released"] == day
    assert citation["license"] == PROJECT["license"]
    assert citation["cff-version"] == "1.2.0" and citation["authors"] and citation["message"] and citation["title"]


def test_the_notices_name_every_package_that_is_brought() -> None:
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text().lower()
    extras = PROJECT["optional-dependencies"]
    brought = [*PROJECT["dependencies"], *(each for name in extras if name not in OF_MAKERS for each in extras[name])]
    assert not [name for name in map(name_of, brought) if not re.search(rf"(?<![\w-]){name}(?![\w-])", notices)]


def test_the_install_page_has_every_extra() -> None:
    page = (ROOT / "docs" / "install.md").read_text()
    extras = [name for name in PROJECT["optional-dependencies"] if name not in OF_MAKERS]
    assert not [name for name in extras if f"`pip install 'streamseg[{name}]'`" not in page]


def test_templates_of_issues_ask_for_the_doctor() -> None:
    folder = ROOT / ".github" / "ISSUE_TEMPLATE"
    for name in ("bug.yml", "wish.yml"):
        template = yaml.safe_load((folder / name).read_text())
        labels = [part["attributes"].get("label", "") for part in template["body"]]
        assert any("streamseg doctor --json" in label for label in labels), name
        assert {part["type"] for part in template["body"]} <= {
            "markdown",
            "textarea",
            "input",
            "dropdown",
            "checkboxes",
        }
    assert yaml.safe_load((folder / "config.yml").read_text()) == {"blank_issues_enabled": False}
