"""Baselines in git: those of the base branch, read without checking anything out, and whether the tree is clean."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from traitbench.errors import BadData, TraitbenchUsage

__all__ = ["Base", "changes", "commit", "from_base"]


class Base(NamedTuple):
    """The baselines that the base branch holds."""

    texts: dict[str, str] | None
    """Name -> the file's text; None: those in the folder count."""
    told: str
    """Where they come from."""


def from_base(folder: Path, ref: str | None) -> Base:
    """Read the baselines of `folder` at the merge base of `ref` and HEAD.

    In a shallow clone, which does not know it, those committed in HEAD count; without `ref`, or without git, the files
    as they lie. TraitbenchUsage for a `ref` that a whole clone does not know.
    """
    if ref is None:
        return Base(None, f"baselines: {folder}")
    top = _top(folder)
    if top is None or commit(folder) is None:
        return Base(None, f"baselines: {folder} as it lies here; no git repository, so --base {ref} says nothing")
    known = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    forked = None if known is None else _git(folder, "merge-base", known.strip(), "HEAD")
    if forked is None:
        if (_git(folder, "rev-parse", "--is-shallow-repository") or "").strip() == "true":
            held = _texts(top, folder, "HEAD")
            return Base(held, f"baselines: {folder} as committed; a shallow clone knows no merge base with {ref}")
        what = "git knows no such branch or commit" if known is None else "it shares no commit with HEAD"
        raise TraitbenchUsage(
            f"--base {ref}: {what}; expected the branch that this one goes into, e.g. --base origin/main "
            "(git fetch origin main)"
        )
    at = forked.strip()
    return Base(_texts(top, folder, at), f"baselines: {folder} at {at[:12]}, where this branch left {ref}")


def changes(folder: Path) -> list[str]:
    """Files that git follows and that were changed since the last commit, those in `folder` aside."""
    top = _top(folder)
    if top is None:
        return []
    aside = f":(exclude,literal){_within(top, folder)}"
    told = _git(top, "status", "--porcelain", "-z", "--untracked-files=no", "--", ".", aside)
    if told is None:
        raise BadData(f"git cannot say whether {top} is clean (`git status`); mend that first")
    return [line[3:] for line in told.split("\0") if len(line) > 3]


def commit(folder: Path) -> str | None:
    """The commit of the repository that `folder` lies in; None where there is none."""
    told = _git(folder, "rev-parse", "--verify", "--quiet", "--short=12", "HEAD")
    return told.strip() if told else None


def _top(folder: Path) -> Path | None:
    told = _git(folder, "rev-parse", "--show-toplevel")
    return Path(told.strip()) if told else None


def _within(top: Path, folder: Path) -> str:
    return folder.resolve().relative_to(top.resolve()).as_posix()


def _texts(top: Path, folder: Path, at: str) -> dict[str, str]:
    listed = _git(top, "ls-tree", "-z", "--name-only", at, "--", f"{_within(top, folder)}/") or ""
    found = {}
    for path in filter(None, listed.split("\0")):
        if path.endswith(".json"):
            text = _git(top, "show", f"{at}:{path}")
            if text is None:
                raise BadData(f"git cannot read {path} at {at[:12]}; fetch it: git fetch --unshallow")
            found[Path(path).stem] = text
    return found


def _git(folder: Path, *words: str) -> str | None:
    """What git says; None where it fails, or there is none."""
    place = next((p for p in (folder, *folder.resolve().parents) if p.is_dir()), Path())
    try:
        done = subprocess.run(["git", "-C", str(place), *words], capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")
