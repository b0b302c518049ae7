"""Whether a method, and edits that are there already, suit a plan's model: by its config, before any weights."""

from __future__ import annotations

from traitbench.runs.plan import Prepared

__all__ = ["check_suited"]


def check_suited(prepared: Prepared) -> None:
    """Refuse a method, or edits that are there already, that the model of a plan cannot take, by its config alone.

    BadData, before any weights are loaded.
    """
    spec, method, plan = prepared.spec, prepared.method, prepared.plan
    edited = [control for _, control in prepared.conditions if control.edits]
    if spec.backend != "hf" or not (edited or method.needs_model):
        return
    from traitbench.backends.loading import configuration
    from traitbench.backends.weights import locate
    from traitbench.controls import arrays
    from traitbench.controls.numbers import check_config

    if revision := plan.model_args.get("revision"):
        spec = spec.model_copy(update={"revision": str(revision)})
    config = configuration(spec, locate(spec), bool(plan.model_args.get("trust_remote_code")))
    method.check_model(config, spec.label)
    for control in edited:
        check_config(config, control.edits, arrays(control))
