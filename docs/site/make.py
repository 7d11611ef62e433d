"""Makes the folder of Markdown that the site is built of: the pages of docs/, some from elsewhere, and generated ones.

    python docs/site/make.py [FOLDER]        (out/docs)

Links to other files of the repository are turned round on the way: to their pages where they have one, else they become
what they say. A link that leads nowhere ends it with exit code 1.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import api_pages  # noqa: E402
import reference_pages  # noqa: E402

ELSEWHERE = {
    "architecture.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "measured.md": "benchmarks/README.md",
    "notices.md": "THIRD_PARTY_NOTICES.md",
    "security.md": "SECURITY.md",
    "tiny.md": "streamseg/sam/TINY.md",
}
"""Page -> the file of the repository that it is."""

MADE_OF = {
    "nodes/streamseg_nodes": "reference/nodes.md",
    "streamseg/__init__.py": "reference/api.md",
    "streamseg/errors.py": "reference/errors.md",
    "streamseg/formats": "reference/formats.md",
    "streamseg/formats/format.py": "reference/api-authors.md",
    "streamseg/node.py": "reference/api-authors.md",
}
"""Code that pages link to, for who reads in the repository -> the generated page that the link leads to on the site."""

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")


def pages() -> dict[str, str]:
    """Page -> Markdown, with the links of the repository."""
    docs = {str(path.relative_to(ROOT / "docs")): path for path in (ROOT / "docs").rglob("*.md")}
    docs |= {page: ROOT / path for page, path in ELSEWHERE.items()}
    return {page: path.read_text(encoding="utf-8") for page, path in sorted(docs.items())}


def generated() -> dict[str, str]:
    """Page -> Markdown, from the code."""
    return {**reference_pages.pages(), **api_pages.pages()}


def turn_links(page: str, markdown: str, known: set[str], wrong: list[str]) -> str:
    """The page with links that hold on the site; those that lead nowhere are added to `wrong`."""
    source = ELSEWHERE.get(page, f"docs/{page}")

    def turned(found: re.Match[str]) -> str:
        mark, text, target = found.groups()
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        path, _, anchor = target.partition("#")
        full = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if (new := page_of(full, known)) is not None:
            relative = posixpath.relpath(new, posixpath.dirname(page) or ".")
            return f"{mark}[{text}]({relative}{'#' * bool(anchor)}{anchor})"
        if full.startswith("..") or not (ROOT / full).exists():
            wrong.append(f"{source}: there is no {target}")
        return text if text.startswith("`") else f"{text} (`{full}`)"

    # What is code stays as it is.
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else _LINK.sub(turned, part) for part in parts)


def page_of(path: str, known: set[str]) -> str | None:
    """What a file of the repository is called on the site; None if it is not there."""
    if path == "README.md":
        return "index.md"
    if path in MADE_OF:
        return MADE_OF[path]
    for page, elsewhere in ELSEWHERE.items():
        if path == elsewhere:
            return page
    inside = path.removeprefix("docs/")
    there = inside in known or (path.endswith(".png") and (ROOT / path).is_file())
    return inside if inside != path and there else None


def make(folder: Path) -> list[str]:
    """Write it; returns the links that lead nowhere."""
    shutil.rmtree(folder, ignore_errors=True)
    wrong: list[str] = []
    written, made = pages(), generated()
    known = {*written, *made}
    for page, text in {
        **{page: turn_links(page, text, known, wrong) for page, text in written.items()},
        **made,
    }.items():
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        (folder / page).write_text(text, encoding="utf-8")
    for path in [*(ROOT / "docs").glob("*.png"), HERE / "site.css"]:
        shutil.copy(path, folder / path.name)
    return wrong


def main() -> None:
    """Do it."""
    wrong = make(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "out" / "docs")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
