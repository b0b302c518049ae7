"""How a table codes its answers: its numbers onto the inventory's range, what is missing, and what cannot be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from traitbench.errors import BadData, TraitbenchUsage

__all__ = ["Coding", "Tally", "parse_coding"]

_FEW = 10
"""Rows from which a table can show that it is coded in another way."""
_LARGE = 1_000
"""Answers from which it is worth a word that none is at an end of the scale."""
_COMMON = 0.05
"""Share of the cells from which 0s are too many to be missing answers only."""
_SHOWN = 5
"""Values or ids that a message names."""


def parse_coding(text: str) -> tuple[int, int]:
    """Read the lowest and the highest answer of a table: 0-4, -2-2; TraitbenchUsage for anything else."""
    if not (found := re.fullmatch(r"(-?\d+)-(-?\d+)", text.replace(" ", ""))):
        raise TraitbenchUsage(f"--coding {text!r}: expected the table's lowest and highest answer, as in 0-4 or -2-2")
    low, high = map(int, found.groups())
    if low >= high:
        raise TraitbenchUsage(f"--coding {text}: {low} is not below {high}; expected lowest first, as in 0-4")
    return low, high


@dataclass(frozen=True)
class Coding:
    """The numbers that a table may hold, and how they become the inventory's."""

    low: float
    """Lowest answer as the table codes it."""
    high: float
    to: tuple[float, float]
    """The inventory's range; `low` and `high` become its ends."""
    missing: frozenset[float]
    """Codes that stand for a missing answer, given by the user."""
    given: bool
    """The user said how the table is coded."""

    @classmethod
    def of(cls, scale: tuple[int, int], coding: tuple[int, int] | None, missing: Sequence[float]) -> Coding:
        """Map `coding`, lowest and highest, onto `scale`; None takes the numbers as they are.

        TraitbenchUsage for a code of missing answers that is no finite number.
        """
        low, high = coding or scale
        if endless := [f"{code:g}" for code in missing if not np.isfinite(code)]:
            raise TraitbenchUsage(
                f"--missing {','.join(endless)}: expected numbers, as in --missing -9,99; an empty cell, NA and NaN "
                "are missing without it, an infinite one is to be corrected in the table"
            )
        return cls(low, high, scale, frozenset(missing), coding is not None)

    @property
    def zero_is_missing(self) -> bool:
        """0 stands for a missing answer where it can be none."""
        return not self.low <= 0 <= self.high

    def outside(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which values are no answers."""
        return np.asarray((values < self.low) | (values > self.high))

    def mapped(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring answers of the table onto the inventory's range."""
        low, high = self.to
        if (self.low, self.high) == (low, high):
            return values
        return low + (values - self.low) * ((high - low) / (self.high - self.low))

    def cure(self, values: NDArray[np.float64]) -> str:
        """Say what to type where some of `values`, all that stands in the columns so far, are no answers."""
        values = values[np.isfinite(values) & ~np.isin(values, list(self.missing))]
        if self.zero_is_missing and np.count_nonzero(values == 0) < _COMMON * len(values):
            values = values[values != 0]
        held = set(np.unique(values).tolist())
        outside = sorted(v for v in held if not self.low <= v <= self.high)
        if not outside:
            return ""
        low = high = min((v for v in held if self.low <= v <= self.high), default=outside[0])
        while low - 1 in held:
            low -= 1
        while high + 1 in held:
            high += 1
        codes = [v for v in outside if not low <= v <= high]
        found = [f"--missing {_some(codes or outside)}"]
        if len(codes) < len(outside):
            found.insert(0, f"--coding {low:g}-{high:g}")
        return f"for another coding or codes of missing answers `traitbench analyze` takes {' and '.join(found)}"


@dataclass
class Tally:
    """What one pass over a table came upon."""

    path: Path
    coding: Coding
    rows: int = 0
    """Rows with anything in them."""
    blank: int = 0
    """Rows without anything, which are left out."""
    unanswered: int = 0
    """Rows that hold something, and an answer to no item."""
    answers: int = 0
    zeros: int = 0
    """0s that were read as missing."""
    zero_rows: int = 0
    codes: int = 0
    """Cells with a code that the user named as missing."""
    doubtful: Counter[float] = field(default_factory=Counter)
    """How many of these have each code that is an answer of the scale, too."""
    at_low: bool = False
    at_high: bool = False
    """An answer is at this end of the table's coding."""
    ids: list[pa.Array] = field(default_factory=list)

    def reset(self) -> None:
        """Forget all: another pass begins."""
        vars(self).update(vars(Tally(self.path, self.coding)))

    def check(self) -> None:
        """Refuse a table that must be coded in another way: BadData."""
        c = self.coding
        if self.zeros and self._common and not self.at_high and self.rows >= _FEW:
            raise BadData(
                f"{self.path}: {self.zero_rows} of {self.rows} rows hold a 0 and no answer is {c.high:g}, the top of "
                f"the scale ({c.low:g} to {c.high:g}): it seems to be coded from 0; `traitbench analyze` takes "
                f"--coding 0-{c.high - c.low:g} where 0 is the lowest answer and --missing 0 where it stands for a "
                "missing one; elsewhere recode the table"
            )

    @property
    def _common(self) -> bool:
        """Whether 0s are too many to be gaps."""
        many = self.zero_rows > self.rows / 2 or self.zeros > _COMMON * (self.answers + self.zeros)
        return many and 0 not in self.coding.missing

    def require_people(self) -> None:
        """Refuse a table of fewer than two rows, or without a single answer: BadData."""
        if self.rows < 2:
            held = "one row of answers" if self.rows else "column names and no row of answers"
            raise BadData(
                f"{self.path} has {held}; expected two people or more, a row each: see that the whole table was saved"
            )
        if not self.answers:
            read = [f"{_count(self.codes, 'cell')} with a code of --missing"] if self.codes else []
            read += [f"{_count(self.zeros, 'cell')} of 0 (--coding 0-N makes them answers)"] if self.zeros else []
            why = f": missing are {' and '.join(read)}" if read else ""
            raise BadData(
                f"{self.path} has {self.rows:,} rows and not one answer in the items' columns{why}; expected numbers "
                f"from {self.coding.low:g} to {self.coding.high:g}: see that the answers were saved, or name the "
                "columns that hold them with --columns MAP"
            )

    def warnings(self) -> list[str]:
        """Say which answers of the scale were taken as missing."""
        return [
            f"{_count(n, 'answer')} of {code:g} read as missing (--missing {code:g}), though {code:g} is an answer of "
            f"the scale ({self.coding.low:g} to {self.coding.high:g}); leave the code out where it is one here"
            for code, n in sorted(self.doubtful.items())
        ]

    def notes(self) -> list[str]:
        """Say what was left out, and what may be wrong."""
        c, found = self.coding, []
        if self.blank:
            found.append(f"{_count(self.blank, 'blank row')} left out")
        if self.unanswered:
            found.append(f"{_count(self.unanswered, 'row')} with an answer to no item, kept")
        if self.zeros:
            found.append(f"{_count(self.zeros, 'cell')} of 0 read as missing")
        if self.zeros and self._common and self.rows >= _FEW:
            found.append(
                f"0 stands in {self.zero_rows} of {self.rows} rows: --coding 0-{c.high - c.low:g} where it is the "
                "lowest answer, --missing 0 where it is none"
            )
        if self.codes:
            found.append(f"{_count(self.codes, 'cell')} with a code of --missing read as missing")
        for end, there in (("lowest", self.at_low), ("highest", self.at_high)):
            if self.answers >= _LARGE and not there and not c.given:
                value = c.low if end == "lowest" else c.high
                found.append(
                    f"no answer of {self.answers} is {value:g}, the {end} of the scale: if the table is coded in "
                    "another way, say --coding LO-HI"
                )
        return found + self._repeated()

    def _repeated(self) -> list[str]:
        if not self.ids:
            return []
        counts = pc.value_counts(pa.chunked_array(self.ids))
        many = counts.filter(pc.greater(counts.field("counts"), 1)).to_pylist()
        without = sum(found["counts"] for found in counts.to_pylist() if found["values"] == "")
        named = [f"{each['values']!r} ({each['counts']} times)" for each in many if each["values"] != ""]
        found = [f"{_count(without, 'row')} without an id"] if without else []
        if named:
            some = ", ".join(named[:_SHOWN]) + (", ..." if len(named) > _SHOWN else "")
            found.append(f"{_count(len(named), 'id')} more than once, every row kept: {some}")
        return found


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _some(values: Sequence[float] | NDArray[np.float64]) -> str:
    return ",".join(f"{value:g}" for value in values[:_SHOWN])
