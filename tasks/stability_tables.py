"""The stability of simulated respondents as tables."""

from __future__ import annotations

from collections.abc import Mapping

from traitbench.tables import Table, interval, number
from traitbench.tasks.stability import Index, Stability

__all__ = ["stability_tables"]


def stability_tables(what: str, found: Mapping[str, Stability]) -> list[Table]:
    """Both indices, a row a condition, then context by context; none where there are no respondents.

    `what` names the contexts and the task.
    """
    if not found:
        return []
    traits = next(iter(found.values())).traits
    rows = [
        [name, str(one.respondents), str(len(one.contexts)), _index(one.rank_order), _index(one.ipsative),
         _index(one.distinctive), *(number(one.by_trait.get(trait)) for trait in traits)]
        for name, one in found.items()
    ]  # fmt: skip
    whole = Table(
        title=f"Simulated respondents over {what}",
        columns=["condition", "respondents", "contexts", "rank-order [95 %]", "ipsative [95 %]", "distinctive [95 %]",
                 *(f"rank-order, {trait}" for trait in traits)],
        rows=rows,
        notes=[
            "Rank-order: mean r of the respondents' scores between two contexts. Ipsative: mean r of a respondent's "
            "profile over traits between two contexts (Kovač et al. 2024). Distinctive: the same without the profile "
            "that all respondents share. 1: nothing changes. Brackets: bootstrap over respondents."
        ],
    )  # fmt: skip
    pairs = [
        [name, f"{pair.a} and {pair.b}", number(pair.rank_order), number(pair.ipsative), number(pair.distinctive)]
        for name, one in found.items()
        for pair in one.pairs
    ]
    columns = ["condition", "contexts", "rank-order", "ipsative", "distinctive"]
    return [whole, Table(title=f"The same, two contexts at a time, {what}", columns=columns, rows=pairs)]


def _index(found: Index) -> str:
    return interval(found.value, found.ci) if found.value is not None else found.reason
