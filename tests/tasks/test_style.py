"""Each style of answering is caught by its own index, and by that alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from traitbench.backends.scripted import Respondent
from traitbench.statistics import Style, response_style
from traitbench.tasks.scoring import answer

MODES = ("choice", "generate")
NORMAL = {"openness": 0.7, "conscientiousness": 0.35, "extraversion": 0.3, "agreeableness": 0.6, "neuroticism": 0.4,
          "noise": 0.12}  # fmt: skip


@pytest.fixture
def styled(administer: Any) -> Any:
    def go(mode: str = "choice", kind: str = "person", **me: Any) -> Style:
        respondent = Respondent.model_validate({**NORMAL, **me})
        rows = administer("ipip_neo_120", respondent, kind, scoring=(mode,), temperature=1.0)
        return response_style([answer(row) for row in rows], 1, 5)

    return go


@pytest.mark.parametrize("mode", MODES)
def test_a_normal_respondent_has_no_flag(styled: Any, mode: str) -> None:
    style = styled(mode)
    assert style.flags == {} and not style.degenerate and style.invalid == {}
    assert abs(style.acquiescence) < 0.03 and abs(style.position_bias) < 0.05
    assert style.option_mass == (pytest.approx(1.0) if mode == "choice" else None)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("amount", "word"), [(0.15, "caution"), (0.25, "not interpretable"), (-0.15, "caution")])
def test_acquiescence(styled: Any, mode: str, amount: float, word: str) -> None:
    style = styled(mode, acquiescence=amount)
    assert style.acquiescence == pytest.approx(amount, abs=0.03)
    assert set(style.flags) == {"acquiescence"} and style.flags["acquiescence"].startswith(f"{word}: ")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("amount", "word"), [(0.15, "caution"), (0.4, "not interpretable")])
def test_position_bias(styled: Any, mode: str, amount: float, word: str) -> None:
    """Taking the first option with probability b lowers forward and raises reverse answers: -b of the range."""
    style = styled(mode, position_bias=amount)
    assert style.position_bias == pytest.approx(-amount, abs=0.06)
    assert set(style.flags) == {"position_bias"} and style.flags["position_bias"].startswith(f"{word}: ")


@pytest.mark.parametrize("mode", MODES)
def test_one_meaning_is_degenerate(styled: Any, mode: str) -> None:
    style = styled(mode, constant=3)
    assert style.degenerate and set(style.flags) == {"degenerate"}
    assert style.meanings == (0, 0, 1, 0, 0) and (style.midpoint, style.extreme) == (1, 0)
    assert style.position_bias == pytest.approx(0) and style.acquiescence == pytest.approx(0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "sign"), [("first", -1), ("last", 1)])
def test_one_position_is_degenerate_and_biased(styled: Any, mode: str, kind: str, sign: int) -> None:
    style = styled(mode, kind)
    assert style.degenerate and set(style.flags) == {"degenerate", "position_bias"}
    assert style.position_bias == pytest.approx(sign)
    assert style.meanings == (0.5, 0, 0, 0, 0.5) and style.extreme == 1


def test_refusals_show_in_the_option_mass_of_choice(styled: Any) -> None:
    style = styled("choice", refusals=0.4)
    assert style.option_mass == pytest.approx(1 - 0.4 * 0.99, abs=0.1)
    assert set(style.flags) == {"option_mass"} and style.invalid == {}


def test_refusals_are_invalid_in_generate(styled: Any) -> None:
    style = styled("generate", refusals=0.4)
    assert set(style.invalid) == {"refusal"} and style.invalid["refusal"] == pytest.approx(0.4, abs=0.1)
    assert set(style.flags) == {"invalid"} and style.option_mass is None


def test_all_refused_leaves_nothing_to_say(styled: Any) -> None:
    style = styled("generate", refusals=1.0)
    assert style.n == 240 and style.invalid == {"refusal": 1.0} and not style.degenerate
    assert style.acquiescence is style.extreme is style.midpoint is style.position_bias is None
    assert style.positions == style.meanings == (0,) * 5


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["person", "uniform"])
def test_histograms_sum_to_one(styled: Any, mode: str, kind: str) -> None:
    style = styled(mode, kind)
    assert sum(style.positions) == pytest.approx(1) and sum(style.meanings) == pytest.approx(1)
    assert len(style.positions) == len(style.meanings) == 5


def test_uniform_answers_have_no_style(styled: Any) -> None:
    style = styled("choice", "uniform")
    assert all(abs(share - 0.2) < 0.09 for share in (*style.positions, *style.meanings))
    assert "degenerate" not in style.flags and abs(style.acquiescence) < 0.05


def test_one_order_only_has_no_position_bias(administer: Any) -> None:
    rows = administer("mini_ipip", Respondent(), orders=("forward",))
    assert response_style([answer(row) for row in rows], 1, 5).position_bias is None


@pytest.mark.parametrize("keys", [(1, 1, 1, 1), (-1, -1, -1, -1)])
def test_one_key_only_has_no_acquiescence(administer: Any, tmp_path: Path, keys: tuple[int, ...]) -> None:
    """And an even number of options has no midpoint."""
    words = ("hum", "run", "sing", "walk")
    content = {
        "id": "own", "licence": "CC0", "citation": "Us (2025).", "statement": {"prefix": ""},
        "scales": {"E": "extraversion"},
        "response_scale": {"min": 1, "max": 4, "labels": ["No", "Rather not", "Rather", "Yes"]},
        "items": [{"id": f"x{i}", "text": f"I {w}", "scale": "E", "keyed": k}
                  for i, (w, k) in enumerate(zip(words, keys, strict=True))],
    }  # fmt: skip
    (tmp_path / "own.json").write_text(json.dumps(content))
    rows = administer(tmp_path / "own.json", Respondent(acquiescence=0.3))
    style = response_style([answer(row) for row in rows], 1, 4)
    assert style.acquiescence is None and "acquiescence" not in style.flags
    assert style.midpoint is None and style.meanings[2] == 1
