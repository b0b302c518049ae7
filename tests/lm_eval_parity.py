"""The backends lm_eval and hf, what both are asked, and how alike they must answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from traitbench.backends.backend import Options
from traitbench.backends.hf import HuggingFace
from traitbench.backends.lm_eval import LMEval
from traitbench.backends.models import resolve
from traitbench.types import Choose, Control, Message, Response, Write

Tiny = Callable[..., Path]
KEY = "sk-not-for-anyone-1234567890"
PROMPT = Control(messages=(Message(role="system", content="You love the crowd and worry."),))
ASKS = ("Who are you?", "Describe the crowd.", "A crowd of plans, a plan of crowds and more of it.", "Answer.")
SAME = {"text", "tokens", "prompt_hash", "status"}


def lm_eval(name: str, options: Options | None = None, **arguments: Any) -> LMEval:
    """lm-eval's model `name`, checked and made with these --model_args."""
    told = (options or Options(device="cpu")).model_copy(update={"arguments": arguments})
    spec = resolve(f"lm_eval:{name}", arguments)
    LMEval.check(spec, told)
    return LMEval.make(spec, told)


def hf(folder: Path | str) -> HuggingFace:
    """The same weights under the backend hf."""
    return HuggingFace(resolve(str(folder)), device="cpu")


def writes(chooses: Sequence[Choose], temperature: float = 0.0) -> list[Write]:
    """Requests for replies to `ASKS`, each with a seed of its own."""
    return [
        Write(
            doc=chooses[0].doc.model_copy(update={"item": ask}), messages=(Message(role="user", content=ask),),
            cue="Answer:", max_tokens=9, temperature=temperature, seed=n,
        )
        for n, ask in enumerate(ASKS)
    ]  # fmt: skip


def alike(
    found: dict[int, Response], expected: dict[int, Response], within: float = 2e-5, same: set[str] = SAME
) -> None:
    """Numbers to `within` nats; texts, tokens, prompts and what became of a reply to the letter."""
    assert found.keys() == expected.keys()
    for i, response in expected.items():
        assert found[i].option_logprobs == (
            None if response.option_logprobs is None else pytest.approx(response.option_logprobs, abs=within)
        )
        assert found[i].loglik == (None if response.loglik is None else pytest.approx(response.loglik, abs=within))
        assert found[i].model_dump(include=same) == response.model_dump(include=same)


def command(name: str, arguments: str, more: str = "") -> str:
    """The line that asks lm-eval's model `name` items of the Mini-IPIP."""
    line = f"run --model lm_eval:{name} --model_args {arguments} --tasks mini_ipip --bootstrap_iters 20 -o runs"
    return f"{line} {more}"
