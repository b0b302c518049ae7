"""How a model's traits go together beside how they go together in people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from traitbench.charts.chart import Estimate, Figure, concat, facets, figure, grid_cells, grid_width, plain, two_lines
from traitbench.humans import references
from traitbench.humans.similarity import Measure, Similarity
from traitbench.tasks.questionnaire.figures.runs import Run
from traitbench.types import Mode

__all__ = ["correlations", "distances"]

KIND = "compared with people"
OVER = {"profiles": "target profiles drawn independently", "paper": "high and low conditions"}
Rows = list[dict[str, Any]]
Found = list[tuple[Run, Similarity]]


def correlations(runs: Sequence[Run], mode: Mode) -> Figure | None:
    """The matrices of people and of each run on one colour scale; None where no run has one.

    A cell without variance stays empty.
    """
    found = _found(runs, mode)
    if not found:
        return None
    people = {f.reference: _cells(f.traits, f.human) for _, f in found}
    models = {(run.label, f.mode): (f, _cells(f.traits, f.matrix)) for run, f in found}
    panels = [(f"people: {_people(name)}", rows) for name, rows in people.items()]
    panels += [(f"model: {label}", rows) for (label, _), (_, rows) in models.items()]
    specs = [
        {"title": {"text": title},
         **grid_cells(rows, ("trait", None), ("other", None), 1.0, "correlation", "no\nvariance", plus=False)}
        for title, rows in panels
    ]  # fmt: skip
    undefined = sum(row["value"] is None for _, rows in models.values() for row in rows) // 2
    over = {label: f"{f.n} {OVER.get(f.mode or '', 'rows')}" for (label, _), (f, _) in models.items()}
    alike = len(set(over.values())) == 1
    words = next(iter(over.values())) if alike else "; ".join(f"{label}: {what}" for label, what in over.items())
    return figure(
        runs[0].task, mode, KIND, f"How traits go together, {mode} scoring",
        f"Correlations between traits in people and in the model (over {words}). {_nearest(found)} A grey cell "
        "has no correlation: a trait did not vary. Descriptive: nearer is not better.",
        f"Heat maps of trait correlations: {len(people)} of people and {len(models)} of models, {mode} scoring. "
        f"{_nearest(found)}" + (f" {undefined} pair(s) of traits have no correlation." if undefined else ""),
        concat(specs, grid_width(panels[0][1], "trait", "other")),
        ["whose", "trait", "other trait", "correlation"],
        [[title, row["trait"], row["other"], row["shown"]] for title, rows in panels for row in rows if row["below"]],
        [note for _, f in found for note in f.notes],
    )  # fmt: skip


def distances(runs: Sequence[Run], mode: Mode) -> Figure | None:
    """The distance of each matrix from each human sample, with both baselines; None where no distance is defined."""
    found = _found(runs, mode)
    rows = [row for run, f in found for row in _distance_rows(run, f)]
    if not any(row["value"] is not None and row["what"] == "model" for row in rows):
        return None
    rows = list({(row["sample"], row["label"]): row for row in rows}.values())
    rows.sort(key=lambda row: row["what"] == "baseline")
    whole = figure(
        runs[0].task, mode, KIND, f"Distance from people, {mode} scoring",
        "Root of the squared differences of all correlations, each pair counted twice; 0 is the same matrix. The "
        "baselines say what little it takes: a control that moves one trait and nothing else, and samples of people "
        "of the same size. Lines: 95 % intervals, for high and low conditions the range with one of them left out.",
        f"Dot chart of distances between trait correlations, {mode} scoring. "
        + " ".join(f"{row['label']}, {row['sample']}: {row['shown']}." for row in rows),
        _strip(rows),
        ["people", "whose correlations", "distance [interval]"],
        [[row["sample"], row["label"], row["shown"]] for row in rows],
        [f"{run.label}, {_people(f.reference)}: " + "; ".join(f"{name} {_measure(m)}" for name, m in _measures(f))
         for run, f in found],
    )  # fmt: skip
    return whole.model_copy(update={"name": f"{whole.name}-distance"})


def _found(runs: Sequence[Run], mode: Mode) -> Found:
    return [(run, found) for run in runs if (scored := run.scored(mode)) for found in scored.human.similarity]


def _people(name: str) -> str:
    return next((r.label for r in references() if r.name == name), name)


def _cells(traits: Sequence[str], matrix: Sequence[Sequence[float | None]]) -> Rows:
    return [
        {"trait": a, "other": b, "value": matrix[i][j], "own": False, "below": i > j,
         "shown": "no variance" if matrix[i][j] is None else plain(matrix[i][j])}
        for i, a in enumerate(traits) for j, b in enumerate(traits)
    ]  # fmt: skip


def _distance_rows(run: Run, f: Similarity) -> Iterator[dict[str, Any]]:
    """The model, then what a control without leakage and chance alone would have."""
    lines = [(run.label, "model", f.distance), ("no leakage (identity matrix)", "baseline", f.identity.distance)]
    if f.sampled is not None:
        lines.append((f"samples of {f.n} people", "baseline", f.sampled.distance))
    for label, what, measure in lines:
        low, high = measure.interval or (None, None)
        yield {"sample": _people(f.reference), "label": label, "what": what, "value": measure.value, "low": low,
               "high": high, "shown": _measure(measure)}  # fmt: skip


def _strip(rows: Rows) -> dict[str, Any]:
    what = {"field": "what", "type": "nominal", "title": None, "legend": {"orient": "bottom"},
            "scale": {"domain": ["model", "baseline"]}}  # fmt: skip
    tip = [{"field": "sample", "title": "people"}, {"field": "label"}, {"field": "shown", "title": "distance"}]
    inner = {
        "width": 340,
        "height": {"step": 24},
        "encoding": {"y": {"field": "label", "type": "nominal", "sort": None, "title": None, "axis": two_lines()}},
        "layer": [
            {"mark": {"type": "rule", "style": "interval"},
             "encoding": {"x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}}},
            {"mark": "point", "encoding": {
                "x": {"field": "value", "type": "quantitative", "title": "distance (Frobenius)"},
                "color": what, "shape": what, "tooltip": tip}},
        ],
    }  # fmt: skip
    return {
        "data": {"values": rows},
        "facet": {"row": facets("sample", rows, labelOrient="top", labelPadding=2)},
        "spec": inner,
        "spacing": 10,
        "usermeta": {"panel": 600},
    }


def _nearest(found: Found) -> str:
    """Distances to the human sample that stands first, each run's, and the baselines beside them."""
    sample = found[0][1].reference
    mine = {run.label: f for run, f in reversed(found) if f.reference == sample}
    words = [f"{label} {_measure(f.distance)}" for label, f in reversed(mine.items())]
    f = found[0][1]
    words.append(f"a control that moves one trait and no other {_measure(f.identity.distance)}")
    if f.sampled is not None:
        words.append(f"{f.n} people drawn from that sample {_measure(f.sampled.distance)}")
    return f"Distance from {_people(sample)} (0: the same): {'; '.join(words)}."


def _measure(measure: Measure) -> str:
    low, high = measure.interval or (None, None)
    return Estimate(measure.value, low, high).text(2) if measure.value is not None else f"none ({measure.reason})"


def _measures(found: Similarity) -> list[tuple[str, Measure]]:
    return [
        ("mean absolute difference", found.mean_abs_difference),
        ("same sign", found.sign_agreement),
        ("rank correlation of the cells", found.spearman),
        ("p of the Mantel test", found.mantel_p),
    ]
