"""Replies in batches: prompts are read behind what they share, each step writes a token a row, finished rows leave.

Transformers has two ways of its own. `generate` reads every prompt whole, copies its cache at each step, keeps finished
rows, and draws from one generator for the whole batch. `generate_batch` (continuous batching) draws so, too, plans its
memory for GPUs, and on a CPU attends from every row to the keys of all. Models that cannot be packed use the first.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from transformers import GenerationConfig, LogitsProcessorList

from traitbench.backends.drawing import Ask, Drawer, finite
from traitbench.backends.forward import TOLERANCE, Scorer, packable
from traitbench.backends.packing import Item, chunks, groups
from traitbench.backends.slots import Layer, Slots, bytes_a_token, grouped

__all__ = ["Reply", "Writer", "batches"]

logger = logging.getLogger("traitbench")

_ROWS = {"cpu": 64, "cuda": 256}
"""Rows of a batch. Two cores write 64 rows five times as quickly as 8, and 128 by a quarter more than that."""
_PLAIN_ROWS = {"cpu": 8, "cuda": 32}
"""Rows of a batch that transformers' `generate` writes."""
_BYTES = 2 << 30
"""Of keys and values of a batch, on a CPU."""
_SHARE = 4
"""On a GPU they may take this part of its memory."""
_UNEVEN = 1.25
"""Texts are put in order of length where their own order takes so much more of the cache."""


class Reply(NamedTuple):
    """A reply's tokens, without the one that ends it."""

    tokens: list[int]
    ended: bool
    """Whether the model ended it."""


class Writer:
    """Writes replies with one model under whatever control is in force."""

    def __init__(self, model: Any, scorer: Scorer, row_tokens: int, rows: int | None = None) -> None:
        """Take a loaded model and its scorer; `rows` bounds a batch, None leaves it to the memory."""
        kind = "cpu" if model.device.type == "cpu" else "cuda"
        self.model = model
        self.scorer = scorer
        self.plain_rows = rows or _PLAIN_ROWS[kind]
        self.rows = rows or _ROWS[kind]
        """Of a batch at most."""
        self._row_tokens = row_tokens
        self._bytes = _BYTES
        if model.device.type == "cuda":
            self._bytes = torch.cuda.get_device_properties(model.device).total_memory // _SHARE
        self._alone = packable(model) is not None
        self.together = scorer.packed
        """Whether batches are written here, else by transformers' `generate`; it ends where a check fails."""
        self._checked: set[bool] = set()

    def plan(self, asks: Sequence[Ask]) -> list[list[int]]:
        """Cut `asks` into batches, by their places; it hangs on them alone, so that a resumed run has the same."""
        if not self.together:
            return _alike(asks, 1 if self._alone else self.plain_rows)
        lengths = [len(ask.prompt) + ask.most for ask in asks]
        return batches(lengths, self.rows, self._bytes // bytes_a_token(self.model))

    def write(self, asks: Sequence[Ask], stops: Sequence[int], pad: int) -> list[Reply]:
        """Write a reply to each of a batch, up to one of the tokens `stops`; where memory fails, half by half."""
        try:
            if self.together and (found := self._at_once(asks, stops)) is not None:
                return found
            parts = _alike(asks, 1 if self._alone else self.plain_rows)
            return [reply for part in parts for reply in self._generate([asks[n] for n in part], stops, pad)]
        except torch.OutOfMemoryError:
            if len(asks) == 1:
                raise
        torch.cuda.empty_cache()
        half = len(asks) // 2
        return self.write(asks[:half], stops, pad) + self.write(asks[half:], stops, pad)

    @torch.inference_mode()
    def _at_once(self, asks: Sequence[Ask], stops: Sequence[int]) -> list[Reply] | None:
        """Write all at once; None where the model turns out not to go together with it, which is said."""
        order = sorted(range(len(asks)), key=lambda n: asks[n].prompt)
        items = [Item(asks[n].prompt, ((0,),)) for n in order]
        plan = groups([item.prompt for item in items])
        self.scorer.check(items, plan)
        if not self.scorer.packed:
            self.together = False
            return None
        width = max(len(ask.prompt) for ask in asks)
        self.scorer.begin(items, plan)
        logits, slots = self._read(items, plan, width, width + max(ask.most for ask in asks))
        batch = _Batch([asks[n] for n in order], logits, slots, self.scorer, width)
        with grouped(self.model.config.get_text_config(decoder=True)):
            written = batch.write(set(stops), self._checked)
        if written is None:
            self.together = False
            return None
        found: dict[int, Reply] = dict(zip(order, written, strict=True))
        return [found[n] for n in range(len(asks))]

    def _read(
        self, items: Sequence[Item], plan: Sequence[Any], width: int, capacity: int
    ) -> tuple[torch.Tensor, Slots]:
        """Read the prompts: the logits behind each, and its keys and values in a slot, padded at the left."""
        slots: list[Layer] = []
        logits = []
        for group in plan:
            for chunk in chunks(group, items, self._row_tokens, None):
                behind, states, places = self.scorer.read(items[chunk.start : chunk.stop], group.shared)
                logits.append(behind)
                columns = torch.tensor([[0] * (width - len(at)) + at for at in places])
                slots = slots or [Layer(len(items), capacity, *layer) for layer in states]
                for layer, (keys, values) in zip(slots, states, strict=True):
                    layer.put(chunk.start, columns, keys, values)
        return torch.cat(logits), Slots(slots)

    @torch.inference_mode()
    def _generate(self, asks: Sequence[Ask], stops: Sequence[int], pad: int) -> list[Reply]:
        """Write by transformers' `generate`: greedy replies in one batch padded at the left, or a sampled one alone."""
        first, width, device = asks[0], max(len(ask.prompt) for ask in asks), self.model.device
        sampling = {"do_sample": True, "temperature": first.temperature, "top_k": 0, "top_p": 1.0}
        config = GenerationConfig(
            max_new_tokens=max(ask.most for ask in asks),
            pad_token_id=pad,
            eos_token_id=list(stops) or None,
            repetition_penalty=first.penalty,
            **(sampling if first.temperature > 0 else {"do_sample": False}),
        )
        ids = torch.tensor([[pad] * (width - len(a.prompt)) + list(a.prompt) for a in asks], device=device)
        mask = torch.tensor([[0] * (width - len(a.prompt)) + [1] * len(a.prompt) for a in asks], device=device)
        edits = self.scorer.applied
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(first.seed)
            with edits.generating() if edits is not None else nullcontext():
                given = {"generation_config": config, "logits_processor": LogitsProcessorList([_checked])}
                out = self.model.generate(ids, attention_mask=mask, **given)
        return [_until(row[: ask.most], stops) for row, ask in zip(out[:, width:].tolist(), asks, strict=True)]


def _checked(_: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    finite(logits, logits.argmax(-1))
    return logits


class _Batch:
    """Rows that are being written: row n of every tensor is reply `self.live[n]`."""

    def __init__(self, asks: Sequence[Ask], logits: torch.Tensor, slots: Slots, scorer: Scorer, width: int) -> None:
        self.asks = asks
        self.live = list(range(len(asks)))
        self.said: list[list[int]] = [[] for _ in asks]
        self.ended = [False] * len(asks)
        self.scorer = scorer
        self.slots = slots
        self.filled = width
        self.logits = logits
        device, dtype = scorer.model.device, scorer.model.dtype
        self.drawer = Drawer(asks, logits.shape[-1], logits.device)
        lengths = torch.tensor([len(ask.prompt) for ask in asks], device=device)
        self.positions = lengths[:, None]
        capacity = slots.layers[0].keys.shape[2]
        hidden = torch.arange(capacity, device=device)[None] < width - lengths[:, None]
        self.least = torch.finfo(dtype).min
        seen = torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill_(hidden, self.least)
        self.seen = seen[:, None, None]
        """What is added to the attention scores: (rows, 1, 1, columns)."""
        self.near = None if scorer.window is None else self.seen.clone()
        """The same with a sliding window."""

    def write(self, stops: set[int], checked: set[bool]) -> list[Reply] | None:
        """Write until every row has come to an end; None where a step differs from a plain pass."""
        while True:
            tokens = self.drawer.next(self.logits)
            if len(staying := self._take(tokens.tolist(), stops)) < len(self.live):
                if not staying:
                    return [Reply(*pair) for pair in zip(self.said, self.ended, strict=True)]
                tokens = tokens[self._leave(staying).to(tokens.device)]
            self.logits = self._step(tokens)
            length = len(self.asks[self.live[0]].prompt) + len(self.said[self.live[0]])
            long = self.scorer.window is not None and length > self.scorer.window
            if long not in checked:
                checked.add(long)
                if why := self._difference():
                    logger.warning("%s writes by generate: %s", type(self.scorer.model).__name__, why)
                    return None

    def _take(self, tokens: Sequence[int], stops: set[int]) -> list[int]:
        """Note the tokens; return the rows that go on."""
        staying = []
        for row, (name, token) in enumerate(zip(self.live, tokens, strict=True)):
            if token in stops:
                self.ended[name] = True
                continue
            self.said[name].append(token)
            if len(self.said[name]) < self.asks[name].most:
                staying.append(row)
        return staying

    def _leave(self, staying: Sequence[int]) -> torch.Tensor:
        """Let the rows that are finished go: the last of the others take their places. Returns the new order."""
        many = len(staying)
        last = iter([row for row in staying if row >= many])
        kept = set(staying)
        order = [row if row in kept else next(last) for row in range(many)]
        index = torch.tensor(order, device=self.positions.device)
        self.live = [self.live[row] for row in order]
        self.slots.move(order)
        self.drawer.move(order)
        self.positions, self.seen = self.positions[index], self.seen[index]
        self.near = None if self.near is None else self.near[index]
        return index

    def _step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Run the tokens of all rows: logits behind them (rows, vocabulary)."""
        scorer = self.scorer
        here = torch.ones_like(self.positions, dtype=torch.bool)
        if scorer.applied is not None:
            scorer.applied.span(here, here)
        self.filled += 1
        logits = scorer.forward(
            [0],
            input_ids=tokens[:, None].to(self.positions.device),
            position_ids=self.positions,
            attention_mask=self._masks(),
            past_key_values=self.slots,
            use_cache=True,
        )
        self.positions = self.positions + 1
        return logits[:, 0]

    def _masks(self) -> torch.Tensor | dict[str, torch.Tensor]:
        """The masks of this step's token, whose column is the last one."""
        seen = near = self.seen[..., : self.filled]
        if self.near is not None and self.scorer.window is not None:
            self.near[..., : max(0, self.filled - self.scorer.window)] = self.least
            near = self.near[..., : self.filled]
        return {"full_attention": seen, "sliding_attention": near} if self.scorer.by_layer else near

    def _difference(self) -> str | None:
        """Say how far the first row is from a pass over its whole text; None where it is near enough."""
        name = self.live[0]
        prompt = self.asks[name].prompt
        text = prompt + tuple(self.said[name])
        plain = torch.log_softmax(self.scorer.whole([text], [len(prompt)], [len(text) - 1])[0, 0].float(), -1)
        ours = torch.log_softmax(self.logits[0].float(), -1)
        best = plain.argmax()
        off, limit = float((plain[best] - ours[best]).abs()), TOLERANCE.get(self.scorer.model.dtype, 0.5)
        return None if off <= limit else f"a step differs from a plain pass by {off:.2g} nats, more than {limit:g}"


def batches(lengths: Sequence[int], rows: int, tokens: int) -> list[list[int]]:
    """Cut texts of so many tokens into batches of at most `rows`, which padded take at most `tokens`, equally full.

    They stay in their order, in which neighbours begin alike, unless sorting by length saves much padding.
    """
    inorder = list(range(len(lengths)))
    plain, even = (
        _cut(order, lengths, rows, tokens) for order in (inorder, sorted(inorder, key=lambda n: -lengths[n]))
    )
    padded = [sum(len(batch) * max(lengths[n] for n in batch) for batch in cut) for cut in (plain, even)]
    return even if padded[0] > _UNEVEN * padded[1] else plain


def _cut(order: Sequence[int], lengths: Sequence[int], rows: int, tokens: int) -> list[list[int]]:
    rows = -(-len(order) // -(-len(order) // rows)) if order else rows
    found: list[list[int]] = []
    longest = 0
    for n in order:
        longest = max(longest, lengths[n])
        if not found or len(found[-1]) == rows or (len(found[-1]) + 1) * longest > tokens:
            found.append([])
            longest = lengths[n]
        found[-1].append(n)
    return found


def _alike(asks: Sequence[Ask], rows: int) -> list[list[int]]:
    """Cut `asks` for `generate`: sampled ones alone, greedy neighbours of one length and penalty together."""
    found: list[list[int]] = []
    for n, ask in enumerate(asks):
        first = asks[found[-1][0]] if found else None
        joins = first is not None and ask.temperature == first.temperature == 0 and len(found[-1]) < rows
        if not (joins and first is not None and (ask.most, ask.penalty) == (first.most, first.penalty)):
            found.append([])
        found[-1].append(n)
    return found


def _until(row: Sequence[int], stops: Sequence[int]) -> Reply:
    stop = next((n for n, token in enumerate(row) if token in stops), None)
    return Reply(list(row if stop is None else row[:stop]), stop is not None)
