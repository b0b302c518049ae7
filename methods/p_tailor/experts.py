"""LoRA experts that the target routes to: gates, the loss that makes them specialise, and the fold into one adapter.

After Dan et al. (2024), "P-Tailor: customizing personality traits for language models via mixture of specialized LoRA
experts" (arXiv 2406.12548). A re-implementation: the paper published neither code, nor data, nor the form of its loss.

N experts of rank r on a linear layer are one LoRA of rank N * r and scaling 1. Expert i owns rows i * r to (i + 1) * r
of A, the same columns of B, and a gate w_i multiplies what passes between the two:

    W x + sum_i w_i B_i A_i x = W x + B (w * (A x)),  each w_i repeated r times.

The gates depend on the target alone, so for one target the columns of B can be multiplied by them once and for all:
what remains is a plain PEFT LoRA.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from traitbench.errors import BadData, UnsupportedControl
from traitbench.methods.training import Extension
from traitbench.store import read_json, write_json
from traitbench.types import BIG_FIVE, Target, Trait

__all__ = ["POLES", "Experts", "Router", "Routing", "divergence", "entropy", "fold", "slots", "specialisation"]

Routing = Literal["target", "uniform", "none"]
"""What decides the gates. target: the router. uniform: every gate is 1 / N. none: every gate is 1, one large LoRA."""

POLES: tuple[tuple[Trait, float], ...] = tuple((trait, level) for trait in BIG_FIVE for level in (1.0, -1.0))
"""The slots of a target embedding, in order: five traits, high before low."""

_ROUTER = "experts.safetensors"
_NAME = "target_router"
_INSIDE = ".lora_A."


def slots(target: Target | None) -> tuple[float, ...]:
    """How much each of POLES enters the target's embedding (10,): 1 for a pole that it names, else 0.

    UnsupportedControl for anything but poles of the Big Five.
    """
    if target is None or not target.aims <= {"poles", "several"}:
        raise UnsupportedControl(
            f"p_tailor aims at poles of traits, not at {target.name if target else 'nothing'}: its router has learned "
            "no level between them; e.g. --target extraversion=high"
        )
    if others := sorted(target.levels.keys() - set(BIG_FIVE)):
        raise UnsupportedControl(f"p_tailor knows the poles of {', '.join(BIG_FIVE)}; the target names {others[0]}")
    return tuple(float(target.levels.get(trait) == level) for trait, level in POLES)


class Router(nn.Module):
    """A vector for each of POLES, and for each wrapped layer a matrix that turns their sum into scores of experts."""

    def __init__(self, layers: int, experts: int, embedding: int, seed: int = 0) -> None:
        """Draw both from a normal distribution with the seed, so that scores start with a variance of 1."""
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.poles = nn.Parameter(torch.randn(len(POLES), embedding, generator=draw))
        scores = torch.randn(layers, experts, embedding, generator=draw) / math.sqrt(embedding)
        self.matrices = nn.Parameter(scores)

    def forward(self, rows: Tensor) -> Tensor:
        """Logs of the gates (layers, rows, experts) for rows of slots (rows, 10): log softmax(matrix @ embedding)."""
        embedded = rows.to(self.poles) @ self.poles
        return torch.log_softmax(torch.einsum("re,lne->lrn", embedded, self.matrices), dim=-1)


def entropy(log_gates: Tensor) -> Tensor:
    """Mean entropy of the routings (layers, 10, experts) over its maximum log N: 0 one expert each, 1 all alike."""
    return _entropy(log_gates).mean() / math.log(log_gates.shape[-1])


def divergence(log_gates: Tensor) -> Tensor:
    """Mean over layers of the generalised Jensen-Shannon divergence between the five traits' routings, over log 5.

    A trait's routing is the mean of its two poles' (layers, 10, experts); with equal weights the divergence is the
    entropy of the mean less the mean of the entropies (Lin, 1991, eq. 5.1). 0 where all traits use the same experts,
    1 where no two share one.
    """
    layers, _, experts = log_gates.shape
    traits = _mean(log_gates.reshape(layers, len(BIG_FIVE), 2, experts), 2)
    return (_entropy(_mean(traits, 1)) - _entropy(traits).mean(1)).mean() / math.log(len(BIG_FIVE))


def specialisation(log_gates: Tensor) -> Tensor:
    """Our form of the personality specialisation loss: `entropy` less `divergence` of (layers, 10, experts).

    It is least, at -1, where each pole goes to one expert and no two traits share one.
    """
    return entropy(log_gates) - divergence(log_gates)


def _mean(logs: Tensor, dim: int) -> Tensor:
    return torch.logsumexp(logs, dim) - math.log(logs.shape[dim])


def _entropy(logs: Tensor) -> Tensor:
    # From logs: an underflow of a gate to 0 would make the gradient of p log p infinite.
    return -(logs.exp() * logs).sum(-1)


class Experts(Extension):
    """What p_tailor adds to a PEFT model of one LoRA of rank experts * rank: gates on it, and a loss of the gates."""

    def __init__(
        self,
        experts: int = 16,
        rank: int = 16,
        *,
        embedding: int = 64,
        weight: float = 0.0,
        routing: Routing = "target",
        seed: int = 0,
    ) -> None:
        """Prepare `experts` of `rank`; `weight` is that of the specialisation loss."""
        self.experts, self.rank, self.embedding = experts, rank, embedding
        self.weight, self.routing, self.seed = weight, routing, seed
        self.identity = {
            "experts": experts, "rank": rank, "embedding": embedding, "weight": weight, "routing": routing,
            "seed": seed,
        }  # fmt: skip
        self.layers: tuple[str, ...] = ()
        """Wrapped linear layers, in the model's order."""
        self.router: Router | None = None
        self._model: nn.Module | None = None
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._gates: Tensor | None = None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Restore the experts that were trained in `folder`, without a model."""
        about, held = _read(folder)
        made = cls(about["experts"], about["rank"], routing=about["routing"])
        made.layers = tuple(about["layers"])
        if made.routing == "target":
            made.router = Router(len(made.layers), made.experts, held["poles"].shape[1])
            made.router.load_state_dict(held)
        return made

    def attach(self, model: nn.Module) -> None:
        """Put a gate behind every lora_A of a PEFT model and register the router on it as `target_router`.

        BadData where the model's LoRA is not of experts * rank with scaling 1.
        """
        inner = {
            name: module for name, module in model.named_modules() if _layer(name) and isinstance(module, nn.Linear)
        }
        width = self.experts * self.rank
        if wrong := [f"{name} has rank {m.out_features}" for name, m in inner.items() if m.out_features != width]:
            raise BadData(f"{self.experts} experts of rank {self.rank} need a LoRA of rank {width}; {wrong[0]}")
        if not inner:
            raise BadData("the model has no LoRA to put experts into; expected one that PEFT has wrapped")
        for name in inner:
            wrapped = model.get_submodule(_layer(name))
            if (scaling := set(getattr(wrapped, "scaling", {}).values())) != {1.0}:
                raise BadData(f"{_layer(name)} scales its LoRA by {scaling}; expected 1: lora_alpha equal to r")
        self.detach()
        self.layers = tuple(_layer(name) for name in inner)
        if self.routing == "target":
            self.router = Router(len(self.layers), self.experts, self.embedding, self.seed)
            self.router.to(next(iter(inner.values())).weight.device)
            model.add_module(_NAME, self.router)
        self._model = model
        self._handles = [m.register_forward_hook(self._hook(n)) for n, m in enumerate(inner.values())]

    def detach(self) -> None:
        """Take hooks and router off again; the router's numbers stay here."""
        for handle in self._handles:
            handle.remove()
        if self._model is not None and self.router is not None:
            self._model._modules.pop(_NAME, None)
        self._handles, self._model, self._gates = [], None, None

    def log_gates(self, rows: Tensor) -> Tensor:
        """Logs of the gates (layers, rows, experts) for rows of slots (rows, 10)."""
        if self.router is not None:
            found: Tensor = self.router(rows)
            return found
        gate = -math.log(self.experts) if self.routing == "uniform" else 0.0
        return torch.full((len(self.layers), len(rows), self.experts), gate, device=rows.device)

    def begin(self, slots: Tensor) -> None:
        """Set the gates for the batch that is about to be run: a row of slots (rows, 10) for each of its rows."""
        self._gates = self.log_gates(slots).exp().repeat_interleave(self.rank, dim=-1)

    def loss(self) -> Tensor:
        """The specialisation loss of all ten poles, weighted."""
        if self.router is None or self.weight == 0:
            return torch.zeros(())
        return self.weight * specialisation(self.router(torch.eye(len(POLES), device=self.router.poles.device)))

    def state(self) -> dict[str, float]:
        """How specialised the gates are now: `entropy` and `divergence`, both in [0, 1]; empty without a choice."""
        if self.router is None:
            return {}
        with torch.no_grad():
            logs = self.log_gates(torch.eye(len(POLES)))
        return {"entropy": float(entropy(logs)), "divergence": float(divergence(logs))}

    def _hook(self, layer: int) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def gate(module: nn.Module, given: Any, output: Tensor) -> Tensor:
            if self._gates is None:
                raise RuntimeError("the experts have no gates yet: call begin(slots) before the model is run")
            gates = self._gates[layer].to(output)
            if len(gates) == 1:
                return output * gates[0]
            if output.dim() < 3 or len(output) != len(gates):
                raise UnsupportedControl(
                    f"{self.layers[layer]} runs {tuple(output.shape[:-1])} places for {len(gates)} targets, so that "
                    "its rows cannot be told apart; p_tailor needs padded batches and layers that keep their rows"
                )
            return output * gates.view(len(gates), *[1] * (output.dim() - 2), -1)

        return gate

    def save(self, folder: Path) -> None:
        """Write the router and what it belongs to into `folder`, beside the adapter."""
        held = {name: value.detach().cpu().contiguous() for name, value in self._tensors().items()}
        about = {"experts": self.experts, "rank": self.rank, "routing": self.routing, "layers": self.layers}
        save_file(held, folder / _ROUTER, {"experts": json.dumps(about)})

    def load(self, folder: Path) -> None:
        """Read the router's numbers back; BadData where they are of other experts or of another model's layers."""
        about, held = _read(folder)
        for key in ("experts", "rank", "routing"):
            if about.get(key) != getattr(self, key):
                raise BadData(f"{folder / _ROUTER} is of {key} {about.get(key)!r}, expected {getattr(self, key)!r}")
        tensors = self._tensors()
        shapes = [{name: value.shape for name, value in side.items()} for side in (held, tensors)]
        if tuple(about["layers"]) != self.layers or shapes[0] != shapes[1]:
            raise BadData(f"{folder / _ROUTER} is of another model or embedding; train the experts again")
        with torch.no_grad():
            for name, value in tensors.items():
                value.copy_(held[name])

    def _tensors(self) -> Mapping[str, Tensor]:
        return dict(self.router.named_parameters()) if self.router is not None else {}


def fold(trained: Path, row: Sequence[float], to: Path) -> Path:
    """Write the adapter of one target, slots (10,), as a plain PEFT LoRA folder `to`, and return it.

    `trained` holds the adapter as PEFT saved it and the router beside it; the columns of each B are multiplied by its
    gates. Rank and scaling stay, so that the adapter has one rank in every layer. BadData for a folder of another kind.
    """
    experts, config = Experts.read(trained), read_json(trained / "adapter_config.json")
    width = experts.experts * experts.rank
    if (config["r"], config["lora_alpha"]) != (width, width) or config.get("rank_pattern") or config.get("use_rslora"):
        raise BadData(f"{trained} is no LoRA of rank and lora_alpha {width} throughout; it cannot be folded")
    config["lora_alpha"] = width
    with torch.no_grad():
        gates = experts.log_gates(torch.tensor([row]))[:, 0].exp().repeat_interleave(experts.rank, dim=-1)
    weights = load_file(trained / "adapter_model.safetensors")
    columns = {name.removesuffix(".lora_B.weight"): name for name in weights if name.endswith(".lora_B.weight")}
    if columns.keys() != set(experts.layers):
        raise BadData(f"the adapter and the router in {trained} are not of the same layers; train them again")
    for layer, gate in zip(experts.layers, gates, strict=True):
        b = weights[columns[layer]]
        weights[columns[layer]] = (b.float() * gate).to(b.dtype).contiguous()
    to.mkdir(parents=True, exist_ok=True)
    save_file(weights, to / "adapter_model.safetensors", {"format": "pt"})
    if isinstance(config["target_modules"], list):
        # PEFT keeps names of modules in sets, whose order changes from run to run.
        config["target_modules"].sort()
    write_json(to / "adapter_config.json", dict(sorted(config.items())))
    return to


def _layer(name: str) -> str:
    """The wrapped layer that a lora_A module belongs to; empty for other modules."""
    return name.rpartition(_INSIDE)[0]


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    path = folder / _ROUTER
    try:
        with safe_open(path, "pt") as file:
            about: dict[str, Any] = json.loads((file.metadata() or {})["experts"])
            return about, {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BadData(f"{path} is no router of p_tailor: {error}; train the experts again") from None
