"""hf and vllm side by side on the GPU: the same controls and questions as the tests', in two precisions."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from asked import answers
from vllm_parity import apart, edit, lora

from gpu.rows import Here, Row, failed, figure, skipped, yes
from traitbench import controls, inventories
from traitbench.backends.backend import Options
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.controls.architectures import site_width
from traitbench.tasks.administration import Administration, item_requests
from traitbench.types import Choose, Continue, Control, Message, Request, Response, Write

__all__ = ["bfloat16", "first_runner", "float32"]

NATS = 2e-4
"""Largest difference in float32: the tests' own bound."""
ROUNDED = {"options": 0.5, "texts": 1.0}
"""Nats in bfloat16: guesses before any GPU was seen. In bfloat16 hf on a CPU
differs from itself by .2 an option and .4 a text, between packed and single prompts (24 items)."""
EQUAL = 0.95
"""Share of greedy replies that must be equal in float32."""
RUNNERS = {"vllm.v1.worker.gpu_model_runner.GPUModelRunner": 1, "vllm.v1.worker.gpu.model_runner.GPUModelRunner": 2}
"""vLLM's two model runners by name."""

Answers = Mapping[int, Response]


class Variant(NamedTuple):
    """One way to start the engine."""

    name: str
    eager: bool
    nats: Mapping[str, float]
    """Largest difference, of options and of texts."""
    environment: Mapping[str, str] = {}


def bfloat16(here: Here) -> None:
    """Everything rounded; the second runner is asked for by name."""
    second = {} if here.dry else {"VLLM_USE_V2_MODEL_RUNNER": "1"}
    _compare(here, "bfloat16", [Variant("graphs", False, ROUNDED, second), Variant("eager", True, ROUNDED, second)], 2)


def float32(here: Here) -> None:
    """In full precision, where the tests' bound must hold."""
    _compare(here, "float32", [Variant("eager", True, _both(NATS)), Variant("graphs", False, _both(NATS))], 2)


def first_runner(here: Here) -> None:
    """The first runner, which errors tell to fall back on."""
    old = {"VLLM_USE_V2_MODEL_RUNNER": "0"}
    _compare(here, "float32", [Variant("graphs", False, _both(NATS), old)], 1)


def _both(nats: float) -> Mapping[str, float]:
    return {"options": nats, "texts": nats}


def _compare(here: Here, dtype: str, variants: list[Variant], runner: int) -> None:
    """Ask hf once, then every variant of the engine the same; one that fails leaves the others."""
    hf = HuggingFace(resolve("smollm2"), device=here.device, dtype=dtype)
    made, requests = _controls(here, hf), _requests(here)
    wanted = {name: answers(hf, requests, control) for name, control in made.items()}
    for variant in variants:
        try:
            _hold(here, hf, dtype, variant, runner, made, requests, wanted)
        except Exception as error:
            here.report(failed(variant.name, f"{type(error).__name__}: {error}"))
    hf.close()


def _hold(
    here: Here, hf: HuggingFace, dtype: str, variant: Variant, runner: int, made: Mapping[str, Control],
    requests: list[Request], wanted: Mapping[str, Answers],
) -> None:  # fmt: skip
    from traitbench.backends.vllm import VLLM
    from traitbench.backends.vllm.selfcheck import TOLERANCE, verify

    given = {"dtype": dtype, "enforce_eager": variant.eager, "max_model_len": 1024, "gpu_memory_utilization": 0.3}
    with _set(variant.environment):
        vllm = VLLM.make(resolve("smollm2"), Options(arguments=given))
        try:
            vllm.prepare(list(made.values()), hf)
            # Checked below rather than at the start, so that an engine that fails is still measured.
            known, vllm._known = vllm._known, []
            start = time.perf_counter()
            about = vllm.engine.about()
            here.report(figure(f"{variant.name}: start", time.perf_counter() - start, "s"))
            here.report(_runner(here, variant, runner, str(about["runner"])))
            try:
                worst = verify(vllm, known, dtype, lambda: str(about["runner"]))
                here.report(figure(f"{variant.name}: check at the start", worst, "nats", most=TOLERANCE[dtype]))
            except Exception as error:
                here.report(failed(f"{variant.name}: check at the start", str(error)))
            found = {name: answers(vllm, requests, control) for name, control in made.items()}
            _told(here, variant, dtype, requests, found, wanted)
            here.report(figure(f"{variant.name}: steps marked", vllm.engine.about()["steps"], least=1))
        finally:
            vllm.close()


def _runner(here: Here, variant: Variant, wanted: int, name: str) -> Row:
    """Which model runner the engine has; vLLM for the CPU has one of its own."""
    what = f"{variant.name}: model runner {wanted}"
    return skipped(what, name) if here.dry else yes(what, RUNNERS.get(name) == wanted, name)


def _told(
    here: Here, variant: Variant, dtype: str, requests: list[Request], found: Mapping[str, Answers],
    wanted: Mapping[str, Answers],
) -> None:  # fmt: skip
    """Report the largest differences over all controls, and the smallest share of equal replies."""
    for what, kind in (("options", Choose), ("texts", Continue)):
        mine = [i for i, request in enumerate(requests) if isinstance(request, kind)]
        far = {
            name: apart({i: found[name][i] for i in mine}, {i: theirs[i] for i in mine})
            for name, theirs in wanted.items()
        }
        worst = max(far, key=far.__getitem__)
        here.report(
            figure(f"{variant.name}: {what}", far[worst], "nats", most=variant.nats[what], note=worst, details=far)
        )
    replies = [i for i, request in enumerate(requests) if isinstance(request, Write)]
    equal = {
        name: sum(found[name][i].text == theirs[i].text for i in replies) / len(replies)
        for name, theirs in wanted.items()
    }
    fewest = min(equal, key=equal.__getitem__)
    least = EQUAL if dtype == "float32" else None
    here.report(
        figure(f"{variant.name}: equal replies", equal[fewest], "share", least=least, note=fewest, details=equal)
    )


def _controls(here: Here, hf: HuggingFace) -> dict[str, Control]:
    """None, a prompt, an adapter of rank 8 and an edit of each site."""
    folder = here.folder
    told = (Message(role="system", content="You are very outgoing."),)
    made = {"none": Control(), "prompt": controls.store(folder, messages=told)}
    made["rank 8"] = controls.store(folder, adapter=lora(hf, folder / "lora8", 8))
    for site, op, scope in (
        ("residual", "add", "all"), ("heads", "add", "answer"), ("gate", "clamp", "answer"),
        ("neurons", "zero", "generated"),
    ):  # fmt: skip
        made[f"{site} {op} {scope}"] = edit(folder, site, op, scope, site_width(hf.model, site))
    return made


def _requests(here: Here) -> list[Request]:
    """Items chosen and weighed, and 50 prompts for greedy replies."""
    inventory = inventories.load("ipip_neo_120")
    scored = Administration(scoring=("choice", "statement"), orders=("forward",))
    written = Administration(scoring=("generate",), orders=("forward",), max_tokens=here.size(24, 6))
    items = inventory.items
    return [
        *item_requests(inventory.id, inventory, items[: here.size(40, 2)], scored, 0),
        *item_requests(inventory.id, inventory, items[-here.size(50, 2) :], written, 0),
    ]


@contextmanager
def _set(environment: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables; the engine's own process takes them over when it is started."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
