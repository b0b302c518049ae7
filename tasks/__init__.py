"""Tasks measure; TASKS names those that are code, and every inventory is a questionnaire task of its own name."""

from collections.abc import Callable, Sequence
from pathlib import Path

from traitbench.catalog import Catalog
from traitbench.errors import unknown
from traitbench.tasks.administration import Administration
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.tasks.task import Task

__all__ = ["SUITES", "TASKS", "Administration", "Questionnaire", "load", "names"]

TASKS: Catalog[Callable[[Administration], Task]] = Catalog(
    "task",
    {
        "person_alignment": "traitbench.tasks.person_alignment:PersonAlignment",
        "persona_consistency": "traitbench.tasks.persona_consistency:PersonaConsistency",
    },
)

SUITES: dict[str, tuple[str, ...]] = {
    "big_five": ("ipip_neo_120", "bfi_44"),
    "dark_triad": ("sd3", "dirty_dozen"),
}
"""Names that stand for several tasks."""


def names() -> list[str]:
    """Every task name that --tasks takes, suites included."""
    from traitbench import inventories

    return sorted({*inventories.names(), *TASKS, *SUITES})


def load(name: str, administration: Administration, include: Sequence[Path] = (), texts: bool = True) -> list[Task]:
    """Make the task or the suite `name`; UnknownName with the nearest name if there is none.

    `include` are folders with inventories of the user's own; `texts=False` loads keys without item texts, which is
    all that scoring needs.
    """
    from traitbench import inventories

    if name in SUITES:
        return [task for part in SUITES[name] for task in load(part, administration, include, texts)]
    if name in TASKS:
        return [TASKS.load(name)(administration)]
    known = inventories.names(include)
    if name.lower().replace("-", "_") not in known and not name.endswith(".json"):
        raise unknown("task", name, {*known, *SUITES}, "(`traitbench ls` lists them; --include_path adds a folder)")
    return [Questionnaire(inventories.load(name, texts=texts, include=include), administration)]
