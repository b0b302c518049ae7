"""The conditions of a run: the baseline, one a target, and of a control with edits its doses and its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from traitbench.errors import UnsupportedControl
from traitbench.methods.fitted import fitted
from traitbench.methods.method import Method
from traitbench.samples import BASELINE, Condition
from traitbench.types import Control, Target

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["conditions", "once"]

Made = tuple[Condition, Control]


def conditions(
    method: Method,
    settings: Mapping[str, Any],
    targets: Sequence[Target | None],
    coefs: Sequence[float],
    bench: Bench | None,
    profiles: bool = False,
    matched: bool = False,
    fits: int = 1,
) -> list[Made]:
    """Make the controls on `bench` and name the conditions; the baseline alone where there is no bench.

    `coefs` are further strengths of their edits; `profiles` says that the targets were drawn; `matched` puts the
    instruction that all methods share in front of each control. Of several `fits`, with seeds from the bench's on, each
    is a condition of the same name. UnsupportedControl for `coefs` of edits that have no strength.
    """
    made: list[Made] = [(Condition(name=BASELINE), Control())]
    if bench is None:
        return made
    step = bench.begin(f"fitting {method.name}", len(targets) * fits) if method.needs_model else None
    for (number, target), (n, own) in product(enumerate(targets, 1), enumerate(bench.reseeded(fits))):
        name = target.name if target else str(settings.get("style", method.name))
        control = fitted(method, target, own).model_copy(update={"target": target})
        if matched and target is not None:
            control = _told(control, target, own)
        condition = Condition(
            name=f"profile {number}" if profiles else name,
            target=target.name if target else None,
            levels=target.levels if target else {},
            person=target.person.id if target and target.person else None,
            profile=profiles,
            fit=n if fits > 1 else None,
        )
        made += [
            (changed.model_copy(update={"control_hash": mine.hash}), mine)
            for changed, mine in _points(condition, control, coefs)
        ]
        if step:
            step(1)
    return made


def once(made: Sequence[Made]) -> list[Condition]:
    """The conditions as results hold them: several fits of one as one."""
    named: dict[str, list[Condition]] = {}
    for condition, _ in made:
        named.setdefault(condition.name, []).append(condition)
    return [_joined(mine) if len(mine) > 1 else mine[0] for mine in named.values()]


def _joined(fits: Sequence[Condition]) -> Condition:
    perplexity = [c.perplexity for c in fits if c.perplexity is not None]
    dose = [c.dose for c in fits if c.dose is not None]
    return fits[0].model_copy(update={
        "coef": fits[0].coef if len({c.coef for c in fits}) == 1 else None,
        "perplexity": sum(perplexity) / len(perplexity) if perplexity else None,
        "dose": sum(dose) / len(dose) if dose else None, "control_hash": None, "fit": None,
    })  # fmt: skip


def _told(control: Control, target: Target, bench: Bench) -> Control:
    """Put the instruction for `target` in front of the control's own messages, unless it is among them."""
    from traitbench.methods.prompting import Prompting

    said = Prompting(Prompting.Config(style="instruction")).fit(target, bench).messages
    new = tuple(message for message in said if message not in control.messages)
    return control.model_copy(update={"messages": (*new, *control.messages)})


def _points(condition: Condition, control: Control, coefs: Sequence[float]) -> Iterator[Made]:
    """The control at the strength that the method chose, then at `coefs`, then its two parts alone."""
    chosen = control.fit.strength if control.fit else None
    if chosen is None:
        yield condition, control
        return
    headline = condition.model_copy(update={"coef": chosen})
    yield headline, control.at(chosen)
    aside = headline.model_copy(update={"headline": False})
    if (
        more := [coef for coef in coefs if coef not in (0, chosen)]
        if control.edits and not control.has_strength
        else []
    ):
        ops = ", ".join(sorted({edit.op for edit in control.edits})) or "none"
        raise UnsupportedControl(
            f"--coefs {more[0]:g}: the edits of {condition.name} ({ops}) have no strength, so that they would be the "
            "same at any; leave --coefs out, or give 0 for the control without them"
        )
    for coef in sorted(set(coefs) - {chosen}):
        yield aside.model_copy(update={"name": f"{condition.name}@{coef:g}", "coef": coef}), control.at(coef)
    if control.messages and control.edits:
        part = {"name": f"{condition.name}@prompt", "variant": "prompt only", "coef": 0.0}
        yield aside.model_copy(update=part), control.at(0)
        part = {"name": f"{condition.name}@shift", "variant": "shift only"}
        yield aside.model_copy(update=part), control.at(chosen).model_copy(update={"messages": ()})
