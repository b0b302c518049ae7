"""Tasks measure. TASKS names the kinds that are code; every inventory is a questionnaire of its own name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from traitbench.catalog import Catalog
from traitbench.errors import MissingExtra, UnknownName, unknown
from traitbench.tasks.across import Across
from traitbench.tasks.administration import Administration
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.task import Task
from traitbench.tasks.views import Views

__all__ = ["ACROSS", "FOR_TARGETS", "SUITES", "TASKS", "Administration", "Block", "Facts", "Task", "block_of", "load",
           "names", "views_of"]  # fmt: skip

_INVENTORIES = "questionnaire"
"""The kind that administers inventories: each of them is a task, the kind itself is none."""

TASKS: Catalog[type[Task]] = Catalog(
    "task",
    {
        "person_alignment": "traitbench.tasks.person_alignment:PersonAlignment",
        "persona_consistency": "traitbench.tasks.persona_consistency:PersonaConsistency",
        "personality_bench": "traitbench.tasks.personality_bench:PersonalityBench",
        "personality_bench_published": "traitbench.tasks.personality_bench:PublishedBench",
        _INVENTORIES: "traitbench.tasks.questionnaire:Questionnaire",
        "situations": "traitbench.tasks.situations:Situations",
    },
)

ACROSS: Catalog[type[Across]] = Catalog(
    "comparison",
    {
        "multimethod": "traitbench.tasks.questionnaire.multimethod:Multimethods",
    },
)
"""What joins the tasks of a run."""

SUITES: dict[str, tuple[str, ...]] = {
    "big_five": ("ipip_neo_120", "bfi_44"),
    "dark_triad": ("sd3", "dirty_dozen"),
}
"""Names that stand for several tasks."""

FOR_TARGETS: dict[str, str] = {
    "person": "person_alignment",
    "character": "persona_consistency",
    "characters": "persona_consistency",
}
"""What a target is measured by where no task is named: the word of `--target` before a colon -> task."""


def names() -> list[str]:
    """Every task name that --tasks takes, suites included."""
    from traitbench import inventories

    return sorted({*inventories.names(), *TASKS, *SUITES} - {_INVENTORIES})


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


def _known(kind: str) -> type[Task] | None:
    try:
        return TASKS.load(kind)
    except (UnknownName, MissingExtra):
        return None
