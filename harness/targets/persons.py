"""Persons to align a model with: what they answered to the known items, and, kept apart, to the test items.

A method sees the known items only: the 120 items of the IPIP-NEO-300 that are the IPIP-NEO-120, or half of each scale
of the SD3. The test is the other items. All answers here are in raw-agreement space, 5 being "very accurate" or "agree
strongly" whichever way the item is keyed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import BadData
from traitbench.files import user_path
from traitbench.targets import sd3
from traitbench.targets.papi import key, load_persons, split, unkeyed
from traitbench.targets.personfiles import answers_in
from traitbench.types import Person, Record, Target, digest

if TYPE_CHECKING:
    from traitbench.inventories import Item

__all__ = ["LONG", "PAPI", "Participants", "again", "dark", "from_csv", "keyed_in", "load", "papi"]

Array = NDArray[np.float64]

LONG = "ipip_neo_300"
PAPI = "papi"
_NEUTRAL = 3


class _Parts(NamedTuple):
    """An instrument in two parts."""

    inventory: str
    split: Callable[[], tuple[tuple[Item, ...], tuple[Item, ...]]]
    known: str
    """What the known items are called."""


_IPIP = _Parts(LONG, split, "the items of the IPIP-NEO-120")
_DARK = _Parts(sd3.SD3, sd3.split, f"the SD3's {', '.join(sd3.KNOWN)}")


class Participants(Record):
    """Persons as targets, and the answers that they are tested on."""

    source: str
    """The file's name, papi or sd3."""
    inventory: str = LONG
    """What they answered."""
    targets: tuple[Target, ...]
    """Each holds a person's answers to known items and nothing else: all that a method may see."""
    tests: dict[str, dict[str, int]]
    """Person id -> item id -> answer, of the test items that they answered."""
    notes: tuple[str, ...] = ()
    """What is missing or cannot be learnt from, for people to read."""

    @property
    def known(self) -> dict[str, dict[str, int]]:
        """Person id -> item id -> answer, of the known items that they answered."""
        return {t.person.id: t.person.answers for t in self.targets if t.person}

    @property
    def hashes(self) -> dict[str, str]:
        """Person id -> digest of all their answers: with the id, all that a published file holds of them."""
        return {id: digest([known, self.tests[id]]) for id, known in self.known.items()}

    def only(self, ids: Sequence[str]) -> Participants:
        """These persons alone, and what is noted of them and of all."""
        others = tuple(f"person {id}:" for id in self.tests if id not in ids)
        return self.model_copy(update={
            "targets": tuple(target for target in self.targets if target.person and target.person.id in ids),
            "tests": {id: mine for id, mine in self.tests.items() if id in ids},
            "notes": tuple(note for note in self.notes if not note.startswith(others)),
        })  # fmt: skip

    def answers(self, items: Sequence[Item]) -> dict[str, Array]:
        """Person id -> answers to the test items `items`, (items,), NaN where there is none."""
        return {
            id: np.array([mine.get(item.id, np.nan) for item in items], dtype=float) for id, mine in self.tests.items()
        }


def load(name: str, keyed: bool | None = None) -> Participants:
    """Read what stands behind `person:` in a target: `papi`, `papi:20` (its first 20 persons), `sd3` or a file.

    `sd3` are people who answered the SD3, see `dark`. `keyed` says of a file whether its minus-keyed items are reversed
    already; BadData where it is not said.
    """
    start, _, rest = name.partition(":")
    released = _RELEASED.get(start.lower())
    if released is not None and not Path(name).exists():
        return released(name, rest, keyed)
    if not Path(name).exists():
        raise BadData(
            f"person:{name}: there is no such file; expected papi, papi:N, sd3, sd3:N, or a table of answers, e.g. "
            "me.csv"
        )
    _check_said(name, keyed)
    assert keyed is not None
    return from_csv(Path(name), keyed)


def keyed_in(config: Mapping[str, Any]) -> bool:
    """Whether a file of persons is keyed: as --keyed says where there is no --reference; answers as given otherwise."""
    return bool(config.get("keyed")) and config.get("reference") is None


def again(target: str, config: Mapping[str, Any], hashes: Mapping[str, str]) -> Participants:
    """Read the persons of a run anew: their answers are not in its files. BadData where they are others by now."""
    name = target.partition(":")[2]
    found = load(name, keyed=keyed_in(config)).only([*hashes])
    if found.hashes != hashes:
        raise BadData(
            f"the run was computed with other answers than {name} holds now; expected the persons {', '.join(hashes)} "
            "as they were; put that data back, or repeat the `traitbench run`"
        )
    return found


def papi(limit: int | None = None, folder: Path | None = None) -> Participants:
    """Read the persons of PAPI, the first `limit` of them, with their released answers turned back to raw agreement.

    `folder` holds the released files; None takes the data set `papi`. BadData where a file is missing, damaged or not
    keyed, or where its split is not that of the inventories.
    """
    persons = load_persons(folder)
    known, _ = split()
    if sorted(key()[column].number for column in persons.known) != [item.number for item in known]:
        raise BadData(
            "the split of papi is not that of the inventories: its known items are not the IPIP-NEO-120; expected "
            "mpi_300_split.json as released (`traitbench data get papi`)"
        )
    if limit is not None and limit < 1:
        raise BadData(f"a limit of {limit} persons leaves none; expected at least 1")
    return _participants(PAPI, persons.ids[:limit], unkeyed(persons.answers)[:limit])


def dark(wanted: str = "", keyed: bool | None = False) -> Participants:
    """Read people who answered the Short Dark Triad.

    `wanted` is a number of persons drawn from the public answers (nothing: 200, the same in every run; only people who
    answered every item, with no run of one answer longer than a scale), r123 for the person in that row of them, or a
    table of your own, which `keyed` is said of. BadData for another word, and where the answers are on no data folder.
    """
    if not wanted or re.fullmatch("[0-9]{1,9}", wanted):
        ids, raw, notes = sd3.read(sd3.table())
        if (count := int(wanted or sd3.DRAWN)) < 1:
            raise BadData(f"person:sd3:{wanted}: leaves no person; expected at least 1")
        rows = sd3.drawn(raw, count)
    elif user_path(wanted).is_file():
        _check_said(f"sd3:{wanted}", keyed)
        path = user_path(wanted)
        ids, raw, notes = sd3.read(path, bool(keyed))
        return _participants(path.name, ids, raw, notes, path, _DARK)
    else:
        ids, raw, notes = sd3.read(sd3.table())
        if wanted not in ids:
            raise BadData(
                f"person:sd3:{wanted}: is no person and no file; expected a number of persons, a row of the public "
                f"answers (r1 to r{len(ids)}), or a table of answers, e.g. person:sd3:me.csv"
            )
        rows = [ids.index(wanted)]
    return _participants(sd3.SD3, [ids[row] for row in rows], raw[rows], notes[:1], None, _DARK)


def _check_said(name: str, keyed: bool | None) -> None:
    if keyed is None:
        raise BadData(
            f"person:{name}: say whether the minus-keyed items of the file are reversed already (--keyed) or stand as "
            "they were answered (--raw)"
        )


def _papi(name: str, wanted: str, keyed: bool | None) -> Participants:
    if wanted and not (re.fullmatch("[0-9]{1,9}", wanted) and int(wanted) > 0):
        raise BadData(f"person:{name}: {wanted!r} is no number of persons; expected e.g. person:papi:20")
    return papi(int(wanted) if wanted else None)


_RELEASED: dict[str, Callable[[str, str, bool | None], Participants]] = {
    PAPI: _papi,
    sd3.SD3: lambda name, wanted, keyed: dark(wanted, keyed),
}
"""Word after `person:` -> how those people are read, given the whole name, what follows the word, and the keying."""


def from_csv(path: Path, keyed: bool) -> Participants:
    """Read persons from a table of answers of 1 to 5: CSV, TSV (also gzipped) or Parquet.

    A row a person with a column an item, i1 to i300 of the IPIP-NEO-300 or i1 to i120 of the IPIP-NEO-120 (then there
    is nothing to test on); or a row an answer, with the columns `item` and `answer`. A column id, person or case names
    the person; else the file does. `keyed` says whether minus-keyed items are reversed already: ten persons or more
    whose answers contradict it are refused, fewer cannot tell. A missing answer is left out and noted.

    BadData for what is no answer of 1 to 5 (with its row and column), a person named twice, an item named twice, and a
    person who answered none of the known items.
    """
    ids, values, notes = answers_in(path, keyed)
    return _participants(path.name, ids, values, notes, path)


def _participants(
    source: str,
    ids: Sequence[str],
    raw: Array,
    notes: Sequence[str] = (),
    path: Path | None = None,
    of: _Parts = _IPIP,
) -> Participants:
    """Part the raw answers (persons, items of the instrument) into what a method may see and what it is tested on."""
    known, test = of.split()
    targets, tests, said = [], {}, list(notes)
    for id, row in zip(ids, raw, strict=True):
        seen, tests[id] = _answered(row, known), _answered(row, test)
        if not seen:
            raise BadData(
                f"{path or source}: person {id!r} answered none of the {len(known)} known items; expected answers to "
                f"{of.known}"
            )
        targets.append(Target(person=Person(id=id, inventory=of.inventory, answers=seen)))
        said += _remarks(id, list(seen.values()), len(known), len(tests[id]), len(test))
    return Participants(source=source, inventory=of.inventory, targets=tuple(targets), tests=tests, notes=tuple(said))


def _answered(row: Array, items: Sequence[Item]) -> dict[str, int]:
    return {item.id: int(row[item.number - 1]) for item in items if np.isfinite(row[item.number - 1])}


def _remarks(id: str, seen: Sequence[int], known: int, tested: int, test: int) -> list[str]:
    """Say what is missing of a person, and what their answers cannot teach."""
    found = []
    if len(seen) < known:
        found.append(f"person {id}: {known - len(seen)} of {known} known items without an answer, left out")
    if not tested:
        found.append(f"person {id}: no answer to a test item, so there is nothing to score against")
    elif tested < test:
        found.append(f"person {id}: {test - tested} of {test} test items without an answer, left out of the error")
    if set(seen) == {_NEUTRAL}:
        found.append(f"person {id}: every known answer is {_NEUTRAL} (neutral): nothing sets agreement apart")
    elif max(seen) <= _NEUTRAL or min(seen) >= _NEUTRAL:
        side = "above" if max(seen) <= _NEUTRAL else "below"
        found.append(f"person {id}: no known answer is {side} {_NEUTRAL}: nothing sets agreement apart")
    return found
