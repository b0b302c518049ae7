"""Whether a run's model reads its prompts: neutral prose is asked in the run's own rendering, without a control."""

from __future__ import annotations

from collections.abc import Callable

from traitbench.backends import neutral
from traitbench.backends.backend import Backend
from traitbench.backends.models import ModelSpec
from traitbench.journal import RunFolder
from traitbench.runs.administer import key_of, refuse_not_finite
from traitbench.statistics.thresholds import judge
from traitbench.tables import Table, number
from traitbench.tasks.verdict import reading_reasons
from traitbench.types import Control, Reading, Response

__all__ = ["read", "reading", "tables"]


def reading(
    backend: Backend, spec: ModelSpec, folder: RunFolder, held: dict[str, Response], tell: Callable[[str], None]
) -> Reading | None:
    """Ask what is not yet `held` and keep it; say so where the model does not read. None where it cannot be asked."""
    if _unable(backend, spec):
        return None
    requests, plain = neutral.requests()[: neutral.FEW], Control()
    keys = [key_of(backend, plain, request) for request in requests]
    done = [i for i, key in enumerate(keys) if key in held]
    if len(done) < len(keys):
        backend.start(tell)
    with backend.under(plain):
        for batch in backend.run(requests, done):
            for response in batch.values():
                refuse_not_finite(response, "neutral text without a control", backend)
            new = {keys[i]: response for i, response in batch.items() if keys[i] not in held}
            folder.append(new)
            held.update(new)
    return _found(backend, [held[key] for key in keys], tell)


def read(backend: Backend, spec: ModelSpec, tell: Callable[[str], None]) -> Reading | None:
    """The same of a model that is loaded and answers nothing that is kept."""
    if _unable(backend, spec):
        return None
    found = {i: one for batch in backend.run(neutral.requests()[: neutral.FEW]) for i, one in batch.items()}
    return _found(backend, [found[i] for i in range(neutral.FEW)], tell)


def tables(found: Reading | None) -> list[Table]:
    """What a reader of one run is shown of it."""
    if found is None:
        return []
    began = found.beginning
    first = "–" if began is None else f"{began.token} ({began.written})"
    rows = [["perplexity of neutral text, a word", number(found.perplexity, 1)], ["first token", first]]
    if began is not None and began.with_it is not None:
        rows.append(["perplexity a token, with it and without", f"{began.with_it:.1f}, {number(began.without, 1)}"])
    past = judge("reading", found.perplexity)
    title = "How well the model reads" + (f": {past[0]}" if past else "")
    return [Table(title=title, columns=["", "value"], rows=rows)]


def _unable(backend: Backend, spec: ModelSpec) -> bool:
    first = neutral.requests()[0]
    return not backend.reads or bool(backend.refuses(first, spec) or backend.unable(first))


def _found(backend: Backend, responses: list[Response], tell: Callable[[str], None]) -> Reading | None:
    asked = neutral.requests()[: neutral.FEW]
    if (perplexity := neutral.a_word(asked, responses)) is None:
        return None
    words = sum(len(request.text.split()) for request in asked)
    found = Reading(perplexity=perplexity, words=words, beginning=backend.beginning)
    for reason in reading_reasons(found):
        tell(reason)
    return found
