"""From the conditions of a run to the rows of an alignment: what answered in a person's place, at which strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Condition, Sample
from traitbench.tasks.person_alignment.alignment import Alignment, alignment, most_likely
from traitbench.tasks.scoring import item_values

if TYPE_CHECKING:
    from traitbench.inventories import Inventory
    from traitbench.targets.persons import Participants

__all__ = ["NO_CONTROL", "align"]

NO_CONTROL = "no control"
"""Row of the model as it is: the same answers in everybody's place."""

Answers = dict[str, dict[str, NDArray[np.float64]]]


def align(
    method: str,
    conditions: Sequence[Condition],
    samples: Sequence[Sample],
    inventory: Inventory,
    participants: Participants,
    config: Mapping[str, Any],
) -> Alignment:
    """Hold the samples of one scoring mode against the persons' own answers.

    Rows are: no control; the method; its parts (prompt only, shift only); the method at each strength of --coefs. Of
    the last the oracle is made. They are compared with the prompt alone, where there is such a row.
    """
    asked = {sample.item for sample in samples}
    items = [item for item in inventory.items if item.id in asked]
    mine: dict[str, list[Sample]] = {}
    for sample in samples:
        mine.setdefault(sample.condition, []).append(sample)
    values = {name: item_values(rows, items) for name, rows in mine.items()}
    likeliest = {name: most_likely(rows, items) for name, rows in mine.items()}
    rows = _rows(method, conditions, list(participants.tests), tuple(config.get("coefs") or ()))
    prompt = f"{method}, prompt only"
    coefs = sorted(map(float, config.get("coefs") or ()))
    return alignment(
        {row: {person: values[name] for person, name in named.items()} for row, named in rows.items()},
        {row: {person: likeliest[name] for person, name in named.items()} for row, named in rows.items()},
        participants.answers(items),
        participants.known,
        items,
        every=inventory.items,
        reference=prompt if prompt in rows else NO_CONTROL,
        sweeps={method: {coef: _at(method, coef) for coef in coefs if _at(method, coef) in rows}},
        iterations=int(config["bootstrap_iters"]),
        seed=int(config["seed"]),
    )


def _rows(
    method: str, conditions: Sequence[Condition], persons: Sequence[str], coefs: Sequence[float]
) -> dict[str, dict[str, str]]:
    """Row -> person -> the condition that answers for them."""
    rows = {NO_CONTROL: dict.fromkeys(persons, conditions[0].name)}
    for condition in conditions:
        if condition.person is None:
            continue
        if condition.headline:
            rows.setdefault(method, {})[condition.person] = condition.name
        elif condition.variant:
            rows.setdefault(f"{method}, {condition.variant}", {})[condition.person] = condition.name
        if condition.coef in coefs and condition.variant is None:
            rows.setdefault(_at(method, condition.coef), {})[condition.person] = condition.name
    return rows


def _at(method: str, coef: float | None) -> str:
    return f"{method} @ {coef:g}"
