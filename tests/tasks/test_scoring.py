"""Item values to scores, against hand-made numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from traitbench import inventories
from traitbench.samples import Sample
from traitbench.tasks.scoring import item_values, scale_scores

ACCURACY = ("Very Inaccurate", "Moderately Inaccurate", "Neither Accurate Nor Inaccurate", "Moderately Accurate",
            "Very Accurate")  # fmt: skip


@pytest.fixture
def own(tmp_path: Path) -> Any:
    """Five items of extraversion on a scale of 1 to 5, three of them plus; two of neuroticism, both plus."""
    keys = [("E", 1), ("E", -1), ("E", 1), ("E", -1), ("E", 1), ("N", 1), ("N", 1)]
    words = ("hum", "run", "sing", "walk", "talk", "fret", "frown")
    content = {
        "id": "own", "licence": "CC0", "citation": "Us (2025).", "statement": {"prefix": ""},
        "scales": {"E": "extraversion", "N": "neuroticism"},
        "response_scale": {"min": 1, "max": 5, "labels": ACCURACY},
        "items": [{"id": f"x{i}", "text": f"I {words[i]}", "scale": s, "keyed": k} for i, (s, k) in enumerate(keys)],
    }  # fmt: skip
    path = tmp_path / "own.json"
    path.write_text(json.dumps(content))
    return inventories.load(path)


def sample(item: str, status: str, value: float | None) -> Sample:
    return Sample(
        doc_id=0, doc={}, arguments=[], resps=[], filtered_resps=[], doc_hash="", prompt_hash="", task="own",
        condition="baseline", scoring="choice", item=item, trait="extraversion", keyed=1, template=0, repeat=0, seed=0,
        status=status, value_raw=value,
    )  # type: ignore[arg-type]  # fmt: skip


def test_item_values_average_the_valid_answers_only(own: Any) -> None:
    rows = [sample("x0", "valid", 4.0), sample("x0", "valid", 5.0), sample("x0", "refusal", None),
            sample("x1", "unparsed", None), sample("x2", "valid", 0.0)]  # fmt: skip
    assert item_values(rows, own.items)[:3] == pytest.approx([4.5, np.nan, 0.0], nan_ok=True)
    assert np.isnan(item_values(rows, own.items)[3:]).all()


def test_scale_scores_reverse_once(own: Any) -> None:
    raw = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 2.0, 2.0])
    extraversion, neuroticism = scale_scores(raw, own, own.items, "choice")
    assert extraversion.value == pytest.approx((5 + 5 + 4 + 4 + 3) / 5)
    assert (extraversion.plus, extraversion.minus) == (pytest.approx(4.0), pytest.approx(4.5))
    assert extraversion.pomp == pytest.approx(100 * (4.2 - 1) / 4)
    assert (neuroticism.value, neuroticism.pomp, neuroticism.minus) == (2.0, 25.0, None)
    assert own.reverse(2.0) == 4.0


def test_missing_items_are_never_filled_in(own: Any) -> None:
    raw = np.array([5.0, np.nan, 4.0, np.nan, 3.0, np.nan, np.nan])
    extraversion, neuroticism = scale_scores(raw, own, own.items, "generate")
    assert (extraversion.value, extraversion.n, extraversion.unscored, extraversion.minus) == (4.0, 3, 2, None)
    assert (neuroticism.value, neuroticism.n, neuroticism.unscored) == (None, 0, 2)
    assert neuroticism.se is None and neuroticism.ci is None and neuroticism.pomp is None


def test_short_scales_carry_a_note(own: Any) -> None:
    assert "fewer than 8" in scale_scores(np.full(7, 3.0), own, own.items, "choice")[0].note
    full = inventories.load("ipip_50")
    assert {score.note for score in scale_scores(np.full(50, 3.0), full, full.items, "choice")} == {""}


def test_statement_is_the_mean_of_the_key_halves(own: Any) -> None:
    """Everything becomes likelier by 0.5 nats (agreement as such): it must cancel, though plus items are more."""
    before = np.array([-3.0, -2.0, -4.0, -3.0, -2.0, -3.0, -3.0])
    shift = np.array([0.6, -0.2, 0.8, -0.4, 1.0, 0.1, 0.3])
    score = scale_scores(before + shift + 0.5, own, own.items, "statement", before)[0]
    plus, minus = np.array([0.6, 0.8, 1.0]) + 0.5, -(np.array([-0.2, -0.4]) + 0.5)
    assert score.plus == pytest.approx(plus.mean()) and score.minus == pytest.approx(minus.mean())
    assert score.value == pytest.approx((0.8 + 0.3) / 2)
    variance = (((plus - plus.mean()) ** 2).sum() + ((minus - minus.mean()) ** 2).sum()) / (5 - 2)
    assert score.se == pytest.approx(math.sqrt(variance * (0.25 / 3 + 0.25 / 2)))
    assert score.d == pytest.approx(0.55 / math.sqrt(variance))
    assert score.pomp is None


def test_statement_has_no_level_without_a_reference(own: Any) -> None:
    score = scale_scores(np.full(7, -3.0), own, own.items, "statement")[0]
    assert score.value is None and score.unscored == 0
