"""Tables of answers and the inventories they answer, for the tests of `analyze`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from traitbench import inventories
from traitbench.inventories import Inventory

Keys = Sequence[tuple[str, str, int, str | None]]
Make = Callable[..., Inventory]

GAPPY_NAMES = ["e1", "e2", "e3", "e4", "e5", "n1", "n2", "n3", "n4"]

GAPPY = """
.544.1111 454443334 455554333 5544534.3 4213334.5 44144243. 132344355 3344533.2
233233121 454.42222 543455352 45553.354 453435545 132123534 22111.232 453243334
324233432 31131443. 524.433.2 1.1314445 12222334. 132.34.54 414223.3. 344543223
324554355 334335435 532144444 445524443 433134543 333.44225 214214.33 .33323233
35533333. .42351.12 .413.2.11 43.113321 .54454.23 24.212454 .35343344 213231341
413.51221 13221.544 4444.32.1 132122333 222212433 555543443 453444441 443245425
""".split()
"""Keyed answers of 48 made-up persons to GAPPY_NAMES; a dot is a gap."""


def inventory_of(path: Path, keys: Keys, high: int = 5) -> Inventory:
    """An inventory of (id, scale, key, facet) on a scale from 1 to `high`, written to `path`."""
    traits = {"O": "openness", "C": "conscientiousness", "E": "extraversion", "A": "agreeableness", "N": "neuroticism"}
    scales = {scale: traits[scale] for scale in dict.fromkeys(scale for _, scale, _, _ in keys)}
    items = [
        {"id": id, "text": f"I do {'abcdefghijklmnopqrstuvwxyz'[i % 26] * (3 + i // 26)}", "scale": scale, "keyed": key}
        | ({"facet": facet} if facet else {})
        for i, (id, scale, key, facet) in enumerate(keys)
    ]
    content = {
        "id": "own", "licence": "CC0", "citation": "Us (2025).", "statement": {"prefix": ""}, "scales": scales,
        "facets": {facet: f"facet {facet}" for *_, facet in keys if facet},
        "response_scale": {"min": 1, "max": high, "labels": [str(v) for v in range(1, high + 1)]}, "items": items,
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return inventories.load(path)


def written(path: Path, names: Iterable[str], rows: Iterable[Sequence[Any]]) -> Path:
    """A CSV file."""
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(names)
        writer.writerows(rows)
    return path
