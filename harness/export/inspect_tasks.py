"""The public-domain questionnaires as tasks of Inspect: `inspect eval traitbench/ipip_neo_120 --model ...`.

The model writes its answer, which is read as in a run's `generate` scoring; any model of Inspect can be asked so. The
score of a sample is the answer itself, reversed where the item is minus-keyed: a trait level and no verdict.
"""

from __future__ import annotations

from typing import Any

from inspect_ai import Task, task
from inspect_ai.scorer import Score, grouped, mean, scorer, stderr

__all__ = ["ipip_50", "ipip_neo_120", "ipip_neo_300", "level", "mini_ipip"]


@task  # type: ignore[untyped-decorator]
def ipip_neo_120(orders: str = "forward,reverse", symbols: str = "letters", templates: int = 1) -> Task:
    """IPIP-NEO-120 (Johnson 2014): the Big Five by 120 items.

    `orders` of the options (forward, reverse), `symbols` (letters, numbers) and `templates` are as in `traitbench run`.
    """
    return _questionnaire("ipip_neo_120", orders, symbols, templates)


@task  # type: ignore[untyped-decorator]
def ipip_neo_300(orders: str = "forward,reverse", symbols: str = "letters", templates: int = 1) -> Task:
    """IPIP-NEO-300: the Big Five by 300 items."""
    return _questionnaire("ipip_neo_300", orders, symbols, templates)


@task  # type: ignore[untyped-decorator]
def ipip_50(orders: str = "forward,reverse", symbols: str = "letters", templates: int = 1) -> Task:
    """The 50 Big Five factor markers of the IPIP."""
    return _questionnaire("ipip_50", orders, symbols, templates)


@task  # type: ignore[untyped-decorator]
def mini_ipip(orders: str = "forward,reverse", symbols: str = "letters", templates: int = 1) -> Task:
    """Mini-IPIP (Donnellan et al. 2006): the Big Five by 20 items."""
    return _questionnaire("mini_ipip", orders, symbols, templates)


@scorer(  # type: ignore[untyped-decorator]
    metrics=[
        grouped(mean(), "trait", all=False),
        grouped(stderr(cluster="item"), "trait", all=False, name_template="{group_name}_stderr"),
    ]
)
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
        keyed = value if told["keyed"] == 1 else min(values) + max(values) - value
        return Score(value=keyed, answer=labels[values.index(value)][0], metadata={"raw": value})

    return score


def _questionnaire(name: str, orders: str, symbols: str, templates: int) -> Task:
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ChatMessageUser, GenerateConfig
    from inspect_ai.solver import generate

    from traitbench import inventories
    from traitbench.runs.flags import plan_of
    from traitbench.tasks.questionnaire import Questionnaire
    from traitbench.types import Write

    asked = plan_of(
        {"tasks": name, "orders": orders, "symbols": symbols, "templates": templates, "scoring": "generate"}, dashes=""
    )
    grid = asked.administration()
    inventory = inventories.load(name)
    samples = []
    for request in Questionnaire(inventory, grid).requests(0):
        assert isinstance(request, Write) and len(request.messages) == 1
        doc = request.doc
        samples.append(Sample(
            id=f"{doc.item}-{doc.order}-{doc.symbols}-{doc.template}",
            input=[ChatMessageUser(content=request.messages[0].content)],
            metadata={**doc.model_dump(exclude={"task", "respondent", "repeat", "scoring"}),
                      "labels": [list(label) for label in request.labels], "values": list(request.values)},
        ))  # fmt: skip
    return Task(
        dataset=MemoryDataset(samples, name=name),
        solver=generate(),
        scorer=level(),
        config=GenerateConfig(max_tokens=grid.max_tokens, temperature=grid.temperature),
        version=inventory.version,
        metadata={"citation": inventory.citation, "licence": inventory.licence, "score_direction": "none"},
    )
