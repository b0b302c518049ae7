"""The backends vllm and hf, ready for the same controls on the embedded model in float32, and how far they differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from asked import answers

from traitbench import controls, inventories
from traitbench.backends.backend import Options
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.vllm import VLLM
from traitbench.controls.architectures import site_width
from traitbench.controls.edits import ELEMENTWISE
from traitbench.tasks.administration import Administration, item_requests
from traitbench.types import Control, Edit, Message, Op, Request, Response, Scope, Site, When, Write

SPEC = resolve("smollm2")
NATS = 2e-4
PLACES: dict[Site, int] = {"residual": 10, "heads": 14, "gate": 15, "neurons": 20}
EDITS: list[tuple[Site, Op, Scope]] = [
    ("residual", "add", "all"), ("residual", "clamp", "answer"), ("heads", "add", "answer"), ("heads", "zero", "all"),
    ("gate", "add", "generated"), ("gate", "clamp", "answer"), ("neurons", "add", "all"),
    ("neurons", "zero", "generated"), ("residual", "project_out", "all"), ("residual", "cap", "answer"),
    ("heads", "rescale", "all"), ("gate", "project_out", "answer"), ("neurons", "cap", "generated"),
]  # fmt: skip
STAGED: dict[Site, int] = {"residual": 12, "heads": 16, "gate": 17, "neurons": 21}
"""Layers of the edits that look at a whole state, so that the others keep their points of one row."""
EDITED = [" ".join(each) for each in EDITS]


@dataclasses.dataclass
class Bench:
    """Both backends, ready for the same controls."""

    hf: HuggingFace
    vllm: VLLM
    controls: dict[str, Control]
    requests: list[Request]
    prompts: list[Request]
    """To write on, greedily."""
    known: dict[str, dict[int, Response]] = dataclasses.field(default_factory=dict)

    @property
    def all(self) -> list[Request]:
        return [*self.requests, *self.prompts]

    def wanted(self, name: str) -> dict[int, Response]:
        """What hf answers to everything under a control, asked once."""
        if name not in self.known:
            self.known[name] = answers(self.hf, self.all, self.controls[name])
        return self.known[name]

    def close(self) -> None:
        self.vllm.close()
        self.hf.close()


def ready(
    folder: Path, ranks: Sequence[int], prompts: int, places: Mapping[Site, int] = PLACES, **arguments: Any
) -> Bench:
    """Start both; `ranks` are of the adapters, `prompts` how many there are, `places` the sites' layers.

    `arguments` are the engine's.
    """
    hf = HuggingFace(SPEC)
    width = {site: site_width(hf.model, site) for site in PLACES}
    told = (Message(role="system", content="You are very outgoing."),)
    made = {"none": Control(), "prompt": controls.store(folder, messages=told)}
    made |= {
        f"{site} {op} {scope}": edit(
            folder, site, op, scope, width[site], (places if op in ELEMENTWISE else STAGED)[site]
        )
        for site, op, scope in EDITS
    }
    made |= {f"rank {r}": controls.store(folder, adapter=lora(hf, folder / f"lora{r}", r)) for r in ranks}
    if "rank 8" in made:
        both = made["heads add answer"]
        made["rank 8 and heads"] = controls.store(
            folder, messages=told, edits=both.edits, tensors=controls.arrays(both), adapter=made["rank 8"].adapter
        )
    inventory = inventories.load("mini_ipip")
    asked = Administration(scoring=("choice", "statement", "generate"))
    requests = item_requests("mini_ipip", inventory, inventory.items[:2], asked, 0)
    vllm = VLLM.make(SPEC, Options(arguments={"max_model_len": 1024, **arguments}))
    vllm.prepare(list(made.values()), hf)
    return Bench(hf, vllm, made, requests, written(prompts, 16))


def edit(folder: Path, site: Site, op: Op, scope: Scope, width: int, layer: int | None = None) -> Control:
    """A control with one edit that moves answers by a nat or so."""
    rng = np.random.default_rng(width)
    tensors = {
        "v": (rng.normal(size=width) * (2 if site == "residual" else 0.3)).astype(np.float32),
        "low": np.full(width, 0.05, np.float32), "units": np.arange(0, width, 7),
    }  # fmt: skip
    names, more = {
        "add": (("v", None), {}),
        "clamp": (("low", None), {}),
        "zero": ((None, "units"), {}),
        "project_out": (("v", None), {"strength": 12.0}),
        "cap": (("v", None), {"low": 20.0 if site == "residual" else 2.0}),
        "rescale": (("v", None), {"strength": 2.0, "when": When(tensor="v", above=0.0)}),
    }[op]
    held = {name: tensors[name] for name in names if name}
    made = Edit(
        layer=PLACES[site] if layer is None else layer,
        site=site,
        op=op,
        tensor=names[0],
        units=names[1],
        positions=scope,
        **more,
    )
    return controls.store(folder, edits=(made,), tensors=held)


def lora(hf: HuggingFace, folder: Path, rank: int) -> Path:
    """An untrained adapter whose two matrices are both random, so that it changes answers."""
    import torch
    from peft import LoraConfig, get_peft_model

    from traitbench.controls.wearing import restored

    with restored(hf.model):
        torch.manual_seed(rank)
        made = get_peft_model(hf.model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "down_proj"]))
        for name, parameter in made.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.02)
        made.save_pretrained(folder)
    return folder


def written(count: int, tokens: int) -> list[Request]:
    """Prompts of several lengths to write on, greedily."""
    inventory = inventories.load("ipip_neo_120")
    asked = Administration(scoring=("generate",))
    docs = [r.doc for r in item_requests(inventory.id, inventory, inventory.items[:count], asked, 0)]
    ways = ("Tell me about a day of somebody who says: I {}", "Why would a person do this? {}", "Write a poem on: {}")
    return [
        Write(doc=doc, max_tokens=tokens, messages=(Message(role="user", content=ways[i % 3].format(item.text)),))
        for i, (doc, item) in enumerate(zip(docs, inventory.items, strict=False))
    ]


def apart(a: Mapping[int, Response], b: Mapping[int, Response]) -> float:
    """Largest difference of option and text log-probabilities, in nats; `b` may hold more."""
    worst = 0.0
    for i in a:
        if a[i].option_logprobs is not None:
            worst = max(worst, float(np.abs(np.subtract(a[i].option_logprobs, b[i].option_logprobs)).max()))  # type: ignore[arg-type]
        if a[i].loglik is not None:
            worst = max(worst, abs(a[i].loglik - b[i].loglik))  # type: ignore[operator]
            assert a[i].tokens == b[i].tokens
    return worst


def alike(a: Mapping[int, Response], b: Mapping[int, Response]) -> float:
    """Share of replies that are the same, with the same length and end."""
    told = [[(r.text, r.tokens, r.status) for r in (a[i], b[i])] for i in a if a[i].text is not None]
    return float(np.mean([ours == theirs for ours, theirs in told]))
