"""The checkout that this package runs from."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["git_hash"]


def git_hash() -> str | None:
    """Return the commit of the checkout this package runs from; None where it is installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
