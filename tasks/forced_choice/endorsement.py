"""How desirable each statement is found: how far people agree with it, whichever trait it is keyed to.

The more desirable a statement, the more people claim it of themselves (Edwards 1953: r = .87 over 140 statements). The
mean answers here are of the persons of PAPI, whose 300 items hold the IPIP-NEO-120. They were picked to cover the
space of answers and are no sample, so the values order statements and are nobody's norm: over the 28 items that the
IPIP-50 shares with the IPIP-NEO-300, they correlate .98 with the means of 19,635 people (openpsychometrics.org).

`python -m traitbench.tasks.forced_choice.endorsement` writes `desirability.json` anew; it needs the data set `papi`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from traitbench import inventories
from traitbench.targets.papi import load_persons, unkeyed

__all__ = ["FILE", "computed", "desirability"]

FILE = Path(__file__).with_name("desirability.json")
INVENTORY = "ipip_neo_120"


def computed() -> dict[str, float]:
    """Item id of the IPIP-NEO-120 -> mean raw answer of the persons, 1 to 5; BadData without the data set."""
    persons = load_persons()
    means = np.nanmean(unkeyed(persons.answers), axis=0)
    items = inventories.load(INVENTORY).items
    return {item.id: round(float(means[(item.number_300 or item.number) - 1]), 3) for item in items}


def desirability() -> dict[str, float]:
    """The values that ship: item id -> mean raw answer."""
    found: dict[str, float] = json.loads(FILE.read_text(encoding="utf-8"))["means"]
    return found


def written(means: dict[str, float]) -> str:
    """The file's text."""
    about = "mean raw agreement (1 to 5) of the 200 persons of PAPI with the items of the IPIP-NEO-120"
    source = "zhu-minjun/PAlign, PAPI/Test-set.json; answers from Johnson's repository, https://osf.io/tbmh5"
    return json.dumps({"about": about, "source": source, "means": means}, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(computed()), encoding="utf-8")
