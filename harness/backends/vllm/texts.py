"""Log-likelihood of a text's tokens: rows of log-probabilities that vLLM gives for a prompt, where it computed them."""

from __future__ import annotations

from typing import Any

from traitbench.backends.vllm.engine import Ask

__all__ = ["tail", "uncached"]


def uncached(ask: Ask) -> Ask:
    """The same request, computed whole."""
    parameters = ask.parameters.clone()
    parameters.skip_reading_prefix_cache = True
    return ask._replace(parameters=parameters)


def tail(out: Any, ask: Ask, prompt: int, answer: int, cached: int | None = None) -> float | None:
    """Log-likelihood of the last `answer` tokens; None where one of their rows was not computed."""
    read = out.num_cached_tokens if cached is None else cached
    rows = out.prompt_logprobs or []
    if (read or 0) > prompt - 1 or len(rows) < answer:
        return None
    total = 0.0
    for token, row in zip(ask.ids[-answer:], rows[-answer:], strict=True):
        if not row or token not in row:
            return None
        total += float(row[token].logprob)
    return total
