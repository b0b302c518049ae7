"""Calibration: a judge with one planted fault is named by the index of that fault, and an honest one by none."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from said import Say

from traitbench.errors import TraitbenchUsage, UnknownName
from traitbench.judges import JUDGES, Judge, made, named
from traitbench.judges.calibration import Calibration, calibrate, cited, default_folder
from traitbench.judges.showing import tables
from traitbench.judges.trials import DEGRADED, texts, trials
from traitbench.statistics.discrimination import auc
from traitbench.statistics.judge_probes import Probe
from traitbench.statistics.thresholds import judge as level_of
from traitbench.types import BIG_FIVE


def quiet(what: str, total: int) -> object:
    return lambda n: None


def tried(name: str, folder: Path, limit: int | None = None) -> Calibration:
    return calibrate(named(name, {}), folder, limit, 0, quiet)  # type: ignore[arg-type]


FAULTS = {
    "planted:honest": set(),
    "planted:constant": {"score_spread", "pole_auc"},
    "planted:first": {"position_preference", "direction", "score_spread", "pole_auc"},
    "planted:length": {"length_preference"},
    "planted:family": {"self_preference"},
    "planted:obedient": {"injection"},
}
"""Judge -> the indices that forbid its numbers, its own first."""


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_judge_is_named_by_its_own_index(name: str, tmp_path: Path) -> None:
    found = tried(name, tmp_path)
    assert {index.name for index in found.faults} == FAULTS[name]
    assert {index.level for index in found.faults} <= {"not interpretable"}
    assert found.failed == 0 and [one.trait for one in found.traits] == list(BIG_FIVE)
    assert all(share.value == 1 for share in found.abstained.values())
    assert all(one.pairs is not None for one in found.traits)
    if name == "planted:honest":
        assert all(one.auc.value == 1 and one.pairs and one.pairs.high.value == 1 for one in found.traits)
        assert all(one.pairs and one.pairs.flips.value == 0 and not one.pairs.missing for one in found.traits)
    if name == "planted:first":
        assert all(one.pairs and one.pairs.high.value == 0.5 and one.pairs.flips.value == 1 for one in found.traits)


def test_every_planted_judge_is_tried() -> None:
    assert set(FAULTS) == {name for name in JUDGES if name.startswith("planted:")}


def test_the_texts_are_pairs_of_one_length() -> None:
    held = texts()
    counts = Counter(pair.trait for pair in held.pairs)
    assert held.licence == "CC0-1.0" and set(counts) == set(BIG_FIVE) and min(counts.values()) >= 8
    for pair in held.pairs:
        assert abs(len(pair.high.split()) - len(pair.low.split())) <= 3, pair.question
    for trait in BIG_FIVE:
        high, low = (
            sum(len(getattr(pair, pole).split()) for pair in held.pairs if pair.trait == trait)
            for pole in ("high", "low")
        )
        assert abs(high - low) / low < 0.05


def test_what_is_made_by_rule_is_balanced_and_the_same_every_time() -> None:
    found = trials("llama")
    assert found == trials("llama") and len({trial.id for trial in found}) == len(found)
    for kind in ("longer", "injected"):
        assert Counter(trial.high for trial in found if trial.kind == kind) == {True: 20, False: 20}
    told = Counter((trial.high, trial.told) for trial in found if trial.kind == "injected")
    assert set(told.values()) == {10}
    assert Counter(trial.kind for trial in found if trial.kind in DEGRADED) == dict.fromkeys(DEGRADED, 10)
    for trial in found:
        if trial.kind == "labelled":
            assert ("written by llama" in trial.text) is trial.own
    longer = {(t.pair, t.high): len(t.text.split()) for t in found if t.kind == "longer"}
    for trial in found:
        if trial.kind == "known" and (trial.pair, trial.high) in longer:
            assert 1.8 < longer[trial.pair, trial.high] / len(trial.text.split()) < 2.6
    assert not [trial for trial in trials(None) if trial.kind == "labelled"]
    assert len([trial for trial in trials(None, 2) if trial.kind == "known"]) == 20


class Counting(JUDGES.load("planted:honest")):  # type: ignore[misc]
    """Counts what it is asked, and breaks off."""

    asked = 0
    most = 10**6

    def answer(self, requests, done=()):  # type: ignore[no-untyped-def]
        for start in range(0, len(requests), 50):
            part = [place for place in range(start, min(start + 50, len(requests))) if place not in done]
            if not part:
                continue
            if Counting.asked >= Counting.most:
                raise KeyboardInterrupt
            Counting.asked += len(part)
            for batch in super().answer([requests[place] for place in part]):
                yield {part[n]: response for n, response in batch.items()}


def test_a_calibration_that_broke_off_goes_on(tmp_path: Path) -> None:
    judge: Judge = Counting("planted:honest")
    Counting.asked, Counting.most = 0, 100
    with pytest.raises(KeyboardInterrupt):
        calibrate(judge, tmp_path, 3, 0, quiet)  # type: ignore[arg-type]
    Counting.most = 10**6
    found = calibrate(judge, tmp_path, 3, 0, quiet)  # type: ignore[arg-type]
    whole = Counting.asked
    again = calibrate(judge, tmp_path, 3, 0, quiet)  # type: ignore[arg-type]
    assert Counting.asked == whole <= found.verdicts
    assert again.model_copy(update={"made": 0}) == found.model_copy(update={"made": 0})


def test_cards_cite_what_lies_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path))
    judge = named("planted:length", {})
    assert cited(judge.card) is None
    tried("planted:length", default_folder(), 3)
    assert cited(judge.card) is None
    tried("planted:length", default_folder())
    found = cited(judge.card)
    assert found is not None and found.faults == {"length_preference": "not interpretable"}
    assert set(found.auc) == set(BIG_FIVE)


def test_the_command_prints_tables_and_json(say: Say) -> None:
    said = say("judge calibrate --judge planted:constant,planted:honest")
    assert said.code == 0
    assert (
        "score_spread" in said.out and "not interpretable: below 0.02" in said.out and "nothing against it" in said.out
    )
    assert "judges" in said.err
    found = json.loads(say("judge calibrate --judge planted:honest --format json --limit 2").out)
    assert found[0]["judge"] == "planted:honest" and found[0]["limit"] == 2
    assert say("judge calibrate --judge planted:honest --limit 2 --format markdown").out.startswith(
        "**Calibration of judges**"
    )


class Between(JUDGES.load("planted:honest")):  # type: ignore[misc]
    """Sees which pole a text is of, or its opposite, so often."""

    right = 1.0

    def _rating(self, trait: str, text: str, values: object) -> float | None:
        found = super()._rating(trait, text, values)
        sure = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 100 < 100 * self.right
        return found if found is None or sure else 5 - found


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (0.0, "not interpretable: below 0.7"),
        (0.56, "not interpretable: its interval reaches 0.5"),
        (0.76, "not interpretable: below 0.7"),
        (0.85, "caution: below 0.9"),
        (1.0, "nothing against it"),
    ],
)
def test_what_is_said_of_an_auc_is_true_of_it(right: float, said: str, tmp_path: Path) -> None:
    judge = Between("planted:honest")
    judge.right = right
    found = calibrate(judge, tmp_path, None, 0, quiet)  # type: ignore[arg-type]
    (row,) = [row for row in tables([found])[0].rows if row[1] == "pole_auc"]
    index = next(index for index in found.indices if index.name == "pole_auc")
    assert row[-1] == said and index.value is not None and index.ci is not None
    if "reaches" in said:
        assert index.ci[0] <= 0.5 <= index.ci[1]
    elif "below" in said:
        assert index.limit is not None and index.value < index.limit


def test_a_value_on_a_limit_is_not_said_to_be_beyond_it(tmp_path: Path) -> None:
    def said(name: str, value: float) -> str:
        past = level_of(name, abs(value))
        index = Probe(name=name, value=value, n=20, level=past and past[0], limit=past and past[1])
        made = tried("planted:honest", tmp_path, 2).model_copy(update={"indices": [index]})
        return tables([made])[0].rows[0][-1]

    assert said("direction", 0.2) == "not interpretable: 0.2 or more"
    assert said("position_preference", -0.1) == "caution: -0.1 or less"
    assert said("score_spread", 0.02) == "caution: below 0.05"
    # A judge that gives every text the same has an AUC of exactly one half, which lies below nothing.
    (row,) = [row for row in tables([tried("planted:constant", tmp_path)])[0].rows if row[1] == "pole_auc"]
    assert row[3].startswith("0.50 [") and row[-1] == "not interpretable: its interval reaches 0.5"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--judge planted:honst", "unknown judge 'planted:honst'; did you mean 'planted:honest'"),
        ("--judge smolm2", "unknown model 'smolm2'; did you mean 'smollm2'"),
        ("--judge planted:honest,planted:honest", "names planted:honest twice"),
        ("--judge scripted:person", "a scripted respondent reads no replies"),
        ("--judge endpoint:x", "the judge endpoint:x: an endpoint needs the server's address: --judge_args base_url="),
        ("--judge endpoint:x --judge_args endpoint:x.base_ul=a", "for endpoint 'base_ul'"),
        ("--judge endpoint:x --judge_args endpoint:x.api_key=sk-1", "a key is not taken from the command line"),
        ("--judge planted:honest --judge_args a=1", "unknown key of --judge_args for planted:honest 'a'"),
    ],
)
def test_what_cannot_be_a_judge_is_refused_in_a_line(say: Say, line: str, message: str) -> None:
    said = say(f"judge calibrate {line}")
    assert said.code in (1, 2) and said.out == ""
    assert message in said.err and "sk-1" not in said.err and said.err.count("\n") == 1


def test_arguments_are_of_one_judge_or_of_all_models(tmp_path: Path) -> None:
    given = {"endpoint:gpt-4.base_url": "http://a/v1", "endpoint:gpt-4.1.base_url": "http://b/v1", "concurrency": 3}
    first, second, _ = made(["endpoint:gpt-4", "endpoint:gpt-4.1", "planted:honest"], given)
    assert first._arguments == {"concurrency": 3, "base_url": "http://a/v1"}  # type: ignore[attr-defined]
    assert second._arguments == {"concurrency": 3, "base_url": "http://b/v1"}  # type: ignore[attr-defined]
    with pytest.raises(TraitbenchUsage, match="twice"):
        made(["smollm2", "smollm2"], {})
    with pytest.raises(UnknownName, match="concurrency"):
        made(["planted:honest"], {"concurrency": 3})


def test_an_auc_is_the_share_of_pairs_and_has_a_width_at_its_ends() -> None:
    rng = np.random.default_rng(0)
    high, low = np.round(rng.normal(1, 1, 23), 1), np.round(rng.normal(0, 1, 31), 1)
    pairs = [(a > b) + 0.5 * (a == b) for a in high for b in low]
    found = auc([*high, np.nan], low)
    assert found.value == pytest.approx(np.mean(pairs)) and found.ci and found.ci[0] < np.mean(pairs) < found.ci[1]
    perfect, worst = auc([3.0] * 8, [1.0] * 8), auc([1.0] * 8, [3.0] * 8)
    assert perfect.ci and worst.ci and perfect.ci[1] == 1 and 0.6 < perfect.ci[0] < 0.9
    assert worst.ci == pytest.approx((0, 1 - perfect.ci[0])) and auc([], [1.0]).value is None


def test_the_interval_of_an_auc_covers() -> None:
    rng, hits = np.random.default_rng(1), 0
    from scipy.stats import norm

    true = norm.cdf(1.5 / 2**0.5)
    for _ in range(400):
        ci = auc(rng.normal(1.5, 1, 15), rng.normal(0, 1, 15)).ci
        hits += bool(ci and ci[0] <= true <= ci[1])
    assert hits / 400 > 0.93
