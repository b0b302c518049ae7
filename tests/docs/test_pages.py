"""README.md and the pages of docs/: what they tell a reader to type can be typed, and nothing is without a page.

Links, generated parts and the documentation of objects are checked by `make docs`, which is strict.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from traitbench import inventories
from traitbench.cli import arguments
from traitbench.methods import METHODS
from traitbench.methods.prompting import Prompting
from traitbench.tasks import TASKS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands() -> Iterator[tuple[str, str]]:
    """Every command in a block or in backquotes: page, line. What follows two spaces explains it."""
    for page in [*PAGES, ROOT / "README.md"]:
        text = page.read_text(encoding="utf-8")
        blocks = [block for kind, block in BLOCK.findall(text) if not kind]
        lines = [line for block in blocks for line in block.splitlines()]
        lines += re.findall(r"`((?:traitbench|make) [^`]+)`", BLOCK.sub("", text))
        for line in lines:
            typed = re.split(r"\s{2,}", re.sub(r"^(?:[A-Z_]+=\S+ )+", "", " ".join(line.splitlines()).strip()))[0]
            if re.match(r"(?:traitbench|make)\b", typed) and "..." not in typed:
                yield page.relative_to(ROOT).as_posix(), typed


TYPED = [(page, line) for page, line in commands() if line.startswith("traitbench")]
MADE = [(page, line) for page, line in commands() if line.startswith("make")]


def test_there_is_something_to_try() -> None:
    assert len(TYPED) > 40 and len(MADE) > 15


def parsed(line: str) -> Any:
    return arguments.parser().parse_args(arguments.normalised(shlex.split(line)[1:]))


def of_the_method(method: str, given: str | None) -> bool:
    """Whether `--method_args` names options of `method`; of a method that is the reader's own nothing is known."""
    named = set(re.findall(r"(?:^|,)(\w+)=", given or ""))
    return method in ("METHOD", "NAME", "shout", "mine") or named <= set(METHODS.load(method).Config.model_fields)


@pytest.mark.parametrize(("page", "line"), sorted(set(TYPED)))
def test_a_command_can_be_typed(page: str, line: str) -> None:
    words = shlex.split(line)
    if len(words) == 2 or words[-1] == "--help":  # the command itself is spoken of
        assert {*words[1:]} <= {*arguments.COMMANDS, "--help"}, page
        return
    found = parsed(line)
    assert of_the_method(getattr(found, "method", None) or "none", getattr(found, "method_args", None)), page


@pytest.mark.parametrize(("page", "line"), sorted(set(MADE)))
def test_a_target_of_make_is_there(page: str, line: str) -> None:
    words = shlex.split(line)
    values = dict(word.split("=", 1) for word in words[1:] if "=" in word)
    targets = [word for word in words[1:] if "=" not in word]
    made = (ROOT / "Makefile").read_text()
    assert targets and all(re.search(rf"^{target}:", made, re.MULTILINE) for target in targets), page
    assert all(re.search(rf"^{name} \?=", made, re.MULTILINE) for name in values), page
    method = values.get("METHOD", "prompting")
    found = parsed(f"traitbench run -m {method} {values.get('ARGS', '')}")
    assert of_the_method(method, found.method_args), page


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_a_page_with_its_parts(name: str) -> None:
    text = (DOCS / "methods" / f"{name}.md").read_text(encoding="utf-8")
    for part in ("facts", "options", "published"):
        assert f"{{{{ {part} {name} }}}}" in text
    parts = ["Paper", "Algorithm", "Where we depart", "Options", "Published rows"]
    headings = [h.replace("Papers", "Paper").replace("Formats", "Paper") for h in re.findall(r"^## (.+)$", text, re.M)]
    assert [h for h in headings if h in parts] == parts
    steps = re.findall(r"^(\d)\. ", text, re.M)
    assert steps == [str(n) for n in range(1, len(steps) + 1)] and 1 <= len(steps) <= 5
    index = (DOCS / "methods" / "index.md").read_text(encoding="utf-8")
    assert f"[`{name}`]({name}.md)" in index


def test_the_page_of_personality_bench_names_what_decides_how_it_is_written() -> None:
    text = (DOCS / "tasks" / "personality_bench.md").read_text(encoding="utf-8")
    written = {"max_tokens", "temperature", "repetition_penalty"}
    assert written <= set(TASKS.load("personality_bench").heeds) and all(f"{field}=" in text for field in written)
    assert "repetition penalty" not in (DOCS / "not-covered.md").read_text(encoding="utf-8")


def test_every_page_is_in_the_navigation_once() -> None:
    def leaves(part: Any) -> Iterator[str]:
        for each in part.values() if isinstance(part, dict) else part:
            if isinstance(each, str):
                yield each
            else:
                yield from leaves(each)

    listed = list(leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    notebooks = [page.with_suffix(".md") for page in DOCS.rglob("*.ipynb")]
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in [*PAGES, *notebooks])


def test_the_inventories_of_the_page_are_some(tmp_path: Path) -> None:
    """And the words below the second are words for one of its traits."""
    text = (DOCS / "extend" / "inventory.md").read_text(encoding="utf-8")
    *found, words = [block for kind, block in BLOCK.findall(text) if kind == "json"]
    assert [json.loads(block)["id"] for block in found] == ["my_scale", "my_hexaco"]
    for block in found:
        path = tmp_path / f"{json.loads(block)['id']}.json"
        path.write_text(block)
        assert not [finding for finding in inventories.validate(path) if finding.level == "error"]
        inventory = inventories.load(path)
    (tmp_path / "words.json").write_text(words)
    method = Prompting(Prompting.Config(texts=str(tmp_path / "words.json")))
    assert inventory.traits[0] in json.loads(words) and inventory.traits[0] in (method.knows or ())
