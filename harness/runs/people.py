"""The people of a run: those it aims at, those it is compared with, and the group whose norms it is read by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitbench.errors import BadData, TraitbenchUsage
from traitbench.files import user_path
from traitbench.humans import Reference

if TYPE_CHECKING:
    from traitbench.answers.reading import Answers
    from traitbench.inventories import Inventory
    from traitbench.targets.persons import Participants

__all__ = ["aimed_at", "norms", "people", "table_of"]


def norms(group: str, tasks: Sequence[str]) -> None:
    """Check --norms before anything is asked: sex and age are known, and a task has norms."""
    from traitbench.humans.likeness import norm_group
    from traitbench.humans.norms import normed, standing

    held = [task for task in tasks if task in normed()]
    if not held:
        raise TraitbenchUsage(
            f"--norms {group}: none of {', '.join(tasks)} has norms; those that do: {', '.join(normed())}"
        )
    standing({}, held[0], *norm_group(group))


def aimed_at(target: str | None, config: Mapping[str, Any]) -> Participants | None:
    """Read the persons that `target` names; None where it names none. `config` says how a file of them is keyed."""
    word, colon, name = (target or "").partition(":")
    if word != "person" or not colon:
        return None
    from traitbench.targets import persons

    return persons.load(name, keyed=persons.keyed_in(config))


def people(
    table: str | None, keyed: bool | None, target: str | None, inventories: Sequence[Inventory]
) -> Reference | None:
    """Summarise the user's own sample of people; its declared keying is checked. BadData where no inventory fits it."""
    if table is None:
        if keyed is not None and not (target or "").startswith("person:"):
            raise TraitbenchUsage(
                "--keyed and --raw say how --reference FILE or --target person:FILE is coded; there is neither"
            )
        return None
    if keyed is None:
        raise TraitbenchUsage(
            f"--reference {table}: say how it is coded; --keyed if minus-keyed items are reversed already, "
            "--raw if the answers are as given"
        )
    from traitbench.answers.analyze import analyze
    from traitbench.humans import reference_from_analysis

    if not inventories:
        raise TraitbenchUsage(f"--reference {table}: none of the tasks is an instrument that people answered; add one")
    path = user_path(table)
    inventory = table_of(path, inventories).inventory
    # One and the same people behind means and correlations.
    return reference_from_analysis(analyze(path, inventory, keyed, rows="listwise"), inventory, path.name)


def table_of(
    path: Path,
    inventories: Sequence[Inventory],
    coding: tuple[int, int] | None = None,
    missing: Sequence[float] = (),
    columns: Mapping[str, str] | None = None,
) -> Answers:
    """Open a table of answers by the inventory, one of `inventories`, most of whose items it has.

    `coding`, `missing` and `columns` say how to read it (see `open_answers`). BadData where no inventory fits it.
    """
    from traitbench.answers.reading import open_answers

    held, problem = [], None
    for inventory in inventories:
        try:
            held.append(open_answers(path, inventory, coding=coding, missing=missing, columns=columns))
        except BadData as error:
            problem = error
    if not held:
        raise problem or BadData(f"{path}: there is no instrument to read it by")
    return max(held, key=lambda answers: len(answers.items))
