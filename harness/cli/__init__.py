"""The command `traitbench`: its grammar, its configuration and its verbs. Standard library only until one is run."""

from traitbench.cli.commands import main

__all__ = ["main"]
