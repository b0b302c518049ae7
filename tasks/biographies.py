"""Simulated respondents: fifty written biographies, and more that are composed of written parts.

Every one is two sentences about an invented person, free of trait words. An id stands for one text for ever, since the
answers of a kept run name their respondent by it: the first fifty are never changed, and a composed one depends on its
id and the parts alone.
"""

from __future__ import annotations

import json
import random
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["MOST", "WRITTEN", "biographies", "chosen"]

WRITTEN = 50
"""Ids 1 to 50 are written one by one."""
MOST = 500
"""Ids beyond the written ones are composed, up to this."""
AGES = (18, 80)
"""Youngest and oldest."""


@cache
def biographies() -> dict[int, str]:
    """Id -> two sentences about an invented person, 1 to MOST."""
    written = {row["id"]: row["text"] for row in _read("biographies.json")}
    parts = _read("biography_parts.json")
    return written | {id: _composed(id, parts) for id in range(WRITTEN + 1, MOST + 1)}


def chosen(n: int, seed: int) -> list[int]:
    """Ids of `n` respondents: a seeded draw of the written ones first, and of the composed ones what is left."""
    draw = random.Random(seed)
    written = draw.sample(range(1, WRITTEN + 1), min(n, WRITTEN))
    return sorted([*written, *draw.sample(range(WRITTEN + 1, MOST + 1), max(n - WRITTEN, 0))])


def _composed(id: int, parts: Any) -> str:
    """Draw a person of one age, and parts that suit it; women and men take turns, as among the written ones."""
    draw = random.Random(f"biography {id}")
    age = draw.randint(*AGES)
    place, pastime = draw.choice(parts["places"]), draw.choice(parts["pastimes"])
    work, home = (
        draw.choice([part["text"] for part in parts[name] if part["ages"][0] <= age <= part["ages"][1]])
        for name in ("work", "homes")
    )
    article, sex = "an" if age == 18 or age // 10 == 8 else "a", "woman" if id % 2 else "man"
    return f"You are {article} {age}-year-old {sex} from {place}, {work}. {home}, and {pastime}."


def _read(name: str) -> Any:
    return json.loads((files("traitbench.tasks") / name).read_text(encoding="utf-8"))
