"""What a run has before it, before anything is asked: its requests, their tokens, and the minutes they may take.

Tokens are counted by the backend from the prompts as they are rendered. A long plan is counted in part: of the requests
of one task and scoring the longest list (some of its items, where it is very long), and under the other controls the
first few requests, which tell how much longer or shorter the prompts are there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from traitbench.backends.backend import Backend, Work
from traitbench.methods.fitted import is_kept
from traitbench.progress import Estimate, Pace
from traitbench.runs.paces import Key, Meter, keep, pace_key, pace_of
from traitbench.tasks.task import Task
from traitbench.types import Control, Request, Write

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench
    from traitbench.runs.plan import Prepared

__all__ = ["Counted", "Outlook", "before_fits", "counted", "foresee"]

_EXACT = 1000
"""Requests in all up to which every one is counted."""
_LONG = 600
"""Requests of a list that are counted; of longer ones those about some items, spread over all."""
_SHORT = 16
"""Requests that tell how the prompts under one control differ from those under another."""
_CONTROLS = 24
"""Controls that are looked at, spread over all of them."""

Ahead = tuple[Control, Sequence[Request]]
"""A control, and what is still to be asked under it."""


class Counted(NamedTuple):
    """Tokens of what is still to be asked."""

    scored: float
    """Of prompts, with the answers that are scored behind them."""
    prompts: float
    """Of the prompts of replies."""
    written: int
    """Of replies, at most."""
    usd: float | None
    each: Mapping[int, float]
    """id of a request object -> tokens of its prompt, as the mean over those that are alike."""

    def times(self, conditions: int) -> Counted:
        """The same under each of several conditions."""
        usd = None if self.usd is None else self.usd * conditions
        scored, prompts = self.scored * conditions, self.prompts * conditions
        return self._replace(scored=scored, prompts=prompts, written=self.written * conditions, usd=usd)


class Outlook(NamedTuple):
    """What a run has before it, and what measures how quickly it is done."""

    estimate: Estimate
    meter: Meter
    key: Key | None
    """What a pace is kept under; None where no tokens are known."""

    def learn(self) -> None:
        """Keep the pace that was measured, for later estimates."""
        if self.key is not None:
            keep(self.key, self.meter.measured)


def foresee(
    prepared: Prepared, backend: Backend, requests: Sequence[Request], keys: Sequence[str], held: Collection[str]
) -> Outlook:
    """Look at what is still to be asked: `requests` under each control, as far as their key is not `held`.

    `keys` names them, condition by condition. What two conditions ask alike counts once.
    """
    names = iter(keys)
    asked: set[str] = set()
    ahead: list[Ahead] = []
    for _, control in prepared.conditions:
        mine = []
        for request, name in zip(requests, names, strict=False):
            if name not in held and name not in asked:
                mine.append(request)
                asked.add(name)
        if mine:
            ahead.append((control, mine))
    done = sum(name in held for name in keys)
    beyond = bool(prepared.plan.side_effects)
    estimate = Estimate(conditions=len(prepared.conditions), requests=len(keys), held=done, beyond=beyond)
    found = counted(backend, ahead) if ahead else None
    if found is None:
        return Outlook(estimate, Meter({}), None)
    key = _key(prepared, backend)
    return Outlook(_told(estimate, prepared, found, pace_of(key)), Meter(found.each), key)


def before_fits(prepared: Prepared, backend: Backend, bench: Bench) -> str | None:
    """Say what is ahead where controls are still to be fitted on `bench`; None where all of them are there.

    What they will say to the model is not known yet, and neither is how many conditions their parts make: each counts
    as the baseline does.
    """
    plan, method = prepared.plan, prepared.method
    if not method.needs_model:
        return None
    made = list(product(prepared.targets, bench.reseeded(plan.fit_seeds)))
    fits = sum(not is_kept(method, target, each) for target, each in made)
    if not fits:
        return None
    conditions = 1 + len(made) * (1 + len(set(plan.coefs)))
    requests = [request for asked in prepared.requests.values() for request in asked]
    found = counted(backend, [(Control(), requests)])
    estimate = Estimate(
        conditions=conditions, requests=conditions * len(requests), fits=fits, beyond=bool(plan.side_effects)
    )
    if found is None:
        return estimate.line()
    return _told(estimate, prepared, found.times(conditions), pace_of(_key(prepared, backend))).line()


def counted(backend: Backend, ahead: Sequence[Ahead]) -> Counted | None:
    """Count the tokens of `ahead`; None where the backend does not know them."""
    every = sum(len(requests) for _, requests in ahead) <= _EXACT and not backend.counts_elsewhere
    alike: dict[tuple[str, str, bool], list[Ahead]] = {}
    for control, requests in ahead:
        mine: dict[tuple[str, str, bool], list[Request]] = {}
        for request in requests:
            kind = ("", "") if every else (request.doc.task, str(request.doc.scoring))
            mine.setdefault((*kind, isinstance(request, Write)), []).append(request)
        for stratum, part in mine.items():
            alike.setdefault(stratum, []).append((control, part))
    sums: dict[bool, list[Work]] = {True: [], False: []}
    each: dict[int, float] = {}
    for stratum, rows in alike.items():
        works: list[Work] = []
        for work in (backend.work(part, control) for control, part in rows) if every else _projected(backend, rows):
            if work is None:
                return None
            works.append(work)
        total = Work.total(works)
        sums[stratum[-1]].append(total)
        mean = total.tokens / sum(len(part) for _, part in rows)
        each |= {id(request): mean for _, part in rows for request in part}
    written = sum(r.max_tokens for _, requests in ahead for r in requests if isinstance(r, Write))
    scored, replies = Work.total(sums[False]), Work.total(sums[True])
    return Counted(scored.tokens, replies.tokens, written, Work.total([scored, replies]).usd, each)


def _projected(backend: Backend, rows: Sequence[Ahead]) -> Iterator[Work | None]:
    """Count a part of `rows` and scale it up: the longest of them, and how others differ from it."""
    at = max(range(len(rows)), key=lambda n: len(rows[n][1]))
    control, longest = rows[at]
    whole = _whole(backend, longest, control)
    yield whole
    if whole is None or len(rows) == 1:
        return
    others = [*rows[:at], *rows[at + 1 :]]
    looked = [others[n * len(others) // _CONTROLS] for n in range(_CONTROLS)] if len(others) > _CONTROLS else others
    scale = sum(len(part) for _, part in others) / sum(len(part) for _, part in looked)
    short = backend.work(longest[:_SHORT], control)
    for other, part in looked:
        mine = backend.work(part[:_SHORT], other)
        if whole is None or short is None or mine is None:
            yield None
            return
        # Requests of the short list to requests of the whole one, here and there.
        grown = len(part) / len(part[:_SHORT]) / (len(longest) / len(longest[:_SHORT]))
        found = Work.of(_alike, mine, short, whole).times(grown)
        shared = max(whole.shared + mine.shared - short.shared, 0.0)
        yield found.model_copy(update={"shared": shared}).times(scale)


def _whole(backend: Backend, requests: Sequence[Request], control: Control) -> Work | None:
    """Count a long list by all that is asked about some of its items, spread over them.

    Twice as many items add what each of them has of its own; what all have in common stays.
    """
    items = list(dict.fromkeys(request.doc.item for request in requests))
    every = len(items) * _LONG // len(requests)
    if every >= len(items) or every < 4:
        first = requests[:_LONG]
        work = backend.work(first, control)
        return work.times(len(requests) / len(first)) if work else None
    found = []
    for many in (every, every // 2):
        chosen = {items[n * len(items) // many] for n in range(many)}
        found.append((many, backend.work([r for r in requests if r.doc.item in chosen], control)))
    (many, more), (few, less) = found
    if more is None or less is None:
        return None
    by = (len(items) - many) / (many - few)
    return Work.of(lambda more, less: more + by * max(more - less, 0.0), more, less)


def _alike(here: float, there: float, whole: float) -> float:
    """A whole as much larger or smaller here than there as a part of it is; 0 where the part has nothing there."""
    return here / there * whole if there else 0.0


def _key(prepared: Prepared, backend: Backend) -> Key:
    plan = prepared.plan
    return pace_key(backend.identity, plan.device, plan.batch_size, plan.model_args)


def _told(estimate: Estimate, prepared: Prepared, found: Counted, pace: Pace) -> Estimate:
    return estimate._replace(
        prompt=found.scored + found.prompts,
        written=found.written,
        usd=found.usd,
        seconds=pace.seconds(found.scored, found.prompts, found.written),
        pace=pace,
        more=any(task.judged or type(task).follow_up is not Task.follow_up for task in prepared.tasks),
    )
