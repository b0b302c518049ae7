"""Tasks measure. TASKS names the kinds that are code; every inventory is a questionnaire of its own name."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from traitbench.catalog import Catalog
from traitbench.errors import MissingExtra, UnknownName, unknown
from traitbench.tasks.across import Across
from traitbench.tasks.administration import Administration
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.task import Task
from traitbench.tasks.views import Views
from traitbench.types import Evidence

__all__ = ["ACROSS", "FOR_TARGETS", "SUITES", "TASKS", "Administration", "Block", "Facts", "Task", "block_of",
           "evidence_of", "for_target", "load", "matching", "names", "views_of"]  # fmt: skip

_INVENTORIES = "questionnaire"
"""The kind that administers inventories: each of them is a task, the kind itself is none."""

TASKS: Catalog[type[Task]] = Catalog(
    "task",
    {
        "forced_choice": "traitbench.tasks.forced_choice:ForcedChoice",
        "person_alignment": "traitbench.tasks.person_alignment:PersonAlignment",
        "person_alignment_sd3": "traitbench.tasks.person_alignment:DarkAlignment",
        "persona_consistency": "traitbench.tasks.persona_consistency:PersonaConsistency",
        "personality_bench": "traitbench.tasks.personality_bench:PersonalityBench",
        "personality_bench_published": "traitbench.tasks.personality_bench:PublishedBench",
        _INVENTORIES: "traitbench.tasks.questionnaire:Questionnaire",
        "robustness": "traitbench.tasks.robustness:Robustness",
        "situations": "traitbench.tasks.situations:Situations",
    },
)

ACROSS: Catalog[type[Across]] = Catalog(
    "comparison",
    {
        "equivalence": "traitbench.tasks.questionnaire.equivalence:Equivalences",
        "gap": "traitbench.tasks.gap:Gaps",
        "impression": "traitbench.tasks.questionnaire.impression:Impressions",
        "multimethod": "traitbench.tasks.questionnaire.multimethod:Multimethods",
        "robustness": "traitbench.tasks.robustness.beside:Kept",
        "wordings": "traitbench.tasks.questionnaire.wordings:Wordings",
    },
)
"""What joins the tasks of a run, or stands beside the leaderboard's rows of other tasks."""

SUITES: dict[str, tuple[str, ...]] = {
    "big_five": ("ipip_neo_120", "bfi_44"),
    "dark_triad": ("sd3", "dirty_dozen"),
}
"""Names that stand for several tasks."""

FOR_TARGETS: dict[str, str] = {
    "person": "person_alignment",
    "person:sd3": "person_alignment_sd3",
    "character": "persona_consistency",
    "characters": "persona_consistency",
}
"""What a target is measured by where no task is named: the words of `--target` before a colon -> task."""


def for_target(target: str) -> str | None:
    """The task that a target is measured by where none is named: by its first two words, or by its first."""
    words = [word.strip().lower() for word in target.split(":")]
    return FOR_TARGETS.get(":".join(words[:2])) or FOR_TARGETS.get(words[0])


def names() -> list[str]:
    """Every task name that --tasks takes, suites included."""
    from traitbench import inventories

    return sorted({*inventories.names(), *TASKS, *SUITES} - {_INVENTORIES})


def matching(wanted: Sequence[str], include: Sequence[Path] = (), others: Collection[str] = ()) -> tuple[str, ...]:
    """The same names, with each pattern (`mini_*`) replaced by the tasks that it matches, suites left out.

    `others` are names besides those that are known. UnknownName for a pattern that matches none.
    """
    from traitbench import inventories

    out: list[str] = []
    for name in wanted:
        if not set(name) & {*"*?["} or name in others or Path(name).is_file():
            out.append(name)
            continue
        known = {*inventories.names(include), *TASKS} - {_INVENTORIES}
        if not (found := fnmatch.filter(sorted(known), name)):
            raise UnknownName(f"no task matches {name!r}; `traitbench ls tasks` lists them")
        out += [each for each in found if each not in out]
    return tuple(out)


def load(name: str, administration: Administration, include: Sequence[Path] = (), texts: bool = True) -> list[Task]:
    """Make the task or the suite `name`; UnknownName with the nearest name if there is none.

    `include` are folders with inventories of the user's own; `texts=False` loads keys without item texts, which is
    all that scoring needs.
    """
    from traitbench import inventories

    if name in SUITES:
        return [task for part in SUITES[name] for task in load(part, administration, include, texts)]
    if name in TASKS and name != _INVENTORIES:
        made: Callable[[Administration], Task] = TASKS.load(name)
        return [made(administration)]
    known = inventories.names(include)
    if name.lower().replace("-", "_") not in known and not name.endswith(".json"):
        every = {*known, *SUITES, *TASKS} - {_INVENTORIES}
        raise unknown("task", name, every, "(`traitbench ls` lists them; --include_path adds a folder)")
    from traitbench.tasks.questionnaire import Questionnaire

    return [Questionnaire(inventories.load(name, texts=texts, include=include), administration)]


def block_of(kind: str) -> type[Block] | None:
    """The class of blocks of `kind`; None where this installation does not know the kind."""
    found = _known(kind)
    return found.block() if found else None


def views_of(kind: str) -> Views:
    """How blocks of `kind` are shown; as their metrics where this installation does not know the kind."""
    found = _known(kind)
    return found.views() if found else Views()


def evidence_of(kind: str) -> Evidence | None:
    """What the effects in blocks of `kind` are effects on; None where they are neither, or the kind is not known."""
    found = _known(kind)
    return found.evidence if found else None


def _known(kind: str) -> type[Task] | None:
    try:
        return TASKS.load(kind)
    except (UnknownName, MissingExtra):
        return None
