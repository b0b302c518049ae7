"""Results files as the tests look into them, and as they are after somebody meant to change them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitbench.runs.sealed import sealed
from traitbench.store import read_json, write_json
from traitbench.store import sealed as sealed_line


def held(path: Path) -> dict[str, Any]:
    """What a results file holds, without the checksum of it."""
    return {name: value for name, value in read_json(path).items() if name != "checksum"}


def rewrite(path: Path, content: Mapping[str, Any]) -> None:
    """Write a results file with the checksum that its content has."""
    write_json(path, sealed(content))


def resealed(lines: str) -> str:
    """Lines of samples with the checksums that they have now."""
    bare = (re.sub(r', ?"sum": ?"[0-9a-f]{16}"\}$', "}", line) for line in lines.splitlines())
    return "".join(f"{sealed_line(line)}\n" for line in bare)
