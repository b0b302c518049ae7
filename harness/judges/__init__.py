"""Judges: who says how much of a trait a written reply shows. JUDGES names those that are no language model.

A judge answers `Choose` requests of ours, so that any backend with log-probabilities can be one; a server without them
writes. It is told one dimension a call, never whom the reply is from, what was aimed at or by which method. What it
answers is kept like any response and graded from what is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from traitbench.catalog import Catalog
from traitbench.errors import TraitbenchUsage
from traitbench.judges.grading import grade
from traitbench.judges.judge import Judge
from traitbench.judges.records import Ask, Text

__all__ = ["JUDGES", "Ask", "Judge", "Text", "grade", "made", "named"]

JUDGES: Catalog[type[Judge]] = Catalog("judge", {
    "scorer:text": "traitbench.judges.scorers:TextScorer",
    "scorer:minilm": "traitbench.judges.scorers:MiniLMScorer",
    "planted:honest": "traitbench.judges.planted:Honest",
    "planted:constant": "traitbench.judges.planted:Constant",
    "planted:first": "traitbench.judges.planted:First",
    "planted:length": "traitbench.judges.planted:Length",
    "planted:family": "traitbench.judges.planted:Family",
    "planted:obedient": "traitbench.judges.planted:Obedient",
})  # fmt: skip
"""Judges that are no language model; the planted ones have one known fault each (see `traitbench judge calibrate`)."""


def named(name: str, arguments: Mapping[str, Any]) -> Judge:
    """Make the judge that `name` stands for: one of JUDGES, else a model as `--model` takes it; nothing is loaded.

    `arguments` are for a model's backend, as --model_args. UnknownName for a name that is none.
    """
    if name in JUDGES or name.startswith("planted:"):
        return JUDGES.load(name).make(name, arguments)
    from traitbench.judges.models import ModelJudge

    return ModelJudge.make(name, arguments)


def made(names: Sequence[str], arguments: Mapping[str, Any]) -> list[Judge]:
    """Make several judges. Of `arguments`, `NAME.key` is the judge NAME's alone, and `key` that of all that are models.

    UnknownName for a name that is none and for an argument that nobody takes, TraitbenchUsage for a judge named twice.
    """
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise TraitbenchUsage(f"--judge names {twice[0]} twice; name each judge once")
    own: dict[str, dict[str, Any]] = {name: {} for name in names}
    shared = {}
    for key, value in arguments.items():
        # The longest name, since one may begin with another: gpt-4 and gpt-4.1.
        whose = max((name for name in names if key.startswith(f"{name}.")), key=len, default=None)
        if whose is None:
            shared[key] = value
        else:
            own[whose][key.removeprefix(f"{whose}.")] = value
    models = [name for name in names if name not in JUDGES]
    return [named(name, {**(shared if name in models or not models else {}), **mine}) for name, mine in own.items()]
