"""Time of `import traitbench` and of `traitbench --help`, over that of a Python that does nothing.

Run with `python tests/benchmarks/bench_import.py`. Processes of the kinds alternate, and the fastest of each counts.
Prints a JSON line a kind and asserts nothing about time: an import should take less than 50 ms more than nothing does
(`more`), help not much longer. `modules` is how many modules each brings beside those of the bare Python.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

NOTHING = "pass"
KINDS = {
    "import_traitbench": "import traitbench",
    "import_control": "from traitbench import Control",
    "help": "from traitbench.cli import main; main(['--help'])",
    "help_run": "from traitbench.cli import main; main(['run', '--help'])",
}
COUNT = "import sys; before = set(sys.modules)\n{}\nprint(len(set(sys.modules) - before), file=sys.stderr)"


def seconds(program: str) -> float:
    """Start a Python, run `program`, and wait until it has ended."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def modules(program: str) -> int:
    """How many modules `program` imports that a bare Python has not."""
    command = [sys.executable, "-c", COUNT.format(program)]
    done = subprocess.run(command, check=True, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return int(done.stderr)


def main() -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15, help="processes of each kind; the fastest counts")
    args = parser.parse_args()
    programs = {"": NOTHING, **KINDS}
    fastest = dict.fromkeys(programs, float("inf"))
    for _ in range(args.repeats):
        for name, program in programs.items():
            fastest[name] = min(fastest[name], seconds(program))
    peer = 1000 * fastest.pop("")
    for name, found in fastest.items():
        ours = 1000 * found
        print(json.dumps({
            "name": name, "ratio": round(ours / peer, 2), "ours": round(ours, 1), "peer": round(peer, 1),
            "peer_name": "python -c pass", "unit": "ms", "n": args.repeats, "more": round(ours - peer, 1),
            "modules": modules(KINDS[name]),
        }))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
