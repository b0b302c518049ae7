"""Facet and domain scores of every person of a table, written while it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from traitbench.errors import BadData
from traitbench.store import replacing

if TYPE_CHECKING:
    from traitbench.answers.reading import Batch
    from traitbench.inventories import Inventory, Item

__all__ = ["groups", "score_file"]


def groups(inventory: Inventory, items: Sequence[Item]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Scale letter -> places of its items among `items`, and facet -> the same; both in the inventory's order."""
    facets = dict.fromkeys([*inventory.facets, *(item.facet for item in inventory.items)])
    return (
        {scale: [i for i, item in enumerate(items) if item.scale == scale] for scale in inventory.scales},
        {facet: [i for i, item in enumerate(items) if item.facet == facet] for facet in facets if facet},
    )


@contextmanager
def score_file(
    path: Path, inventory: Inventory, items: Sequence[Item], more: Sequence[str] = (), id: str | None = None
) -> Iterator[Callable[[Batch, Sequence[pa.Array]], None]]:
    """Open a file of scores (.parquet or .csv) and yield a function that scores and writes a batch.

    The batch's values are in keyed space. A line a person, in the table's order: the person's id, where the table's
    column `id` holds them; `row`, the number of the row in the table, from 1; each scale's mean over the items
    answered, null where there is none, and `n_missing_<scale>`, the items of the whole inventory that were not; each
    facet's mean; then the columns called `more`, whose values, arrays of (rows,), come with each batch. Nothing is
    imputed and no score is withheld for missing items: their number is there to filter by. The file appears, whole,
    when the block ends without an error; until then an older one of that name stays.
    """
    suffix = path.suffix.lower()
    if suffix not in (".parquet", ".csv"):
        raise BadData(f"cannot write scores to {path}: expected a name that ends in .parquet or .csv, not {suffix!r}")
    scoring = _Scoring(inventory, items, more, id)
    try:
        with replacing(path) as temporary, temporary.open("wb") as sink:
            maker = parquet.ParquetWriter if suffix == ".parquet" else csv.CSVWriter
            with maker(sink, scoring.schema) as writer:
                yield lambda batch, columns: writer.write_batch(scoring(batch, columns))
    except OSError as error:
        raise BadData(f"cannot write {path}: {error.strerror or error}; choose another file with --scores") from None


class _Scoring:
    """Scores batches: one product with the items' memberships gives all sums at once."""

    def __init__(self, inventory: Inventory, items: Sequence[Item], more: Sequence[str], id: str | None) -> None:
        scales, facets = groups(inventory, items)
        whole = groups(inventory, inventory.items)[0]
        self.members = np.zeros((len(items), len(scales) + len(facets)), dtype=np.float32)
        for column, places in enumerate((*scales.values(), *facets.values())):
            self.members[places, column] = 1
        self.sizes = np.array([len(places) for places in whole.values()])
        # About a whole number near the middle, sums of whole answers are small whole numbers: exact in float32.
        self.shift = (inventory.response_scale.min + inventory.response_scale.max) // 2
        fields = [pa.field("row", pa.int64(), nullable=False)]
        for scale in scales:
            fields += [pa.field(scale, pa.float64()), pa.field(f"n_missing_{scale}", pa.int32(), nullable=False)]
        fields += [pa.field(f"facet_{name}" if name in scales else name, pa.float64()) for name in facets]
        fields += [pa.field(name, pa.float64()) for name in more]
        if id is not None:
            if id in {field.name for field in fields}:
                raise BadData(f"--id {id} has the name of a column of the scores; rename it in the table")
            fields.insert(0, pa.field(id, pa.string()))
        self.schema = pa.schema(fields)

    def __call__(self, batch: Batch, more: Sequence[pa.Array]) -> pa.RecordBatch:
        """Score one batch, and add the columns `more`."""
        values = batch.values
        absent = np.isnan(values)
        sums = (np.where(absent, 0, values - self.shift) @ self.members).astype(np.float64)
        counts = (~absent).astype(np.float32) @ self.members
        means = self.shift + sums / np.maximum(counts, 1)
        columns = [*([] if batch.ids is None else [batch.ids]), pa.array(batch.rows)]
        for column in range(self.members.shape[1]):
            columns.append(pa.array(means[:, column], mask=counts[:, column] == 0))
            if column < len(self.sizes):
                columns.append(pa.array((self.sizes[column] - counts[:, column]).astype(np.int32)))
        return pa.record_batch([*columns, *more], schema=self.schema)
