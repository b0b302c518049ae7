"""What comes before a question: turns of our own, the same under every control, and what they are held against."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from traitbench.errors import UnsupportedControl, unknown
from traitbench.types import Message, Mode, Record

__all__ = ["PLAIN", "TURNS", "Context", "Kind", "chosen", "contexts"]

Kind = Literal["plain", "template", "reversed", "now", "drift", "calm", "pressure", "after"]
"""plain: the question alone. template: in another wording. reversed: with the options turned round. now: with a
request to answer as oneself. drift: after turns of neutral talk. pressure: after turns that ask to drop the persona.
calm: after as many turns of the same length without pressure. after: when the pressure has been taken back."""

PLAIN: Kind = "plain"
TURNS = (1, 2, 4, 8)
"""Turns of neutral talk on the drift curve."""


class Context(Record):
    """One way to be asked."""

    name: str
    kind: Kind
    step: int = 0
    """Turns of talk, or the rung of the ladder from 1."""
    turns: tuple[Message, ...] = ()
    """What was said before the question."""
    before: str = ""
    """What the question begins with."""
    template: int = 0
    """Wording of the question, as the inventories number theirs."""
    mode: Mode | None = None
    """The one scoring mode that it is of; null: any."""
    replay: str | None = None
    """Of pressure, and of what came after: the context of as many turns without it."""
    group: str = ""
    """By which several are chosen together."""


@cache
def contexts() -> dict[str, Context]:
    """Name -> context, in the order in which they are asked: what begins alike stands together."""
    texts = json.loads(files(__package__).joinpath("contexts.json").read_text("utf-8"))
    rungs, reply = texts["rungs"], texts["reply"]
    calm = [*(rung["calm"] for rung in rungs), texts["last_calm"]]
    found = [
        Context(name=PLAIN, kind=PLAIN),
        Context(name="template", kind="template", template=1),
        Context(name="reversed", kind="reversed", mode="choice"),
        Context(name="now", kind="now", before=texts["now"]),
        *(
            Context(name=f"drift-{k}", kind="drift", step=k, turns=_talk(texts["talk"][:k]), group="drift")
            for k in TURNS
        ),
        *(
            Context(name=f"calm-{n}", kind="calm", step=n, turns=_said(calm[:n], reply), group="ladder")
            for n in range(1, len(calm) + 1)
        ),
    ]
    for n, rung in enumerate(rungs, 1):
        pressed = [other["pressure"] for other in rungs[:n]]
        found += [
            Context(name=rung["name"], kind="pressure", step=n, turns=_said(pressed, reply), replay=f"calm-{n}",
                    group="ladder"),
            Context(name=f"after-{rung['name']}", kind="after", step=n, replay=f"calm-{n + 1}", group="ladder",
                    turns=_said([*pressed, texts["withdrawal"]], reply)),
        ]  # fmt: skip
    return {context.name: context for context in found}


def chosen(names: Sequence[str] | None, mode: Mode) -> list[Context]:
    """The contexts of one scoring mode by name or group, each with what it is held against; None: all.

    UnknownName for what is neither, UnsupportedControl for what is not asked in this mode.
    """
    every = contexts()
    groups = {context.group for context in every.values()} - {""}
    wanted: set[str] = {PLAIN}
    for name in every if names is None else names:
        if name not in every and name not in groups:
            raise unknown("context", name, {*every, *groups}, "(write e.g. --contexts now,drift)")
        meant = [c for c in every.values() if name in (c.name, c.group)]
        if names is not None and not any(c.mode in (None, mode) for c in meant):
            raise UnsupportedControl(
                f"--contexts {name} is asked in {meant[0].mode} scoring alone, and this run asks in {mode}; leave it "
                f"out, or take --scoring {meant[0].mode}"
            )
        wanted |= {c.name for c in meant}
    wanted |= {c.replay for c in every.values() if c.name in wanted and c.replay}
    # Who stays persuaded is known only from both: the question under pressure, and the one after it.
    wanted |= {f"after-{c.name}" for c in every.values() if c.name in wanted and c.kind == "pressure"}
    wanted |= {c.replay for c in every.values() if c.name in wanted and c.replay}
    return [c for c in every.values() if c.name in wanted and c.mode in (None, mode)]


def _talk(pairs: Sequence[Sequence[str]]) -> tuple[Message, ...]:
    return tuple(turn for ask, answer in pairs for turn in _exchange(ask, answer))


def _said(texts: Sequence[str], reply: str) -> tuple[Message, ...]:
    return tuple(turn for text in texts for turn in _exchange(text, reply))


def _exchange(ask: str, answer: str) -> tuple[Any, ...]:
    return Message(role="user", content=ask), Message(role="assistant", content=answer)
