"""Time and memory of `traitbench analyze` on 300,000 people x 300 items, and its speed against five-factor-e.

Run with `python tests/benchmarks/bench_analyze.py [--people N]`. The table is drawn from a five-factor model, written
raw to a temporary folder as Parquet and as CSV, and analysed with facet and domain scores in a process of its own.
Checks the correlations against the model's and the scores against five-factor-e's; prints JSON lines and asserts
nothing about time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from traitbench import inventories

DOMAINS = "NEOAC"
POPULATION = np.array(
    [
        [1.0, -0.4399, -0.0534, -0.1965, -0.4944],
        [-0.4399, 1.0, 0.2582, 0.0609, 0.1778],
        [-0.0534, 0.2582, 1.0, 0.1716, -0.0582],
        [-0.1965, 0.0609, 0.1716, 1.0, 0.2895],
        [-0.4944, 0.1778, -0.0582, 0.2895, 1.0],
    ]
)
"""Correlations of the IPIP-NEO-300 domains over 5,995 complete persons: CRAN stenR 0.6.9 (MIT), Johnson (2014)."""

LOADING = 0.55
CUTS = (-1.5, -0.5, 0.5, 1.5)
"""Where the normal answer tendency is cut into five options, in its SDs."""
SLICE = 1_000
"""People whom five-factor-e scores, one a call."""


def people(n: int, missing: float, batch: int = 20_000) -> Iterator[np.ndarray]:
    """Draw raw answers in batches (rows, 300), int8; a share `missing` of the rows leaves two items out (0)."""
    items = inventories.load("ipip_neo_300", texts=False).items
    rng = np.random.default_rng(0)
    factor = np.array([DOMAINS.index(item.scale) for item in items])
    key = np.array([item.keyed for item in items], dtype=np.int8)
    root = np.linalg.cholesky(POPULATION)
    for start in range(0, n, batch):
        rows = min(batch, n - start)
        traits = (rng.standard_normal((rows, 5)) @ root.T).astype(np.float32)
        lean = LOADING * traits[:, factor]
        lean += (1 - LOADING**2) ** 0.5 * rng.standard_normal((rows, 300), dtype=np.float32)
        answers = 3 + key * (sum((lean > cut).astype(np.int8) for cut in CUTS) - np.int8(2))
        left_out = np.flatnonzero(rng.random(rows) < missing)
        for _ in range(2):
            answers[left_out, rng.integers(0, 300, left_out.size)] = 0
        yield answers.astype(np.int8)


def write(folder: Path, n: int, missing: float) -> list[Path]:
    """Write the table as Parquet and as CSV."""
    schema = pa.schema([(f"i{i}", pa.int8()) for i in range(1, 301)])
    paths = [folder / "people.parquet", folder / "people.csv"]
    options = csv.WriteOptions(quoting_header="none")
    with (
        parquet.ParquetWriter(paths[0], schema) as first,
        csv.CSVWriter(paths[1], schema, write_options=options) as second,
    ):
        for answers in people(n, missing):
            batch = pa.record_batch([pa.array(column) for column in np.ascontiguousarray(answers.T)], schema=schema)
            first.write_batch(batch)
            second.write_batch(batch)
    return paths


def peak() -> float:
    """Peak resident memory of this process in GiB; getrusage would count the parent's at the fork too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


def measure(path: Path, scores: Path) -> dict[str, Any]:
    """Analyse one table; run in a process of its own."""
    from traitbench.answers.analyze import analyze

    inventory = inventories.load("ipip_neo_300", texts=False)
    start = time.perf_counter()
    found = analyze(path, inventory, keyed=False, scores=scores)
    seconds = time.perf_counter() - start
    correlations = found.correlations
    order = [correlations.order.index(domain) for domain in DOMAINS]
    alphas = [found.scales[domain].alpha for domain in DOMAINS]
    matrix = np.array(correlations.matrix, dtype=float)[np.ix_(order, order)]
    return {"seconds": seconds, "gib": peak(), "n": found.n, "complete": found.n_complete, "alphas": alphas,
            "r": matrix.tolist()}  # fmt: skip


def apart(found: dict[str, Any]) -> float:
    """Largest difference of a correlation, corrected for attenuation, from the population's."""
    root = np.sqrt(found["alphas"])
    corrected = np.array(found["r"]) / np.outer(root, root)
    return float(np.abs((corrected - POPULATION)[np.triu_indices(5, 1)]).max())


def peer(table: Path, scores: Path) -> dict[str, float]:
    """People a second of five-factor-e on a slice of complete people, one a call: its scoring alone, and its compute.

    Its facet and domain sums must be ours. Empty where it is not installed.
    """
    try:
        from ipipneo import IpipNeo
        from ipipneo.reverse import ReverseScored300
        from ipipneo.utility import organize_list_json
    except ImportError:
        return {}
    head = next(parquet.ParquetFile(table).iter_batches(2 * SLICE))
    answers = np.column_stack([column.to_numpy() for column in head.columns])
    rows = np.flatnonzero((answers > 0).all(axis=1))[:SLICE]
    asked = [
        {"answers": [{"id_question": i, "id_select": v} for i, v in enumerate(answers[row].tolist(), 1)]}
        for row in rows
    ]
    scorer = IpipNeo(question=300)
    start = time.perf_counter()
    for person in asked:
        scorer.compute(sex="N", age=40, answers=person)
    whole = time.perf_counter() - start
    start = time.perf_counter()
    sums = [scorer.score(answers=organize_list_json(answers=ReverseScored300(answers=person))) for person in asked]
    domains = [scorer.domain(score=found) for found in sums]
    alone = time.perf_counter() - start
    ours = parquet.read_table(scores).slice(0, 2 * SLICE).take(rows)
    for place in range(30):
        facet = ours[f"{DOMAINS[place % 5]}{place // 5 + 1}"].to_numpy()
        assert np.allclose(10 * facet, [found[1 + place] for found in sums]), f"facet {place} differs"
    for domain in DOMAINS:
        assert np.allclose(60 * ours[domain].to_numpy(), [found[domain] for found in domains]), f"{domain} differs"
    title = f"five-factor-e {version('five-factor-e')}, {len(rows)} people:"
    return {f"{title} reverse and score": len(rows) / alone, f"{title} compute, norms too": len(rows) / whole}


def main() -> int:
    """Write, measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=300_000)
    parser.add_argument("--missing", type=float, default=0.2, help="share of the people who leave two items out")
    parser.add_argument("--measure", nargs=2, metavar=("TABLE", "SCORES"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(*map(Path, args.measure))))
        return 0
    theirs: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for table in write(folder, args.people, args.missing):
            scores = folder / f"scores{table.suffix}"
            command = [sys.executable, __file__, "--measure", str(table), str(scores)]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            distance = apart(found)
            if distance > 0.01 + 4 / found["complete"] ** 0.5:
                print(f"correlations are {distance:.3f} from the model's", file=sys.stderr)
                return 1
            if table.suffix == ".parquet":
                theirs = peer(table, scores)
            more = {"seconds": round(found["seconds"], 2), "gib": round(found["gib"], 3), "apart": round(distance, 4),
                    "complete": found["complete"], "megabytes": round(table.stat().st_size / 1e6)}  # fmt: skip
            for peer_name, speed in (theirs or {"": 0.0}).items():
                ours = found["n"] / found["seconds"]
                line = {"name": f"analyze_{table.suffix[1:]}", "ratio": round(ours / speed, 1) if speed else None,
                        "ours": round(ours), "peer": round(speed) or None, "peer_name": peer_name or None,
                        "unit": "people/s", "n": found["n"]}  # fmt: skip
                print(json.dumps({**line, **more}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
