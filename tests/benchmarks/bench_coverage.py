"""How often the intervals hold the true mean, and how often the paired test errs, on simulated items.

Run with `python tests/benchmarks/bench_coverage.py` for JSON lines, one a case, with t and pooled variance (what the
intervals would be without Welch, facets, replicates and resampling) as the peer; with `--runs 2000 --write` it puts the
tables into docs/intervals.md. Seeded; asserts nothing: tests/statistics/test_coverage.py does.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from covering import Case, cases, coverage, errors, named, paired_cases

PAGE = Path(__file__).resolve().parents[2] / "docs" / "intervals.md"


def measured(name: str, runs: int) -> list[tuple[Case, float, float]]:
    """Ours and the peer's share for every case of one table, printed as they come."""
    rows = []
    for case in cases() if name == "coverage" else paired_cases():
        ours, peer = coverage(case, runs) if name == "coverage" else errors(case, runs)
        rows.append((case, ours, peer))
        print(json.dumps({
            "name": name, "ratio": round(ours / peer, 3) if peer else None, "ours": round(ours, 4),
            "peer": round(peer, 4), "peer_name": "pooled t", "unit": "share", "n": runs, "case": " ".join(named(case)),
        }), flush=True)  # fmt: skip
    return rows


def table(rows: Sequence[tuple[Case, float, float]], column: str) -> str:
    """Markdown."""
    head = ["items", "n", "keys", "weights", "also random", column, "pooled t"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for case, ours, peer in rows:
        cells = [cell or "–" for cell in named(case)]
        lines.append("| " + " | ".join([*cells, f"{100 * ours:.1f} %", f"{100 * peer:.1f} %"]) + " |")
    return "\n".join(lines)


def main() -> int:
    """Simulate, print, and write the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300, help="simulated data sets a case; the page has 2000")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/intervals.md")
    args = parser.parse_args()
    tables = {
        "coverage": table(measured("coverage", args.runs), "coverage"),
        "errors": table(measured("errors", args.runs), "type I"),
    }
    if args.write:
        page = PAGE.read_text(encoding="utf-8")
        for name, text in tables.items():
            page, found = re.subn(
                rf"(?s)(<!-- {name} -->\n).*?(<!-- end -->)", lambda m, t=text: f"{m[1]}\n{t}\n\n{m[2]}", page
            )
            if not found:
                print(f"{PAGE}: no place for the table {name!r}: expected <!-- {name} --> ... <!-- end -->")
                return 1
        page = re.sub(r"\d[\d,]* simulated data sets", f"{args.runs:,} simulated data sets", page)
        PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
