"""Every path and every name of the package that README.md and the pages speak of is there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import traitbench

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
FOLDERS = r"(?:harness|methods|tasks|inventories|tests|docs|\.ci)"
HELD = re.compile(rf"(?<![\w/.-])({FOLDERS}/[\w./-]*[\w/])")
"""A path of the repository; results/ also has what a run makes."""


def headings(text: str) -> set[str]:
    """The anchors of a page, as GitHub and mkdocs make them."""
    plain = [re.sub(r"[^\w -]", "", line.strip().lower()).replace(" ", "-") for line in
             re.findall(r"^#+ (.+)$", text, re.MULTILINE)]  # fmt: skip
    return {*plain}


@every_page
def test_a_path_is_there(page: Path) -> None:
    text = re.sub(r"\]\([^)]*\)", "]", page.read_text(encoding="utf-8"))
    gone = [path for path in HELD.findall(text) if not (ROOT / path).exists()]
    assert not gone


@every_page
def test_a_name_of_the_package_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for dotted in re.findall(r"\btraitbench((?:\.[A-Za-z_]\w*)+)", text):
        found: object = traitbench
        path = "traitbench"
        for part in dotted[1:].split("."):
            path += f".{part}"
            try:
                found = import_module(path)
            except ModuleNotFoundError:
                assert hasattr(found, part), f"{page.name}: {path}"
                found = getattr(found, part)
    for names in re.findall(r"^from (traitbench[\w.]*) import ([\w, ]+)$", text, re.MULTILINE):
        module = import_module(names[0])
        assert not [name for name in names[1].split(", ") if not hasattr(module, name)]


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 15
    for link in links:
        path, _, anchor = link.partition("#")
        assert (ROOT / path).is_file(), link
        if anchor:
            assert anchor in headings((ROOT / path).read_text(encoding="utf-8")), link


def test_what_is_looked_for_is_found() -> None:
    assert HELD.findall("`tasks/scoring.py` and harness/controls/, not my/tasks/x.py") == [
        "tasks/scoring.py", "harness/controls/",
    ]  # fmt: skip
    assert headings("## Where we depart\n### A, b") == {"where-we-depart", "a-b"}
