"""`traitbench analyze`: what its flags mean, and what goes where; those of a table that `compare` reads, too."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from traitbench.cli.showing import say, show_tables
from traitbench.files import user_path

if TYPE_CHECKING:
    from traitbench.answers.analysis import Rows
    from traitbench.runs.compare import Reading

__all__ = ["analyze_table", "missing_of", "reading_of"]


def analyze_table(arguments: argparse.Namespace) -> int:
    """Run `traitbench analyze`."""
    from traitbench import inventories
    from traitbench.answers.analyze import analyze
    from traitbench.answers.coding import parse_coding
    from traitbench.answers.columns import load_map
    from traitbench.answers.showing import tables
    from traitbench.progress import Rows

    include = [user_path(folder) for given in arguments.include_path for folder in given.split(",")]
    inventory = inventories.load(arguments.inventory, texts=False, include=include)
    scores = user_path(arguments.scores) if arguments.scores else None
    rows, codes = missing_of(arguments.missing)
    with Rows() as bar:
        found = analyze(
            user_path(arguments.table),
            inventory,
            arguments.keyed,
            scores,
            bar.done,
            rows=rows,
            trust_key=arguments.trust_key,
            careless=arguments.careless,
            coding=parse_coding(arguments.coding) if arguments.coding else None,
            missing=codes,
            columns=load_map(user_path(arguments.columns)) if arguments.columns else None,
            id=arguments.id,
        )
    if arguments.format == "json":
        for warning in found.warnings:
            say(f"warning: {warning}")
    if found.ignored_columns:
        some = ", ".join(found.ignored_columns[:8]) + (", ..." if len(found.ignored_columns) > 8 else "")
        say(f"ignored {len(found.ignored_columns)} columns that are no item: {some}")
    if scores:
        say(f"scores: {scores}")
    low = inventory.response_scale.min
    show_tables(lambda: tables(found, arguments.items, low), arguments.format, lambda: found.model_dump_json(indent=2))
    return 0


def reading_of(arguments: argparse.Namespace) -> Reading:
    """How `traitbench compare` is to read a table of people's answers; TraitbenchUsage for a word in `--missing`."""
    from traitbench.answers.coding import parse_coding
    from traitbench.answers.columns import load_map
    from traitbench.errors import TraitbenchUsage
    from traitbench.runs.compare import Reading

    rows, codes = missing_of(arguments.missing)
    if rows != "scale":
        raise TraitbenchUsage(
            f"--missing {rows}: compare takes the rows complete on a scale; expected numbers that stand for a missing "
            "answer, as in --missing -9,99"
        )
    return Reading(
        arguments.keyed,
        parse_coding(arguments.coding) if arguments.coding else None,
        codes,
        load_map(user_path(arguments.columns)) if arguments.columns else None,
    )


def missing_of(given: Sequence[str]) -> tuple[Rows, tuple[float, ...]]:
    """Read `--missing`: words say which rows a scale's figures are of, numbers which answers count as missing.

    TraitbenchUsage for two different words, and for what is neither word nor number.
    """
    from traitbench.answers.analysis import Rows
    from traitbench.errors import TraitbenchUsage

    words: list[Rows] = []
    codes: list[float] = []
    for part in (part.strip() for text in given for part in text.split(",")):
        if part in get_args(Rows):
            words.append(part)  # type: ignore[arg-type]
            continue
        try:
            codes.append(float(part))
        except ValueError:
            raise TraitbenchUsage(
                f"--missing {part!r}: expected scale, pairwise or listwise, or numbers that stand for a missing "
                "answer, as in --missing -9,99"
            ) from None
    if len(set(words)) > 1:
        raise TraitbenchUsage(
            f"--missing {' and '.join(dict.fromkeys(words))}: expected one of them; leave the others out"
        )
    return (words[0] if words else "scale"), tuple(codes)
