"""NPTI by teacher forcing: what is read and counted, planted neurons, noise, and what is refused before loading."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import transformers
from planted_neurons import PLANTED, build, pole_words
from pydantic import ValidationError
from tiny_models import CONFIGS, tokenizer

from traitbench import controls
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.errors import BadData, TraitbenchUsage, UnknownName, UnsupportedControl
from traitbench.methods.bench import Bench
from traitbench.methods.npti import NPTI
from traitbench.methods.npti import reading as npti_reading
from traitbench.methods.npti.counting import Activity, Tally
from traitbench.methods.npti.halves import FEWEST, shared
from traitbench.methods.npti.reading import read
from traitbench.methods.npti.scenes import LEAST, Scene, opened, scenes
from traitbench.methods.npti.sources import BLOCKS, own
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import prepare
from traitbench.statistics.permutations import compared
from traitbench.statistics.quantiles import Bins
from traitbench.types import Control, Target

TRAIT = "extraversion"
HIGH, LOW = (Target(levels={TRAIT: level}) for level in (1.0, -1.0))

# --- whether two halves name the same neurons


def activities(seed: int, planted: int = 0, blocks: int = 24, neurons: int = 400) -> tuple[Activity, Activity]:
    """Both poles' counts over blocks that differ: of `planted` neurons P is .2 higher under the high pole."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(20, 60, (2, blocks))
    own = np.clip(rng.beta(1, 3, neurons) + rng.normal(0, 0.1, (2, blocks, neurons)), 0.01, 0.8)
    own += np.clip(rng.normal(0, 0.1, (blocks, neurons)), -0.005, 0.2)
    own[0, :, :planted] += 0.2
    positive = rng.binomial(tokens[:, :, None], np.clip(own, 0, 1)).reshape(2, blocks, 4, neurons // 4)
    return tuple(
        Activity(positive[n].astype(np.uint16), tokens[n], np.ones((4, neurons // 4), np.float32)) for n in (0, 1)
    )  # type: ignore[return-value]


def p_of(high: Activity, low: Activity, seed: int = 0) -> float:
    found = shared(high, low, 0.1, 20, 199, seed)
    assert found is not None
    return compared(found[0], found[1:]).p


def test_noise_is_called_nothing() -> None:
    """A hundred searches through noise, with blocks and replies that differ: seven at most are taken for something."""
    false = sum(p_of(*activities(seed), seed) <= 0.05 for seed in range(100))
    assert false <= 7


def test_planted_neurons_are_found() -> None:
    for seed in range(20):
        high, low = activities(seed, planted=20)
        assert p_of(high, low) <= 0.01 and p_of(low, high) <= 0.01, "whichever pole is called high"


def test_the_share_by_hand() -> None:
    """Two blocks a half, six neurons: the halves agree on neuron 0 alone of the high pole's, on none of the low's."""
    tokens = np.full(6, 10)
    high = np.array([[9, 8, 1, 1, 1, 1], [9, 1, 8, 1, 1, 1]] * 3)
    low = np.array([[1, 1, 1, 1, 8, 1], [1, 1, 1, 8, 1, 1]] * 3)
    both = [Activity(x.reshape(6, 2, 3).astype(np.uint16), tokens, np.ones((2, 3), np.float32)) for x in (high, low)]
    found = shared(both[0], both[1], 0.5, 0, 10**6)
    assert found is not None and len(found) == 2**6
    assert found[0] == (1 / 2 + 0) / 2
    assert compared(found[0], found[1:]).p >= 2 / 64, "all poles turned round is the same"


def test_shuffled_counts_are_those_of_turned_replies() -> None:
    """Every shuffle against counts that are really exchanged, block by block."""
    high, low = activities(3, planted=5, blocks=6, neurons=40)
    found = shared(high, low, 0.1, 4, 10**6)
    assert found is not None and len(found) == 64
    brute = set()
    for turn in range(64):
        turned = np.array([turn >> block & 1 for block in range(6)], dtype=bool)
        a, b = (
            Activity(
                np.where(turned[:, None, None], y.positive, x.positive), np.where(turned, y.tokens, x.tokens), x.high
            )
            for x, y in ((high, low), (low, high))
        )
        chosen = []
        for half in (0, 1):
            delta = (a.share(half) - b.share(half)).ravel()
            for sign in (1, -1):
                order = np.argsort(-sign * delta)
                chosen.append(set(order[: max(int((sign * delta >= 0.1).sum()), 4)].tolist()))
        shares = [len(chosen[n] & chosen[n + 2]) / min(len(chosen[n]), len(chosen[n + 2])) for n in (0, 1)]
        brute.add(round(sum(shares) / 2, 9))
    assert {round(float(share), 9) for share in found} == brute


def test_too_few_blocks_are_not_tested() -> None:
    for blocks in (2, FEWEST - 1):
        assert shared(*activities(0, blocks=blocks), 0.1, 20) is None
    assert shared(*activities(0, blocks=FEWEST), 0.1, 20) is not None
    high, low = activities(0)
    high.tokens[1::2] = 0
    assert shared(high, low, 0.1, 20) is None, "a half without a token"


# --- what is read


@pytest.fixture(scope="module", params=["packed", "plain"])
def untrained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HuggingFace:
    """A random Llama of three layers."""
    folder = tmp_path_factory.mktemp("untrained")
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(CONFIGS["llama"]()).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    backend = HuggingFace(resolve(str(folder)), device="cpu", packed=request.param == "packed")
    assert backend.scorer.packed == (request.param == "packed")
    return backend


SAID = [
    Scene("Nice crowd tonight.", "I love it, and I know them all.", "I would rather go.", 0),
    Scene("What now?", "Let us dance!", "Let us dance!", 3),
    Scene("Nice weather.", "I know", "I know nothing of it, and I do not care.", 1),
    Scene("Hm", "Yes", "No.", 2),
]


def test_every_token_of_a_reply_is_counted_and_no_other(untrained: HuggingFace, tmp_path: Path) -> None:
    """Against one plain forward pass a reply, with gates computed from the weights."""
    bench = Bench(0, untrained, tmp_path / "controls", tmp_path / "cache")
    steps: list[int] = []
    bench.begin = lambda what, total: steps.append
    found, model = read(bench, SAID, TRAIT, 0.9, Bins()), untrained.model
    assert sum(steps) == 2 * len(SAID)
    for pole, activity in zip(("high", "low"), found, strict=True):
        every = []
        for scene in SAID:
            request = npti_reading._shown(TRAIT, scene.said, getattr(scene, pole))
            prompt = list(untrained.encode_prompt(request))
            ((reply,),) = untrained.renderer.options(request, untrained.prompt(request), tuple(prompt))
            gates = gates_of(model, [*prompt, *reply])[:, len(prompt) :]
            assert activity.tokens[scene.block] == len(reply) == gates.shape[1]
            assert (activity.positive[scene.block] == (gates > 0).sum(axis=1)).all()
            every.append(gates)
        assert activity.tokens.sum() == sum(gates.shape[1] for gates in every) and len(activity.tokens) == BLOCKS
        whole = np.concatenate(every, axis=1)
        assert np.allclose(activity.share(), (whole > 0).mean(axis=1))
        true = np.quantile(whole, 0.9, axis=1, method="inverted_cdf")
        assert np.allclose(activity.high, np.where(true >= 2.0**-10, true, 0), rtol=1.02 * Bins().error, atol=1e-5)
    assert not [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks]


@torch.inference_mode()
def gates_of(model: Any, tokens: list[int]) -> Any:
    """The gates (layers, tokens, width) of one text."""
    gates: list[Any] = []
    hooks = [
        layer.mlp.register_forward_pre_hook(
            lambda module, args: gates.append(torch.nn.functional.silu(args[0] @ module.gate_proj.weight.T)[0].numpy())
        )
        for layer in model.model.layers
    ]
    model(torch.tensor([tokens]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return np.stack(gates)


def test_the_same_reading_is_done_once(untrained: HuggingFace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(0, untrained, tmp_path / "controls", tmp_path / "cache")
    first = read(bench, SAID, TRAIT, 0.9, Bins())

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(HuggingFace, "along", refuse)
    again = read(bench, SAID, TRAIT, 0.9, Bins())
    assert all((a == b).all() for x, y in zip(first, again, strict=True) for a, b in zip(x, y, strict=True))
    for other in ([*SAID[:3], SAID[3]._replace(high="Yes!")], [*SAID[:3], SAID[3]._replace(block=4)]):
        with pytest.raises(AssertionError, match="the model was run"):
            read(bench, other, TRAIT, 0.9, Bins())


def test_a_reply_that_is_too_long_is_an_error(untrained: HuggingFace, tmp_path: Path) -> None:
    bench = Bench(0, untrained, tmp_path / "controls", tmp_path / "cache")
    with pytest.raises(BadData, match="positions"):
        read(bench, [Scene("Hm", "I know " * 3000, "No.", 0)], TRAIT, 0.9, Bins())


# --- scenes


def lines(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def row(scene: str, level: str, output: str = "x", trait: str = TRAIT) -> dict[str, str]:
    return {"trait": trait, "level": level, "scene": scene, "input": f"About {scene}?", "output": output}


def test_the_open_set_is_read_by_situation() -> None:
    found = scenes(TRAIT, "open", 450, 0, 0)
    assert (len(found.search), len(found.development), found.situations) == (216, 0, 24)
    names = {d.input: d.scene.rpartition("-")[0] for d in opened("open").dialogues}
    held: dict[str, set[int]] = {}
    for scene in found.search:
        held.setdefault(names[scene.said], set()).add(scene.block)
    assert len(held) == 24 and all(len(blocks) == 1 for blocks in held.values())
    halves = [[s for s in found.search if s.block % 2 == half] for half in (0, 1)]
    assert [len(half) for half in halves] == [108, 108]
    assert found == scenes(TRAIT, "open", 450, 0, 0)


def test_scenes_are_held_out_and_drawn_by_seed() -> None:
    one, two = (scenes(TRAIT, "open", 50, 8, seed) for seed in (0, 1))
    assert len(one.search) == 50 and len(one.development) == 8
    assert not {s.said for s in one.search} & {s.said for s in one.development}
    assert {s.said for s in one.search} != {s.said for s in two.search}
    more = scenes(TRAIT, "open", 60, 8, 0)
    assert {s.said for s in one.search} < {s.said for s in more.search} and more.development == one.development


@pytest.mark.parametrize("name", ["scene-{}", "{}", "s{}"])
def test_scenes_of_any_names_are_told_apart(name: str, tmp_path: Path) -> None:
    rows = [row(name.format(n), level, f"{level} {n}") for n in range(20) for level in ("high", "low")]
    found = scenes(TRAIT, lines(tmp_path / "d.jsonl", rows), 450, 0, 0)
    assert found.situations == 20 and len({s.block for s in found.search}) == 20
    assert all(s.high == s.low.replace("low", "high") for s in found.search)


BAD: dict[str, tuple[list[dict[str, str]], type[Exception], str]] = {
    "empty": ([], BadData, "holds no dialogue"),
    "one pole": ([row(str(n), "high") for n in range(9)], BadData, "extraversion has records at high only"),
    "lone": (
        [row(str(n), level) for n in range(9) for level in ("high", "low")] + [row("x", "low")], BadData,
        "unequal pairs: 1 of 19 records have no opposite",
    ),
    "other trait": (
        [row(str(n), level, trait="openness") for n in range(9) for level in ("high", "low")], BadData,
        "holds no dialogue on extraversion; it has openness",
    ),
    "few": (
        [row(str(n), level) for n in range(LEAST - 1) for level in ("high", "low")], BadData,
        f"7 scenes on extraversion.*expected {LEAST} at least",
    ),
    "unknown trait": ([row("1", "high", trait="extroversion")], UnknownName, "did you mean"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_dialogues_that_cannot_be_read_are_refused_before_the_model_is_loaded(fault: str, tmp_path: Path) -> None:
    rows, kind, match = BAD[fault]
    data = lines(tmp_path / "d.jsonl", rows)
    plan = Plan(
        model="nobody/has-it", method="npti", method_args={"data": data}, target=f"{TRAIT}=high",
        tasks=("mini_ipip",), output_path=str(tmp_path),
    )  # fmt: skip
    with pytest.raises(kind, match=f"(?s){match}"):
        prepare(plan)


def test_traits_without_dialogues_or_development_items_are_refused_with_the_cure(tmp_path: Path) -> None:
    dark = Target(levels={"narcissism": 1.0})
    assert NPTI().knows == frozenset(("openness", "conscientiousness", TRAIT, "agreeableness", "neuroticism"))
    with pytest.raises(BadData, match="open holds no dialogue on narcissism"):
        NPTI().check([dark])
    rows = [row(str(n), level, trait="narcissism") for n in range(20) for level in ("high", "low")]
    data = lines(tmp_path / "d.jsonl", rows)
    with pytest.raises(UnsupportedControl, match=r"(?s)none measures narcissism.*dev=questions"):
        NPTI(NPTI.Config(data=data)).check([dark])
    NPTI(NPTI.Config(data=data, dev="questions")).check([dark])
    NPTI(NPTI.Config(data=data, gamma=1.0)).check([dark])
    written = NPTI(NPTI.Config(search="generate", dev="questions"))
    assert written.knows == frozenset(own())
    written.check([dark])


def test_what_is_for_the_other_search_is_refused() -> None:
    for given in ({"questions": "own"}, {"max_tokens": 64}, {"preset": "paper"}, {"repetition_penalty": 1.1}):
        with pytest.raises(ValidationError, match=f"{next(iter(given))} is for search=generate"):
            NPTI.Config(**given)  # type: ignore[arg-type]
    with pytest.raises(TraitbenchUsage, match="search=generate"):
        prepare(Plan(model="nobody/has-it", method="npti", method_args={"questions": "own"}, tasks=("mini_ipip",)))


def test_the_preset_of_the_paper() -> None:
    how = NPTI.Config(search="generate", preset="paper", max_tokens=500).generation
    assert (how.questions, how.questions_per_pole, how.max_tokens, how.repetition_penalty) == ("scenes", 1000, 500, 1.1)
    drawn = NPTI(NPTI.Config(search="generate", preset="paper"))._draw(TRAIT, 0)
    assert len(drawn.search) == 1000 and len({pair.question for pair in drawn.search}) == 208


# --- planted neurons


class Place(NamedTuple):
    bench: Bench
    data: str


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HuggingFace:
    return HuggingFace(resolve(str(build(tmp_path_factory.mktemp("planted")))), device="cpu")


@pytest.fixture
def place(model: HuggingFace, tmp_path: Path) -> Place:
    """Twenty scenes: replies of the high pole are made of its words and end in h4 h5 h6, those of the low likewise."""
    words, draw = {pole: sorted(mine) for pole, mine in pole_words().items()}, random.Random(0)
    rows = [
        {**row(str(n), pole), "input": question,
         "output": " ".join([*draw.sample(words[pole], 8), *(f"{pole[0]}{k}" for k in (4, 5, 6))])}
        for n, question in enumerate(own()[TRAIT].questions[:20])
        for pole in ("high", "low")
    ]  # fmt: skip
    bench = Bench(0, model, tmp_path / "controls", tmp_path / "cache")
    return Place(bench, lines(tmp_path / "d.jsonl", rows))


def fit(place: Place, target: Target = HIGH, **config: Any) -> Control:
    given = {"data": place.data, "threshold": 0.6, "least": 0, "dev": "questions", "max_perplexity": 1e9, **config}
    return NPTI(NPTI.Config(**given)).fit(target, place.bench)


def stored(control: Control) -> dict[str, set[int]]:
    held = controls.arrays(control)
    assert {edit.layer for edit in control.edits} == {1}
    return {edit.op: set(held[edit.units or ""].tolist()) for edit in control.edits}


@pytest.mark.parametrize(("target", "mine", "other"), [(HIGH, "high", "low"), (LOW, "low", "high")])
def test_planted_neurons_are_found_by_reading(place: Place, target: Target, mine: str, other: str) -> None:
    control = fit(place, target)
    assert stored(control) == {"add": PLANTED[mine], "clamp": PLANTED[other]}
    assert control.fit is not None and control.fit.strength
    assert all((p.effect or 0) > 0 for p in control.fit.curve) and len(control.fit.curve) == 5
    details = control.fit.details["traits"][TRAIT]
    assert details["scenes"] == 12 and details["tokens"] == {"high": 132, "low": 132}
    assert details["stability"]["high"]["share"] == 1.0 > details["stability"]["high"]["share_by_chance"]
    assert details["data"]["digest"] == opened(place.data).digest
    find = control.fit.find
    assert find is not None and find.found and find.observed == 1.0 and find.draws == 999
    assert find.on == "two halves of 12 scenes of 12 situations"
    assert control.fit.licence == "that of the file's owner" and control.fit.fitted_on == ()


def test_both_poles_rest_on_one_test_and_one_reading(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    high = fit(place, HIGH, gamma=1.0)
    monkeypatch.setattr(HuggingFace, "along", lambda *_, **__: pytest.fail("the model was run"))
    low = fit(place, LOW, gamma=1.0)
    assert high.fit is not None and low.fit is not None and high.fit.find == low.fit.find
    assert high.fit.details["traits"][TRAIT]["scenes"] == 20, "a gamma that is given holds nothing out"


def test_items_choose_gamma_unless_told_otherwise(place: Place) -> None:
    assert NPTI.Config().dev == "items" and NPTI.Config().search == "dialogues"
    control = fit(place, dev="items", gammas=(1.0, 2.0))
    items = {item.text_hash for item in place.bench.halves()[1] if item.trait == TRAIT}
    assert control.fit is not None and set(control.fit.fitted_on) == items


def test_items_that_stand_in_the_dialogues_are_told(place: Place, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in Path(place.data).read_text().splitlines()]
    item = next(i for i in place.bench.inventory().items if i.trait == TRAIT and len(i.text.split()) > 3)
    rows[0]["output"] += f" {item.text}"
    control = fit(Place(place.bench, lines(tmp_path / "leak.jsonl", rows)), gamma=1.0)
    assert control.fit is not None and item.text_hash in control.fit.fitted_on


def test_noise_in_a_model_is_called_nothing(model: HuggingFace, tmp_path: Path) -> None:
    """A hundred searches in which both poles say words of one urn: seven at most are taken for something."""
    words, false = sorted(set().union(*pole_words().values())), 0
    for seed in range(100):
        draw = random.Random(seed)
        said = [Scene("Why?", *(" ".join(draw.choices(words, k=8)) for _ in "hl"), n) for n in range(16)]  # type: ignore[arg-type]
        bench = Bench(seed, model, tmp_path / "controls", tmp_path / "cache")
        false += p_of(*read(bench, said, TRAIT, 0.95, Bins(digits=1)), seed) <= 0.05
    assert false <= 7


# --- counting


def test_a_tally_counts_by_block_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    values, blocks = torch.tensor(rng.normal(size=(300, 5)), dtype=torch.float32), torch.tensor(rng.integers(0, 4, 300))
    tally = Tally(1, 5, Bins(), 4)
    for some in torch.randperm(300).split(37):
        tally.take(0, values[some], blocks[some])
    found = tally.activity(0.95)
    assert found.positive.dtype == np.uint16 and found.tokens.sum() == 300
    for block in range(4):
        assert (found.positive[block, 0] == (values[blocks == block] > 0).sum(0).numpy()).all()
    half = found.share(1)
    assert np.allclose(half[0], (values[blocks % 2 == 1] > 0).float().mean(0).numpy())
