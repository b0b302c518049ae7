"""The check before anything is asked under an edit: that the engine does what the hf backend does.

While hf is open (methods are fitted there), it answers one question plainly and under a known edit of each site. The
engine must give the plain answer, be moved by each edit as far as hf was, and give the plain answer again: a runner of
vLLM that the hooks do not reach, or reach at the wrong tokens, is told from one that works.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from traitbench import controls
from traitbench.backends.backend import Backend
from traitbench.errors import BadData
from traitbench.types import Choose, Control, Doc, Edit, Message, Op, Site

__all__ = ["QUESTION", "Known", "known", "verify"]

TOLERANCE = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.3}
"""Nats by which the two may differ, beside a twentieth of the movement itself."""

_LARGEST = 64.0
"""Where an edit of this size in every place moves nothing, the site is dead."""

QUESTION = Choose(
    doc=Doc(task="self-check", scoring="choice", item="1", trait="self-check", facet=None, keyed=1),
    messages=(Message(role="user", content="Which letter comes first in the alphabet?\nA. A\nB. B"),),
    cue="Answer:", options=(("A", " A"), ("B", " B")), values=(1, 2),
)  # fmt: skip

Logprobs = tuple[float, ...]


class Known(NamedTuple):
    """What hf answers to the question under one control."""

    site: Site | None
    """None: without a control."""
    control: Control
    logprobs: Logprobs


def known(hf: Backend, places: Mapping[Site, Mapping[str, Any]], folder: Path) -> list[Known]:
    """Ask hf plainly, and under an edit of the middle one of each site's layers; `folder` takes the edits.

    `places` are those of Needs. An edit adds one number with random signs in every place, from the last prompt token
    on, as large as it must be to be told from rounding; where a layer's edits take steps, one more takes their
    projection on these signs away so many times. BadData where none moves an answer.
    """
    plain = ask(hf, Control())
    found = [Known(None, Control(), plain)]
    least = 20 * TOLERANCE[str(hf.identity["dtype"])]
    for site, place in places.items():
        staged = [int(layer) for layer in place.get("steps", {})]
        checks: list[tuple[Op, Collection[int]]] = [("add", place["layers"]), ("project_out", staged)]
        for op, layers in checks:
            if layers:
                layer = sorted(layers)[len(layers) // 2]
                found.append(_moved(hf, site, layer, op, plain, least, folder))
    return found


def _moved(hf: Backend, site: Site, layer: int, op: Op, plain: Logprobs, least: float, folder: Path) -> Known:
    """An edit that moves the answer by more than `least` nats, and the answer."""
    signs = np.sign(np.random.default_rng(layer).normal(size=_width(hf, site))).astype(np.float32)
    size = 0.25
    while True:
        edit = Edit(layer=layer, site=site, op=op, tensor="signs", strength=size, positions="answer")
        control = controls.store(folder, edits=(edit,), tensors={"signs": signs})
        moved = ask(hf, control)
        if _apart(moved, plain) > least:
            return Known(site, control, moved)
        if size >= _LARGEST:
            raise BadData(f"no edit of {site} in layer {layer} moves an answer of this model, so none can be checked")
        size *= 4


def verify(backend: Backend, found: Sequence[Known], dtype: str, about: Callable[[], str]) -> float:
    """Hold a started engine against what is known; return the largest difference, in nats.

    BadData where an answer differs; `about` names the runner and the version.
    """
    plain, asked = found[0].logprobs, ask(backend, Control())
    least = TOLERANCE[dtype]
    if (worst := _apart(asked, plain)) > least:
        raise BadData(
            f"{about()} and hf differ by {worst:.3g} nats without any control (at most {least:g} expected); the two "
            "do not run the same model; use --backend hf, and report this"
        )
    for each in found[1:]:
        moved = np.subtract(ask(backend, each.control), asked)
        wanted = np.subtract(each.logprobs, plain)
        off = float(np.abs(moved - wanted).max())
        if off > least + 0.05 * float(np.abs(wanted).max()):
            raise BadData(
                f"{about()} does not apply edits of {each.site} as hf does: an answer moves by {_told(moved)} nats, "
                f"expected {_told(wanted)}; set VLLM_USE_V2_MODEL_RUNNER=0, or use --backend hf, and report this"
            )
        worst = max(worst, off)
    if (left := _apart(ask(backend, Control()), asked)) > least:
        raise BadData(f"{about()}: an edit stays in force after it was taken off ({left:.3g} nats); use --backend hf")
    return worst


def ask(backend: Backend, control: Control) -> Logprobs:
    """Answer the question under `control`."""
    with backend.under(control):
        (batch,) = backend.run([QUESTION])
    found = batch[0].option_logprobs
    assert found is not None
    return tuple(float(value) for value in found if value is not None)


def _width(hf: Any, site: Site) -> int:
    from traitbench.controls.architectures import site_width

    return site_width(hf.model, site)


def _apart(a: Logprobs, b: Logprobs) -> float:
    return float(np.abs(np.subtract(a, b)).max())


def _told(values: Any) -> str:
    return ", ".join(f"{value:+.3f}" for value in values)
