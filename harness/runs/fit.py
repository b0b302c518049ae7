"""Fit a method's controls and keep them where runs find them, without measuring anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from traitbench.controls import home
from traitbench.errors import TraitbenchUsage
from traitbench.methods.fitted import fitted
from traitbench.runs.evaluate import fitter, served, workbench
from traitbench.runs.plan import NOTHING, Given, Plan
from traitbench.runs.prepare import prepare
from traitbench.runs.reading import read
from traitbench.runs.suited import check_suited
from traitbench.types import Control

__all__ = ["fit"]


def _found(control: Control) -> str:
    """Whether the fit by itself found anything, where it says so."""
    find = control.fit.find if control.fit else None
    return "" if find is None else f", {'found' if find.found else 'nothing found'}: p = {find.p:.3g} of this fit alone"


def fit(
    plan: Plan,
    tell: Callable[[str], None],
    begin: Callable[[str, int], Callable[[int], None]],
    given: Given = NOTHING,
) -> Iterator[Path]:
    """Fit one control a target and yield the folder of each, as soon as it is there.

    A folder holds control.json, method.json and what they name: tensors.safetensors, or adapter/ for PEFT. What was
    fitted before in the same way is not fitted again. `given` holds what the plan names and no table does.
    TraitbenchUsage for a method that needs no model.
    """
    if plan.fit_seeds > 1:
        raise TraitbenchUsage(f"--fit_seeds {plan.fit_seeds}: fit makes one control a target; give each fit its --seed")
    prepared = prepare(plan, given)
    if not prepared.method.needs_model:
        raise TraitbenchUsage(
            f"the method {plan.method} is not fitted on a model; `traitbench prompt --method {plan.method}` shows its "
            "messages, `traitbench run` uses them"
        )
    kind = served(prepared)
    check_suited(prepared)
    backend = fitter(prepared, kind.fits_on) if kind.fits_on else kind.make(prepared.spec, plan.options())
    try:
        read(backend, prepared.spec, tell)
        bench = workbench(plan, backend, tell, begin)
        for target in prepared.targets:
            control = fitted(prepared.method, target, bench)
            place = home(control, bench.folder)
            if os.environ.get("RANK", "0") != "0":
                continue  # accelerate started several processes, and the first one tells
            what = target.name if target else plan.method
            tell(f"{what}: {place}" + (f" (PEFT: {place / 'adapter'})" if control.adapter else "") + _found(control))
            yield place
    finally:
        backend.close()
