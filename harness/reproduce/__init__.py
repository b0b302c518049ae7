"""Published figures recomputed: what a paper printed, what its own cells give, and why the two differ.

Each reproduction is a list of rows with these three things, and the details that they rest on. The published cells
are data (`published_cells.json`); nothing is fetched and no model is run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from traitbench.errors import unknown
from traitbench.reproduce.rows import Reproduction
from traitbench.tables import Table, number

__all__ = ["NAMES", "as_json", "reproduce", "tables"]

NAMES = ("big5chat-correlation", "big5chat-ranges", "papi-baselines")


def reproduce(name: str, papi: Path | None = None) -> Reproduction:
    """Recompute the reproduction called `name`, one of NAMES.

    `papi` is a folder with the persons' answers of PAPI; None looks for the data set `papi` where data is looked for.
    UnknownName for another name; BadData where the persons' answers are needed and are missing or damaged
    (`big5chat-correlation` can do without: the rows that rest on them then have no recomputed value).
    """
    from traitbench.reproduce.correlation import correlation
    from traitbench.reproduce.papi_baselines import baselines
    from traitbench.reproduce.ranges import ranges

    table: dict[str, Callable[[Path | None], Reproduction]] = {
        "big5chat-correlation": correlation,
        "big5chat-ranges": lambda _: ranges(),
        "papi-baselines": baselines,
    }
    key = name.strip().lower().replace("_", "-")
    if key not in table:
        raise unknown("reproduction", name, NAMES)
    return table[key](papi)


def tables(reproduction: Reproduction) -> list[Table]:
    """Lay out a reproduction for a reader: the rows, then the details."""
    rows = [[r.label, number(r.published, 4), number(r.recomputed, 4), r.why] for r in reproduction.rows]
    columns = ["what", "published", "recomputed", "why they differ"]
    main = Table(
        title=f"traitbench reproduce {reproduction.name}\n{reproduction.about}",
        columns=columns,
        rows=rows,
        notes=[f"Published figures: {reproduction.source}."],
    )
    return [main, *reproduction.details()]


def as_json(reproduction: Reproduction) -> str:
    """Write a reproduction as JSON with its numbers unrounded; the name is the key `reproduction`."""
    return reproduction.model_dump_json(by_alias=True, indent=2)
