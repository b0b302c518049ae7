"""The text scorer made again: `python -m traitbench.reproduce.scorer` trains its heads and evaluates them.

It stands here, above methods and tasks, because it reads the open trait dialogues, the IPIP inventories and the
situations, of which the judges know nothing; what it writes ships beside `traitbench.judges.scorer`. The same dialogues
and vectors give the same heads, to the rounding of the machine's linear algebra.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence

from traitbench import inventories, store
from traitbench.judges.scorer.features import features
from traitbench.judges.scorer.heads import FEATURES, Evaluation, place
from traitbench.judges.scorer.showing import COLUMNS, directions
from traitbench.judges.scorer.training import Text, train
from traitbench.judges.scorer.worth import evaluate
from traitbench.methods import dialogues
from traitbench.tables import Table, markdown
from traitbench.tasks.situations import pairs
from traitbench.types import BIG_FIVE, Trait

__all__ = ["corpus", "main", "others", "table"]

DECIDING = ("ipip_neo_300", "situations")
"""Texts that decide whether a trait gets a number: items (all of the IPIP-NEO-120 are among those of the 300) and
replies. Both must be told apart, since an item is not the kind of text that is scored, and a reply of ours is one of
few hands."""

Texts = Mapping[Trait, Sequence[Text]]


def corpus() -> tuple[str, Texts]:
    """Digest of the open trait dialogues, and their replies by trait; scenes of one situation are one cluster."""
    found = dialogues.load("open")
    return found.digest, {
        trait: [
            Text(each.output, each.level == "high", each.scene.rpartition("-")[0])
            for each in found.dialogues
            if each.trait == trait
        ]
        for trait in BIG_FIVE
    }


def others() -> dict[str, Texts]:
    """What the heads are tested on: the items of two inventories, and the replies of all situations, dev and test."""
    found: dict[str, Texts] = {}
    for name in ("ipip_neo_120", "ipip_neo_300"):
        instrument = inventories.load(name)
        found[name] = {
            trait: [
                Text(instrument.statement(item), item.keyed == 1, item.id) for item in instrument.scale_items(trait)
            ]
            for trait in BIG_FIVE
        }
    every = (*pairs.load("dev"), *pairs.load("test"))
    found["situations"] = {
        trait: [
            Text(text, high, pair.id) for pair in every if pair.trait == trait
            for text, high in ((pair.high, True), (pair.low, False))
        ]
        for trait in BIG_FIVE
    }  # fmt: skip
    return found


def table(found: Evaluation) -> Table:
    """The evaluation for a reader: a line a pair of kinds of texts, a column a trait."""
    notes = [f"{row.source}: {row.warning}" for row in found.rows if row.warning and row.trait == "mean"]
    notes += [f"{trait}: {worth.reason}" for trait, worth in found.validity().items() if not worth.usable]
    return Table(
        title=f"AUC of the text scorer, features {found.features}, with 95 % intervals",
        columns=list(COLUMNS), rows=directions(found.rows), notes=notes,
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Train and evaluate, write both files, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m traitbench.reproduce.scorer", description=main.__doc__)
    parser.add_argument("features", nargs="*", default=["wordllama"], help=f"of {', '.join(FEATURES)}")
    for name in parser.parse_args(argv).features:
        made_of = features(name)
        named, texts = corpus()
        kept = train(texts, made_of, named)
        found = evaluate(kept, made_of, texts, others(), DECIDING)
        for kind, record in (("heads", kept), ("evaluation", found)):
            store.write_text(place(kind, name), json.dumps(record.model_dump(mode="json"), indent=None) + "\n")
        print(f"penalty {kept.penalty:g}, of {kept.tried}")
        print(markdown(table(found)))


if __name__ == "__main__":
    main()
