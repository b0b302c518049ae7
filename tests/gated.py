"""Plants for the tests of the gate: what goes wrong in a code base, put into it; and folders of baselines."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traitbench import inventories
from traitbench.backends.scripted import Scripted
from traitbench.controls import numbers
from traitbench.tasks import administration
from traitbench.types import Doc

Plant = Callable[[pytest.MonkeyPatch], None]


def own_inventory(folder: Path = Path("mine"), flipped: str | None = None) -> None:
    """A copy of the Mini-IPIP as an inventory of one's own; `flipped` names an item whose key is turned."""
    held = json.loads((Path(inventories.__file__).parent / "mini_ipip.json").read_text("utf-8"))
    held["id"] = "mine"
    for item in held["items"]:
        if item["id"] == flipped:
            item["keyed"] = -item["keyed"]
    folder.mkdir(exist_ok=True)
    (folder / "mine.json").write_text(json.dumps(held), "utf-8")


def flipped_key(patch: pytest.MonkeyPatch) -> None:
    """The reverse key of an item is lost."""
    own_inventory(flipped="mini_6")


def changed_word(patch: pytest.MonkeyPatch) -> None:
    """One word of each request is another."""
    first, *others = administration.TEMPLATES
    changed = first.model_copy(update={
        "choice": first.choice.replace("describe", "suit"), "statement": first.statement.replace("Please", "Now"),
    })  # fmt: skip
    assert changed.choice != first.choice and changed.statement != first.statement
    patch.setattr(administration, "TEMPLATES", (changed, *others))


def stronger_respondent(patch: pytest.MonkeyPatch) -> None:
    """A scripted respondent obeys its control a fifth more than told."""
    obeys = Scripted._obedience

    def more(self: Scripted, doc: Doc) -> float:
        return 1.2 * obeys(self, doc)

    patch.setattr(Scripted, "_obedience", more)


def stronger_edits(patch: pytest.MonkeyPatch) -> None:
    """Edits are applied at a fifth more than their strength."""
    values = numbers._values

    def more(edit: Any, name: str, tensors: Any, size: int, what: str, factor: float = 1.0) -> Any:
        return values(edit, name, tensors, size, what, 1.2 * factor)

    patch.setattr(numbers, "_values", more)


def git(*words: str, at: Path | str = ".") -> str:
    """Run git with an author of its own, and return what it says."""
    me = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(at), *me, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def repository(at: Path) -> None:
    """Make a repository on branch main of all that lies in a folder, runs aside."""
    git("init", "-q", "-b", "main", at=at)
    (at / ".gitignore").write_text("runs/\ncache/\n")
    git("add", "-A", at=at)
    git("commit", "-qm", "first", at=at)


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git")
