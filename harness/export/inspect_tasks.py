"""The public-domain questionnaires as tasks of Inspect: `inspect eval traitbench/ipip_neo_120 --model ...`.

The model writes its answer, which is read as in a run's `generate` scoring; any model of Inspect can be asked so. With
`-T scoring=choice` the answer is the expected value of the options, for models that show log-probabilities. The score
of a sample is the answer itself, reversed where the item is minus-keyed: a trait level and no verdict.
"""

from __future__ import annotations

from typing import Any

from inspect_ai import Task, task
from inspect_ai.scorer import Score, grouped, mean, scorer, stderr
from inspect_ai.solver import solver

__all__ = [
    "ask_options", "expected_level", "ipip_50", "ipip_neo_120", "ipip_neo_300", "level", "mini_ipip", "mini_ipip_model",
]  # fmt: skip

_SEEN = 20
"""Likeliest tokens that are asked for: the most that OpenAI's protocol has."""


@task  # type: ignore[untyped-decorator]
def ipip_neo_120(
    orders: str = "forward,reverse", symbols: str = "letters", templates: int = 1, scoring: str = "generate"
) -> Task:
    """IPIP-NEO-120 (Johnson 2014): the Big Five by 120 items.

    `orders` of the options (forward, reverse), `symbols` (letters, numbers), `templates` and `scoring` (generate or
    choice) are as in `traitbench run`.
    """
    return _questionnaire("ipip_neo_120", orders, symbols, templates, scoring)


@task  # type: ignore[untyped-decorator]
def ipip_neo_300(
    orders: str = "forward,reverse", symbols: str = "letters", templates: int = 1, scoring: str = "generate"
) -> Task:
    """IPIP-NEO-300: the Big Five by 300 items."""
    return _questionnaire("ipip_neo_300", orders, symbols, templates, scoring)


@task  # type: ignore[untyped-decorator]
def ipip_50(
    orders: str = "forward,reverse", symbols: str = "letters", templates: int = 1, scoring: str = "generate"
) -> Task:
    """The 50 Big Five factor markers of the IPIP."""
    return _questionnaire("ipip_50", orders, symbols, templates, scoring)


@task  # type: ignore[untyped-decorator]
def mini_ipip(
    orders: str = "forward,reverse", symbols: str = "letters", templates: int = 1, scoring: str = "generate"
) -> Task:
    """Mini-IPIP (Donnellan et al. 2006): the Big Five by 20 items."""
    return _questionnaire("mini_ipip", orders, symbols, templates, scoring)


@task  # type: ignore[untyped-decorator]
def mini_ipip_model(
    orders: str = "forward,reverse", symbols: str = "letters", templates: int = 1, scoring: str = "generate"
) -> Task:
    """The Mini-IPIP in a language model's own terms: 20 items about replies, requests and users."""
    return _questionnaire("mini_ipip_model", orders, symbols, templates, scoring)


_LEVELS = [
    grouped(mean(), "trait", all=False),
    grouped(stderr(cluster="item"), "trait", all=False, name_template="{group_name}_stderr"),
]


@scorer(metrics=_LEVELS)  # type: ignore[untyped-decorator]
def level() -> Any:
    """Read the answer strictly; a refusal or anything that is no option is unscored, with the reason, and not 0."""

    async def score(state: Any, target: Any) -> Any:
        from traitbench.statistics.replies import parse_reply

        told = state.metadata
        labels, values = [tuple(pair) for pair in told["labels"]], told["values"]
        reply, cut = state.output.completion, state.output.stop_reason == "max_tokens"
        status, value = parse_reply(reply, labels, values, cut)
        if value is None:
            return Score.unscored(reason=status, answer=reply)
        return Score(value=_keyed(value, told), answer=labels[values.index(value)][0], metadata={"raw": value})

    return score


@scorer(metrics=_LEVELS)  # type: ignore[untyped-decorator]
def expected_level() -> Any:
    """Expected value of the options by the log-probabilities that the model shows of its first token.

    Halfway between its bounds where not every spelling is shown; unscored where they are too far apart (`unseen`).
    """

    async def score(state: Any, target: Any) -> Any:
        from traitbench.export.inspect_choice import options_of
        from traitbench.tasks.scoring import chosen

        told, reply = state.metadata, state.output.completion
        shown = options_of(state.output, told["options"])
        if shown is None:
            return Score.unscored(reason="refusal", answer=reply)
        least, most = shown
        found = chosen(least, most, told["values"])
        kept = {"option_logprobs": list(least), "option_mass": found.option_mass}
        if most is not None:
            kept |= {"option_bounds": list(most), "value_bounds": list(found.value_bounds or ())}
        if found.value_raw is None:
            return Score.unscored(reason=found.status, answer=reply, metadata=kept)
        return Score(value=_keyed(found.value_raw, told), answer=reply, metadata={"raw": found.value_raw, **kept})

    return score


@solver  # type: ignore[untyped-decorator]
def ask_options() -> Any:
    """Ask for the likeliest first tokens; a model of traitbench is asked for exactly the options."""

    async def solve(state: Any, generate: Any) -> Any:
        if state.model.api != "traitbench":
            return await generate(state)
        return await generate(state, extra_body={name: state.metadata[name] for name in ("options", "cue")})

    return solve


def _keyed(value: float, told: Any) -> float:
    """Reverse the value of a minus-keyed item."""
    return value if told["keyed"] == 1 else min(told["values"]) + max(told["values"]) - value


def _questionnaire(name: str, orders: str, symbols: str, templates: int, scoring: str) -> Task:
    from inspect_ai.dataset import MemoryDataset
    from inspect_ai.model import GenerateConfig
    from inspect_ai.solver import generate

    from traitbench import inventories
    from traitbench.errors import unknown
    from traitbench.runs.flags import plan_of
    from traitbench.tasks.questionnaire import Questionnaire

    if scoring not in ("generate", "choice"):
        raise unknown("value of scoring", scoring, ("generate", "choice"))
    asked = plan_of(
        {"tasks": name, "orders": orders, "symbols": symbols, "templates": templates, "scoring": scoring}, dashes=""
    )
    grid, inventory = asked.administration(), inventories.load(name)
    written = scoring == "generate"
    # Shown probabilities are the model's own at temperature 1. One token is enough, but some of OpenAI's models write
    # no fewer than 16.
    shown = {} if written else {"logprobs": True, "top_logprobs": _SEEN}
    config = GenerateConfig(max_tokens=grid.max_tokens, temperature=grid.temperature if written else 1.0, **shown)
    return Task(
        dataset=MemoryDataset(list(map(_sample, Questionnaire(inventory, grid).requests(0))), name=name),
        solver=generate() if written else ask_options(),
        scorer=level() if written else expected_level(),
        config=config,
        version=inventory.version,
        metadata={"citation": inventory.citation, "licence": inventory.licence, "score_direction": "none"},
    )


def _sample(request: Any) -> Any:
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessageUser

    from traitbench.types import Choose

    doc, (message,) = request.doc, request.messages
    if isinstance(request, Choose):
        told = {"options": [list(option) for option in request.options], "cue": request.cue}
    else:
        told = {"labels": [list(label) for label in request.labels]}
    return Sample(
        id=f"{doc.item}-{doc.order}-{doc.symbols}-{doc.template}",
        input=[ChatMessageUser(content=message.content)],
        metadata={**doc.model_dump(exclude={"task", "respondent", "repeat", "scoring"}), **told,
                  "values": list(request.values)},
    )  # fmt: skip
