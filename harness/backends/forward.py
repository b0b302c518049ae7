"""The log-probabilities of answers from a transformers model: packed behind a shared prefix, or the plain way.

Over 300 lines: the two ways are checked against each other, and best read side by side.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from traitbench.backends.packing import Group, Item, Row, additive, beginning, groups, pack, unpacked, visibility
from traitbench.controls.interventions import recorded

if TYPE_CHECKING:
    from traitbench.controls.interventions import Applied
    from traitbench.types import Site

__all__ = ["TOLERANCE", "Along", "Scorer", "packable"]

logger = logging.getLogger("traitbench")

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4, torch.float16: 0.1, torch.bfloat16: 0.5}
"""How far packed and plain may differ, in nats a token. In half precision the shape of a product alone moves a
log-probability: measured on SmolLM2, packed and plain are equally far from float32 (in bfloat16 0.20 and 0.18 at worst,
0.07 on average; in float16 0.02), so that they may differ by twice as much."""

_LAYERS = {"full_attention", "sliding_attention"}

Tokens = tuple[int, ...]
States = list[tuple[torch.Tensor, torch.Tensor]]
"""A layer's keys and values, each (1, heads, tokens, head_dim)."""
Along = Callable[[int, torch.Tensor, torch.Tensor], None]
"""Takes a layer, activations (tokens, width) and the number of the answer (tokens,) that each token belongs to."""
Scores = list[list[float]]
"""Per item, per answer its log-probability (nats)."""


def packable(model: Any) -> str | None:
    """Return why `model` cannot be run packed; None if it can: softmax attention, rotary or learned positions."""
    config = model.config.get_text_config(decoder=True)
    takes = inspect.signature(model.forward).parameters
    if "position_ids" not in takes or "past_key_values" not in takes:
        return "its forward takes no position_ids"
    if getattr(model, "_is_stateful", False) or set(getattr(config, "layer_types", None) or ()) - _LAYERS:
        return "it has layers other than softmax attention"
    if "local" in getattr(config, "attention_layers", ()):
        return "its local layers keep a window that no mask widens (GPT-Neo)"
    if getattr(config, "alibi", False):
        return "its positions are biases of the attention (ALiBi)"
    if getattr(config, "_attn_implementation", None) not in ("sdpa", "eager"):
        return f"its attention implementation {config._attn_implementation} takes no mask of its own"
    return None


class Scorer:
    """Scores items with one model. A group's prefix is kept until the next group begins."""

    def __init__(self, model: Any, *, packed: bool, tokens: int) -> None:
        """Take a loaded model; `tokens` bounds a plain batch (padding included)."""
        self.model = model
        self.tokens = tokens
        self.packed = packed and (reason := packable(model)) is None
        if packed and not self.packed:
            logger.warning("%s is run without shared prefixes: %s", type(model).__name__, reason)
        config = model.config.get_text_config(decoder=True)
        kinds = getattr(config, "layer_types", None) or ()
        window = getattr(config, "sliding_window", None)
        # Models with layer_types take one mask a type; Mistral and Phi-3 have one window for all layers.
        self.by_layer = "sliding_attention" in kinds
        self.window: int | None = window if self.by_layer or not kinds else None
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.applied: Applied | None = None
        """The edits in force; they are told which positions of a pass are an answer's."""
        self._base: Tokens = ()
        self._base_states: States = []
        self._held = False
        self._prefix: Tokens | None = None
        self._states: States = []
        self._checked: set[bool] = set()

    def reset(self) -> None:
        """Forget the prefix, whose states belong to the control they were computed under."""
        self._prefix, self._states, self._base_states, self._held = None, [], [], False

    def plan(self, items: Sequence[Item]) -> list[Group]:
        """Cut `items` into groups that share a prefix, and get ready for them."""
        plan = groups([item.prompt for item in items])
        self.check(items, plan)
        self.begin(items, plan)
        return plan

    def begin(self, items: Sequence[Item], plan: Sequence[Group]) -> None:
        """Note what the prefixes of all groups of `plan` start with, a person's answers say: it is computed once.

        It hangs on the plan alone, so that a resumed run computes in the same steps.
        """
        base = beginning(items, plan) if self.window is None else ()
        if base != self._base:
            self.reset()
        self._base = base

    def score(self, items: Sequence[Item], shared: int) -> Scores:
        """Score the items of a chunk, whose first `shared` tokens are the same.

        Where a GPU has too little memory for the chunk it is halved.
        """
        try:
            return self._packed(items, shared) if self.packed else self._plain(items)
        except torch.OutOfMemoryError:
            if len(items) == 1:
                raise
        torch.cuda.empty_cache()
        half = len(items) // 2
        return self.score(items[:half], shared) + self.score(items[half:], shared)

    def check(self, items: Sequence[Item], plan: Sequence[Group]) -> None:
        """Score two items both ways and give packing up, with a warning, if they differ or packing fails.

        Done for the first group, and for the first one that is longer than a sliding window; once each.
        """
        for group in plan:
            long = self.window is not None and max(i.length for i in items[group.start : group.stop]) > self.window
            if not self.packed or long in self._checked:
                continue
            self._checked.add(long)
            pair = items[group.start : group.stop][:2]
            shared = group.shared if len(pair) == 2 else len(pair[0].prompt) - 1
            why = self._difference(pair, shared)
            self.reset()
            if why:
                self.packed = False
                logger.warning("%s is run without shared prefixes: %s", type(self.model).__name__, why)

    def _difference(self, items: Sequence[Item], shared: int) -> str | None:
        limit = TOLERANCE.get(self.model.dtype, 0.5)
        try:
            packed = self._packed(items, shared)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            # Whatever a model with a mask of its own kind raises.
            return f"packing fails ({type(error).__name__}: {error})"
        for item, ours, plain in zip(items, packed, self._plain(items), strict=True):
            for answer, a, b in zip(item.answers, ours, plain, strict=True):
                if not abs(a - b) <= limit * len(answer):
                    return f"packed and plain differ by {abs(a - b):.2g} nats, more than {limit:g} a token"
        return None

    def states(self, items: Sequence[Item], shared: int, site: Site, layers: Sequence[int]) -> torch.Tensor:
        """Record a site at the place before each answer's last token: shape (answers, layers, width), float32, CPU."""
        found: dict[int, torch.Tensor] = {}
        if self.packed:
            self._load_prefix(items[0].prompt[:shared])
            row = pack(items, shared)
            places = [row.heads[answer[-1]] for item in row.lookups for answer in item]
            with recorded(self.model, site, lambda n, a: found.update({n: a[0, places].float().cpu()}), layers):
                self._pass(row, shared, [0])
            return torch.stack([found[layer] for layer in layers], dim=1)
        texts = [(item, item.prompt + answer[:-1]) for item in items for answer in item.answers]
        out = []
        for item, text in texts:
            with recorded(self.model, site, lambda n, a: found.update({n: a[0, -1].float().cpu()}), layers):
                self.whole([text], [len(item.prompt)], [0])
            out.append(torch.stack([found[layer] for layer in layers]))
        return torch.stack(out)

    @torch.inference_mode()
    def along(
        self, items: Sequence[Item], owners: Sequence[Mapping[int, Tokens]], shared: int, site: Site, sink: Along
    ) -> None:
        """Hand the site's activations at every token of answers but its last to `sink`, layer by layer.

        owners: per item, number of an answer -> the answer, one of the item's; several may be the same.
        """
        device = self.model.device
        if self.packed:
            self._load_prefix(items[0].prompt[:shared])
            row, places, whose = pack(items, shared), list[int](), list[int]()
            for item, heads, mine in zip(items, row.lookups, owners, strict=True):
                for number, answer in mine.items():
                    places += [row.heads[head] for head in heads[item.answers.index(answer)][1:]]
                    whose += [number] * (len(answer) - 1)
            of = torch.tensor(whose, device=device)
            with recorded(self.model, site, lambda layer, a: sink(layer, a[0, places], of)):
                self._pass(row, shared, [0])
            return
        texts = [(item.prompt, a, n) for item, mine in zip(items, owners, strict=True) for n, a in mine.items()]
        size = max(1, self.tokens // max(len(prompt) + len(answer) for prompt, answer, _ in texts))
        for start in range(0, len(texts), size):
            some = texts[start : start + size]
            at = [(i, len(p) + j, n) for i, (p, answer, n) in enumerate(some) for j in range(len(answer) - 1)]
            found = torch.tensor(at, device=device).T
            with recorded(self.model, site, partial(_picked, sink, found)):
                self.whole([p + answer[:-1] for p, answer, _ in some], [len(p) for p, *_ in some], [0])

    @torch.inference_mode()
    def _packed(self, items: Sequence[Item], shared: int) -> Scores:
        self._load_prefix(items[0].prompt[:shared])
        row = pack(items, shared)
        logits = self._pass(row, shared, row.heads)[0][0]
        return [_sums(logits, item.answers, places) for item, places in zip(items, row.lookups, strict=True)]

    @torch.inference_mode()
    def read(self, items: Sequence[Item], shared: int) -> tuple[torch.Tensor, States, list[list[int]]]:
        """Read the prompts of a chunk, whose first `shared` tokens are the same, to write after them.

        Returns the logits behind each (prompts, vocabulary), the keys and values of the prefix and the row, and where
        in these each prompt's tokens lie.
        """
        self._load_prefix(items[0].prompt[:shared])
        row = pack([Item(item.prompt, ()) for item in items], shared)
        logits, states = self._pass(row, shared, row.heads)
        places, start = [], shared
        for item in items:
            own = len(item.prompt) - shared
            places.append([*range(shared), *range(start, start + own)])
            start += own
        return logits[0], states, places

    @torch.inference_mode()
    def _pass(self, row: Row, shared: int, keep: list[int]) -> tuple[torch.Tensor, States]:
        """Run a row behind the prefix that is loaded; logits, and the keys and values of both."""
        from transformers import DynamicCache

        device = self.model.device
        if self.applied is not None:
            self.applied.span(*(_mask(places, len(row.tokens), device) for places in (row.heads, row.written)))
        # A new cache a chunk: the layers append to it, and one that failed half-way is of unequal length.
        # Without a config every layer keeps all states, whatever its window: the masks do the windowing.
        cache = DynamicCache(self._states) if self._states else DynamicCache()
        logits = self.forward(
            keep,
            input_ids=torch.tensor([row.tokens], device=device),
            position_ids=torch.tensor([row.positions], device=device),
            attention_mask=self._mask(row, shared),
            past_key_values=cache,
            use_cache=True,
        )
        return logits, [(layer.keys, layer.values) for layer in cache.layers]

    @torch.inference_mode()
    def _load_prefix(self, prefix: tuple[int, ...]) -> None:
        """Compute the keys and values of the prefix unless they are at hand."""
        if prefix == self._prefix:
            return
        base = self._base if prefix[: len(self._base)] == self._base else ()
        if base and not self._held:
            self._base_states, self._held = self._extended([], 0, base), True
        held = self._base_states if base else []
        self._states = self._extended(held, len(base), prefix[len(base) :])
        self._prefix = prefix

    def _extended(self, states: States, length: int, tokens: Tokens) -> States:
        """Compute keys and values of `tokens` behind `length` tokens whose states are given; return them all."""
        if not tokens:
            return states
        from transformers import DynamicCache

        cache = DynamicCache(states) if states else DynamicCache()
        device = self.model.device
        if self.applied is not None:
            # Every item has prompt tokens of its own, so no answer begins in here.
            self.applied.span(*(_mask([], len(tokens), device) for _ in range(2)))
        self.forward(
            [len(tokens) - 1],
            input_ids=torch.tensor([tokens], device=device),
            position_ids=torch.arange(length, length + len(tokens), device=device)[None],
            past_key_values=cache,
            use_cache=True,
        )
        return [(layer.keys, layer.values) for layer in cache.layers]

    def _mask(self, row: Row, shared: int) -> torch.Tensor | dict[str, torch.Tensor]:
        dtype, device = self.model.dtype, self.model.device
        if self.by_layer:
            windows = {"full_attention": None, "sliding_attention": self.window}
            return {name: additive(visibility(row, shared, w), dtype, device) for name, w in windows.items()}
        return additive(visibility(row, shared, self.window), dtype, device)

    def forward(self, keep: list[int], **inputs: Any) -> torch.Tensor:
        """Run the model; return logits at the places `keep` of each row, shape (rows, len(keep), vocabulary)."""
        if self._keeps:
            # The head is the largest product of a small model: only the places that are read go through it.
            index = torch.tensor(keep, device=self.model.device)
            logits: torch.Tensor = self.model(**inputs, logits_to_keep=index).logits
            return logits
        whole: torch.Tensor = self.model(**inputs).logits
        return whole[:, keep]

    @torch.inference_mode()
    def whole(self, texts: Sequence[tuple[int, ...]], prompts: Sequence[int], keep: list[int]) -> torch.Tensor:
        """Run texts whose prompts have so many tokens, padded at the right: logits at the places `keep` of each.

        The edits in force count what follows a prompt as generated.
        """
        width, device = max(map(len, texts)), self.model.device
        ids = torch.tensor([t + t[-1:] * (width - len(t)) for t in texts], device=device)
        if self.applied is not None:
            at, ends = torch.arange(width, device=device)[None], torch.tensor(prompts, device=device)[:, None]
            self.applied.span(at >= ends - 1, at >= ends)
        return self.forward(keep, input_ids=ids, use_cache=False)

    @torch.inference_mode()
    def _plain(self, items: Sequence[Item]) -> Scores:
        """Score each answer in a text of its own, in batches padded at the right.

        No attention mask is passed: with causal attention, or a recurrence, nothing sees what stands to its right.
        """
        whole: list[tuple[int, ...]] = []
        scores: Scores = [[0.0] * len(item.answers) for item in items]
        where: list[list[tuple[int, int]]] = []
        for i, item in enumerate(items):
            rows = unpacked(item)
            whole += [item.prompt + row for row in rows]
            where += [[(i, j) for j in answers] for answers in rows.values()]
        size = max(1, self.tokens // max(map(len, whole)))
        for start in range(0, len(whole), size):
            self._plain_batch(items, whole[start : start + size], where[start : start + size], scores)
        return scores

    def _plain_batch(
        self,
        items: Sequence[Item],
        texts: Sequence[tuple[int, ...]],
        where: Sequence[Sequence[tuple[int, int]]],
        scores: Scores,
    ) -> None:
        prompts = [len(items[places[0][0]].prompt) for places in where]
        first = min(prompts) - 1
        logits = self.whole(texts, prompts, list(range(first, max(map(len, texts)))))
        for row, places in enumerate(where):
            for i, j in places:
                start = len(items[i].prompt) - 1 - first
                answer = items[i].answers[j]
                heads = list(range(start, start + len(answer)))
                scores[i][j] = _sums(logits[row], (answer,), [heads])[0]


def _picked(sink: Along, places: torch.Tensor, layer: int, activations: torch.Tensor) -> None:
    """Hand over the activations at `places`, (3, tokens): row, column and answer of each."""
    rows, columns, of = places
    # Of a model that lies on several GPUs a layer may be elsewhere.
    sink(layer, activations[rows.to(activations.device), columns.to(activations.device)], of)


def _mask(places: Sequence[int], length: int, device: Any) -> torch.Tensor:
    """Mark `places` of one row: shape (1, length)."""
    mask = torch.zeros(1, length, dtype=torch.bool, device=device)
    mask[0, list(places)] = True
    return mask


def _sums(logits: torch.Tensor, answers: Sequence[tuple[int, ...]], heads: Sequence[Sequence[int]]) -> list[float]:
    """Sum each answer's token log-probabilities over the full vocabulary (Q, V), in float32 and then float64."""
    used = sorted({h for places in heads for h in places})
    logprobs = torch.log_softmax(logits[used].float(), dim=-1)
    at = {h: n for n, h in enumerate(used)}
    rows = [at[h] for places in heads for h in places]
    picked = logprobs[rows, [t for answer in answers for t in answer]].double().tolist()
    sums, start = [], 0
    for answer in answers:
        sums.append(sum(picked[start : start + len(answer)]))
        start += len(answer)
    return sums
