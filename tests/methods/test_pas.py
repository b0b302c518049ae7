"""PAS: heads are found by agreement and not by letters, on arrays and in a model with a planted head; and what fails.

Over 300 lines: the planted model is built here, weight by weight.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from traitbench import controls, inventories
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.rendering import Renderer
from traitbench.cli.configuration import pairs
from traitbench.errors import BadData, UnsupportedControl
from traitbench.inventories import Item
from traitbench.methods.bench import Bench
from traitbench.methods.pas import PAS
from traitbench.methods.pas.contrasts import TRUE, WORDINGS, Contrasts, personas, record, record_personas
from traitbench.methods.pas.heads import AGREES, NEUTRAL, balance, classes, directions, parted, select, sided
from traitbench.methods.strengths import bounded
from traitbench.tasks import Administration
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.types import BIG_FIVE, Choose, Control, Mode, Person, Target

Array = NDArray[np.float64]
TRAIT = "extraversion"

# --- arrays


def names(n: int) -> list[str]:
    return [f"item {i}" for i in range(n)]


class Synthetic(NamedTuple):
    texts: Array
    labels: NDArray[np.int_]
    direction: Array
    letter: Array


def synthetic(planted: Sequence[int], heads: int = 30, items: int = 60, width: int = 8, seed: int = 0) -> Synthetic:
    """Noise, an effect of the item, a loud effect of the letter, and in the planted heads one of agreement."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, items)
    direction, letter = (v / np.linalg.norm(v) for v in draw.normal(size=(2, width)))
    texts = draw.normal(size=(heads, items, 4, width)) + draw.normal(size=(heads, items, 1, width))
    # E in forward and A in reverse order agree: the letter of the four texts is E, A, A, E.
    texts += 4 * np.array([1, -1, -1, 1])[:, None] * letter
    signs = np.where(classes(labels), 1, -1)
    texts[list(planted)] += 3 * signs[:, :, None] * direction
    return Synthetic(texts, labels, direction, letter)


def test_planted_heads_are_selected_and_no_letter() -> None:
    planted = (3, 17, 28)
    data = synthetic(planted)
    found = select(data.texts, data.labels, names(60), [0] * 60, keep=3)
    assert sorted(found.chosen) == sorted(planted)
    assert found.validation[list(planted)].min() > 0.9 > 0.75 > np.delete(found.validation, planted).max()
    assert (found.directions @ data.direction > 0.95).all()
    assert np.allclose(np.linalg.norm(found.directions, axis=1), 1)
    across = data.letter - (data.letter @ data.direction) * data.direction
    assert np.abs(found.directions @ across).max() < 0.3, "four units of letter against three of agreement"


def test_direction_and_sigma_are_those_of_a_plain_sum() -> None:
    data = synthetic((0,), heads=2, items=12)
    weights = np.random.default_rng(1).uniform(0.5, 2, 12)
    unit, sigmas = directions(data.texts, data.labels, weights)
    for head in range(2):
        sums, total = {0: np.zeros(8), 1: np.zeros(8)}, {0: 0.0, 1: 0.0}
        for item in range(12):
            for text in range(4):
                side = int(AGREES[text] == (data.labels[item] == 1))
                sums[side] = sums[side] + weights[item] * data.texts[head, item, text]
                total[side] += weights[item]
        difference = sums[1] / total[1] - sums[0] / total[0]
        assert np.allclose(unit[head], difference / np.linalg.norm(difference))
        projected = data.texts[head].reshape(-1, 8) @ unit[head]
        times = np.repeat(weights, 4)
        mean = np.average(projected, weights=times)
        assert sigmas[head] == pytest.approx(np.sqrt(np.average((projected - mean) ** 2, weights=times)))


def test_sides_weigh_equally_however_many_items_they_have() -> None:
    sides = ["plus"] * 9 + ["minus"] * 3
    weights = balance(sides)
    assert weights.mean() == pytest.approx(1) and weights[:9].sum() == pytest.approx(weights[9:].sum())
    data = synthetic((0,), items=12)
    labels = np.array([1] * 9 + [0] * 3)
    unit, _ = directions(data.texts, labels, weights)
    agree, disagree = data.texts[:, :, AGREES].mean(axis=2), data.texts[:, :, ~AGREES].mean(axis=2)
    moved = agree - disagree
    expected = moved[:, :9].mean(axis=1) - moved[:, 9:].mean(axis=1)
    assert np.allclose(unit, expected / np.linalg.norm(expected, axis=1, keepdims=True))


def test_what_is_plain_agreement_is_taken_off_a_direction_only_where_it_is_the_larger_part() -> None:
    draw = np.random.default_rng(0)
    labels, yes = np.tile([1, 0], 30), np.eye(8)[1]
    texts = draw.normal(size=(3, 60, 4, 8))
    texts[:, :, :, 0] += np.where(classes(labels), 1, -1)
    # Items differ in how readily they are agreed with, and by chance those that are agreed with more so.
    readily = np.where(labels == 1, 1.0, 0.5)[:, None] * np.where(AGREES, 1, -1)
    for head, size in enumerate((0.0, 0.4, 8.0)):
        texts[head] += size * readily[:, :, None] * yes
    same = np.ones(60)
    stays, off = (directions(texts, labels, same, yes=kept)[0] for kept in (True, False))
    assert np.array_equal(stays[:2], off[:2]), "there the labels tell more than agreeing does"
    said = texts[:, :, AGREES].mean(axis=(1, 2)) - texts[:, :, ~AGREES].mean(axis=(1, 2))
    cosines = [abs(each @ v) / np.linalg.norm(v) for each, v in zip(off, said, strict=True)]
    assert abs(stays[2] @ yes) > 0.85 and cosines[2] < 1e-9 and off[2, 0] > 0.9
    one_sided = np.ones(60, dtype=int)
    assert np.array_equal(*(directions(texts, one_sided, same, yes=kept)[0] for kept in (True, False)))


def test_the_opposite_target_takes_the_same_heads_the_other_way() -> None:
    data = synthetic((3, 5))
    sides = ["plus", "minus"] * 30
    high = select(data.texts, data.labels, names(60), sides, keep=2)
    low = select(data.texts, 1 - data.labels, names(60), sides, keep=2)
    assert np.array_equal(high.chosen, low.chosen)
    assert np.allclose(high.shifts, -low.shifts)


def test_equals_go_by_layer_and_head() -> None:
    data = synthetic((4,), heads=6)
    data.texts[:] = data.texts[4]
    found = select(data.texts, data.labels, names(60), [0] * 60, keep=4)
    assert list(found.chosen) == [0, 1, 2, 3]


def test_a_split_keeps_one_text_on_one_side() -> None:
    texts = [f"item {i % 40}" for i in range(60)]
    strata = [i % 3 for i in range(60)]
    drawn = parted(texts, strata, 0.6, seed=1)
    assert all(drawn[i] == drawn[i + 40] for i in range(20)), "the twins"
    assert np.array_equal(drawn, parted(texts, strata, 0.6, seed=1))
    assert not np.array_equal(drawn, parted(texts, strata, 0.6, seed=2))
    alone = parted(names(100), [i % 2 for i in range(100)], 0.6, seed=0)
    assert alone.sum() == 60 and alone[::2].sum() == 30
    few = parted(names(4), [0, 0, 1, 1], 0.99, seed=0)
    assert few[:2].sum() == few[2:].sum() == 1, "some on either side of every stratum"
    assert parted(["a"], [0], 0.1, seed=0).tolist() == [True]


def test_one_sided_answers_are_fitted_too() -> None:
    """Whoever agrees with everything gives two classes all the same: agreeing and disagreeing answers."""
    data = synthetic((2,))
    texts = data.texts.copy()
    signs = np.where(AGREES, 1, -1)
    texts[2] += 3 * (signs - np.where(classes(data.labels), 1, -1))[:, :, None] * data.direction
    found = select(texts, np.ones(60, dtype=int), names(60), [0] * 60, keep=1)
    assert list(found.chosen) == [2] and found.directions[0] @ data.direction > 0.95


def test_heads_without_a_difference_are_an_error() -> None:
    with pytest.raises(BadData, match="same mean in every head"):
        select(np.ones((3, 10, 4, 2)), np.tile([0, 1], 5), names(10), [0] * 10)


def test_answers_take_sides_about_the_middle_of_their_scale() -> None:
    assert sided([1, 2, 3, 4, 5], 3).tolist() == [0, 0, NEUTRAL, 1, 1]
    assert sided([1, 2, 3, 4], 2.5).tolist() == [0, 0, 1, 1]


# --- faults of the published code


def test_keyed_values_read_as_agreement_turn_55_of_the_120_round() -> None:
    known, rest = Bench().known_split()
    draw = random.Random(0)
    for items, minus in ((known, 55), (rest, 93)):
        raw = [draw.choice((1, 2, 4, 5)) for _ in items]
        keyed = [6 - value if item.keyed == -1 else value for value, item in zip(raw, items, strict=True)]
        assert int((sided(raw, 3) != sided(keyed, 3)).sum()) == minus
    raw_labels = np.array([draw.randint(0, 1) for _ in known])
    wrong = np.array([1 - y if i.keyed == -1 else y for y, i in zip(raw_labels, known, strict=True)])
    draws = np.random.default_rng(0)
    texts = draws.normal(size=(1, 120, 4, 8))
    texts[0, :, :, 0] += np.where(classes(raw_labels), 1, -1)
    share = np.full(120, 1.0)
    right, bad = directions(texts, raw_labels, share)[0], directions(texts, wrong, share)[0]
    assert right[0, 0] > 0.97
    assert bad[0, 0] < 0.7, "1 - 2 * 55 / 120, a twelfth of the difference, is left, and all of the noise"


def test_a_text_on_both_sides_of_the_split_makes_noise_look_like_a_finding() -> None:
    draw = np.random.default_rng(0)
    labels = np.tile(draw.integers(0, 2, 40), 2)
    own = draw.normal(size=(10, 40, 1, 64))
    signs = np.where(AGREES, 1, -1)[:, None]
    texts = np.tile(own * signs, (1, 2, 1, 1)) + 0.1 * draw.normal(size=(10, 80, 4, 64))
    apart = select(texts, labels, names(80), [0] * 80, keep=1).validation
    together = select(texts, labels, [f"item {i % 40}" for i in range(80)], [0] * 80, keep=1).validation
    assert apart.mean() > 0.75 and abs(together.mean() - 0.5) < 0.12


# --- a model with a planted head

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONST, LETTER, SAID, ORDER, SIDE, THREE, TWO, PARITY, RESULT, DRIVE = range(10)
"""Places of the residual stream. The rest is noise."""
HIDDEN, COUNT, WIDTH, SIZE = 32, 4, 8, 20.0
PLANTED = (1, 2)
"""Layer and head."""


def spelling(statements: Sequence[str], listings: Sequence[str]) -> Any:
    """Make a tokenizer of bytes that takes a whole statement, and a whole list of options, as one token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    ends = ["<|im_start|>", "<|im_end|>"]
    inner.add_tokens([AddedToken(text, normalized=False) for text in (*ends, *listings, *statements)])
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|im_end|>")
    made.chat_template = CHATML
    return made


def weights(model: Any, tokens: int) -> None:
    """Write the circuit into the weights.

    Attention looks at all tokens alike. Layer 0 adds up letter, order and side of the item, each +1 or -1, and its MLP
    turns the sum of the three into their product. The planted head of layer 1 carries that product, which is 1 where
    the answer goes to the item's side, to RESULT; the MLP turns RESULT into a letter: product of RESULT, order, side.
    """
    first, second = model.model.layers
    for layer in (first, second):
        for part in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            part.weight.zero_()
        for part in (layer.self_attn.o_proj, layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.down_proj):
            part.weight.zero_()
        layer.self_attn.v_proj.weight.normal_(0, tokens / 10)
        layer.self_attn.v_proj.weight[:, [CONST, SAID, THREE, TWO, PARITY, RESULT, DRIVE]] = 0
    for norm in (
        *(n for la in (first, second) for n in (la.input_layernorm, la.post_attention_layernorm)),
        model.model.norm,
    ):
        norm.weight.fill_(SIZE / HIDDEN**0.5)
    carry, out = first.self_attn.v_proj.weight, first.self_attn.o_proj.weight
    carry[:3] = 0
    for n, place in enumerate((LETTER, ORDER, SIDE)):
        carry[n, place] = out[THREE, n] = tokens**0.5
        out[TWO, n] = tokens**0.5 * (place != LETTER)
    # s + 2 - 2 relu(s + 1) + 2 relu(s - 1) is the product of three signs with the sum s; nothing but at a letter.
    bent(first.mlp, [({SAID: 1.0}, {THREE: 1.0, CONST: 2 / SIZE}, 1.0)], PARITY)
    hinges = [
        ({THREE: 1.0, SAID: 10.0, CONST: (c - 10) / SIZE}, {CONST: 1 / SIZE}, w) for c, w in ((1, -2.0), (-1, 2.0))
    ]
    bent(first.mlp, hinges, PARITY, 1)
    layer, head = PLANTED
    assert layer == 1
    second.self_attn.v_proj.weight[head * WIDTH, :] = 0
    second.self_attn.v_proj.weight[head * WIDTH, PARITY] = tokens
    second.self_attn.o_proj.weight[RESULT, head * WIDTH] = 1
    # 2 relu(s - 1) + 2 relu(-s - 1) - 1 is the product of two signs with the sum s.
    bent(second.mlp, [({TWO: v, CONST: -1 / SIZE}, {RESULT: 1.0}, 2.0) for v in (1.0, -1.0)], DRIVE)
    bent(second.mlp, [({CONST: 1 / SIZE}, {RESULT: 1.0}, -1.0)], DRIVE, 2)


def bent(
    mlp: Any, units: Sequence[tuple[Mapping[int, float], Mapping[int, float], float]], to: int, at: int = 0
) -> None:
    """Write units that add weight * relu(gate) * up to a place; silu of 30 times a number is 30 times its relu."""
    for n, (gate, up, weight) in enumerate(units, at):
        for place, value in gate.items():
            mlp.gate_proj.weight[n, place] = 30 * value
        for place, value in up.items():
            mlp.up_proj.weight[n, place] = value / 30
        mlp.down_proj.weight[to, n] = weight


def listings() -> list[str]:
    labels = inventories.load("ipip_neo_300").response_scale.labels
    return ["\n".join(f"{s}. {text}" for s, text in zip("ABCDE", side, strict=True)) for side in (labels, labels[::-1])]


def planted(folder: Path, sides: Mapping[str, int]) -> HuggingFace:
    """Make a model that holds for some statements a side, +1 or -1, which only its planted head knows."""
    whole = inventories.load("ipip_neo_300")
    tokenizer = spelling([whole.statement(item) for item in whole.items], listings())
    asked = Questionnaire(whole, Administration(scoring=("choice",), limit=1)).requests(0)[0]
    renderer = Renderer(tokenizer)
    prompt = renderer.encode(renderer.render(asked.messages))
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=HIDDEN, intermediate_size=8, num_hidden_layers=2,
        num_attention_heads=COUNT, num_key_value_heads=COUNT, head_dim=WIDTH, max_position_embeddings=16384,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        weights(model, len(prompt))
        table, out = model.model.embed_tokens.weight, model.lm_head.weight
        table.normal_(0, 0.5)
        table[:, : DRIVE + 1] = 0
        table[:, CONST] = SIZE
        out.normal_(0, 0.01)
        signs = {"A": (LETTER, -1), "E": (LETTER, 1), listings()[0]: (ORDER, 1), listings()[1]: (ORDER, -1)}
        for text, (place, value) in signs.items():
            table[tokenizer.convert_tokens_to_ids(text), place] = value
        table[tokenizer.convert_tokens_to_ids(["A", "E"]), SAID] = 1
        out[tokenizer.convert_tokens_to_ids("E"), DRIVE] = 1
        out[tokenizer.convert_tokens_to_ids("A"), DRIVE] = -1
        for item in whole.items:
            token = tokenizer.convert_tokens_to_ids(whole.statement(item))
            table[token, SIDE] = sides.get(item.text_hash, 0)
            out[token, RESULT] = 0.2 * sides.get(item.text_hash, 0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return HuggingFace(resolve(str(folder)), device="cpu")


class Recording(Bench):
    """A bench that remembers under which controls the fold was asked, and what was told."""

    def __init__(self, *args: Any, **named: Any) -> None:
        self.asked: list[tuple[list[Item], Control | None]] = []
        self.told: list[str] = []
        super().__init__(*args, tell=self.told.append, **named)

    def values(self, items: Sequence[Item], scoring: Mode, control: Control | None, **named: Any) -> Array:
        self.asked.append((list(items), control))
        return super().values(items, scoring, control, **named)


def at(folder: Path, backend: HuggingFace) -> Recording:
    return Recording(backend=backend, folder=folder / "controls", cache=folder / "cache")


@pytest.fixture(scope="module")
def trait(tmp_path_factory: pytest.TempPathFactory) -> HuggingFace:
    """The model whose planted head knows the key of extraversion."""
    items = inventories.load("ipip_neo_300").scale_items(TRAIT)
    return planted(tmp_path_factory.mktemp("trait"), {item.text_hash: item.keyed for item in items})


def answers_of(seed: int = 0) -> dict[str, int]:
    """Answers to the 120 known items, four of five of which take a side."""
    draw = random.Random(seed)
    return {item.id: draw.choice((1, 2, 3, 4, 5)) for item in Bench().known_split()[0]}


@pytest.fixture(scope="module")
def someone(tmp_path_factory: pytest.TempPathFactory) -> HuggingFace:
    """The model whose planted head knows the sides that one person takes."""
    answers = answers_of()
    sides = {i.text_hash: int(np.sign(answers[i.id] - 3)) for i in Bench().known_split()[0]}
    return planted(tmp_path_factory.mktemp("someone"), sides)


def person(answers: Mapping[str, int] | None = None) -> Target:
    return Target(person=Person(id="p", inventory="ipip_neo_300", answers=dict(answers or answers_of())))


@pytest.mark.parametrize("pole", ["high", "low"])
@pytest.mark.parametrize("scoring", ["statement", "choice"])
def test_a_planted_trait_is_found_and_moved(trait: HuggingFace, tmp_path: Path, pole: str, scoring: str) -> None:
    bench, target = at(tmp_path, trait), Target.parse(f"{TRAIT}={pole}")
    control = PAS(PAS.Config(heads=1, alphas=(0, 2, 4), dev_scoring=scoring)).fit(target, bench)
    assert control.fit is not None and control.fit.strength
    ((layer, head, train, validation),) = control.fit.details["heads"]
    assert (layer, head) == PLANTED and train == validation == 1
    (edit,) = control.edits
    assert (edit.layer, edit.site, edit.op, edit.positions) == (1, "heads", "add", "all")
    assert edit.strength == control.fit.strength
    tensors = controls.arrays(control)
    assert tensors[edit.units or ""].tolist() == [*range(2 * WIDTH, 3 * WIDTH)]
    shift = tensors[edit.tensor or ""]
    assert np.sign(shift[0]) == (1 if pole == "high" else -1) and abs(shift[0]) > 0.9 * np.linalg.norm(shift)
    chosen = next(p for p in control.fit.curve if p.strength == control.fit.strength)
    assert chosen.effect == max(p.effect or 0 for p in control.fit.curve if (p.perplexity or 1) <= 2) > 0.1
    items = [item for item in bench.known_split()[0] if item.trait == TRAIT]
    before, after = (bench.values(items, "choice", c) for c in (None, control))
    keys = np.array([item.keyed for item in items]) * (1 if pole == "high" else -1)
    assert (keys * (after - before) > 0.5).all(), "items that were neither fitted nor chosen on, plus and minus"
    assert set(control.fit.fitted_on) == {i.text_hash for half in bench.halves() for i in half if i.trait == TRAIT}


def test_a_trait_that_the_model_does_not_hold_finds_no_perfect_head(trait: HuggingFace, tmp_path: Path) -> None:
    control = PAS(PAS.Config(heads=1, alpha=2.0)).fit(Target.parse("openness=high"), at(tmp_path, trait))
    assert control.fit is not None
    assert control.fit.details["heads"][0][3] < 0.9
    assert control.fit.strength == 2 and control.fit.curve == ()
    assert set(control.fit.fitted_on) == {i.text_hash for i in Bench().halves()[0] if i.trait == "openness"}


def test_a_fit_says_whether_it_found_anything_and_in_which_wording(trait: HuggingFace, tmp_path: Path) -> None:
    bench, method = at(tmp_path, trait), PAS(PAS.Config(heads=1, alpha=2.0))
    high, low = (method.fit(Target.parse(f"{TRAIT}={pole}"), bench).fit for pole in ("high", "low"))
    assert high is not None and low is not None
    assert high.find is not None and high.find.found and high.find.draws == 399
    assert high.find.observed == 1 > 0.95 > high.find.null[1] and "half that is fitted on" in high.find.on
    assert "accuracy of the 1 best heads" in high.find.statistic and "in the best wording" in high.find.statistic
    assert low.find == high.find
    assert high.details["wording"] == "symbol" and list(high.details["wordings"]) == list(WORDINGS)
    assert high.details["wordings"]["symbol"]["accuracy"] == 1 and high.details["wordings"]["symbol"]["p"] <= 0.05
    others = [method.fit(Target(levels={t: 1.0}), bench) for t in BIG_FIVE if t != TRAIT]
    nothing = [c for c in others if c.fit and c.fit.find and not c.fit.find.found]
    assert len(nothing) >= 3, "no head holds another trait; at 5 % two of four pass by chance once in 70 times"
    again = controls.read(bench.folder / nothing[0].hash)
    assert again.fit == nothing[0].fit and again.edits and again.edits[0].strength == 2, "it is made all the same"


@pytest.mark.parametrize("answer", WORDINGS)
def test_a_wording_can_be_asked_for(trait: HuggingFace, tmp_path: Path, answer: Any) -> None:
    bench = at(tmp_path, trait)
    fit = PAS(PAS.Config(heads=1, alpha=2.0, answer=answer, shuffles=19)).fit(Target.parse(f"{TRAIT}=high"), bench).fit
    assert fit is not None and fit.find is not None and fit.details["wording"] == answer
    assert list(fit.details["wordings"]) == [answer] and "best wording" not in fit.find.statistic
    assert fit.find.p == pytest.approx(fit.details["wordings"][answer]["p"]) and fit.find.draws == 19
    assert fit.find.observed == pytest.approx(fit.details["heads"][0][3], abs=1e-4), "of the head that is shifted"
    assert len(list(bench.cache.iterdir())) == 1, "no other wording was recorded"


def test_several_traits_share_one_control(trait: HuggingFace, tmp_path: Path) -> None:
    control = PAS(PAS.Config(heads=100, alpha=1.0)).fit(Target.parse(f"{TRAIT}=high,openness=low"), at(tmp_path, trait))
    assert [edit.layer for edit in control.edits] == [0, 1], "one edit a layer"
    assert control.fit is not None and len(control.fit.details["heads"]) == 2 * COUNT
    assert control.fit.parameters == 2 * COUNT * WIDTH


def test_a_person_is_found_and_the_fold_is_in_neither_prompt_nor_probes(someone: HuggingFace, tmp_path: Path) -> None:
    bench = at(tmp_path, someone)
    control = PAS(PAS.Config(heads=1, messages=False, alphas=(0, 1, 4))).fit(person(), bench)
    assert control.fit is not None and control.kinds == {"activations"}
    assert tuple(control.fit.details["heads"][0][:2]) == PLANTED
    missed = {p.strength: -(p.effect or 0) for p in control.fit.curve}
    assert control.fit.strength and missed[control.fit.strength] < 0.7 * missed[0]
    answers = answers_of()
    items = bench.known_split()[0]
    raw = np.array([answers[i.id] for i in items])
    before, after = (np.abs(bench.values(items, "choice", c) - raw).mean() for c in (None, control))
    assert after < 0.7 * before
    assert set(control.fit.fitted_on) == {i.text_hash for i in items}
    counts = [control.fit.details[k] for k in ("agree", "disagree", "neutral")]
    assert counts == [int((raw > 3).sum()), int((raw < 3).sum()), int((raw == 3).sum())]
    # The directions that alpha was chosen with come from the other items alone.
    fold, _ = bench.asked[0]
    others = {i.id: answers[i.id] for i in items if i not in fold}
    less = PAS(PAS.Config(heads=1, messages=False, alpha=1.0)).fit(person(others), bench)
    with_fold = PAS(PAS.Config(heads=1, messages=False, alpha=1.0)).fit(person(), bench)
    tried = [c for _, c in bench.asked[1:3] if c is not None]
    assert {c.contents for c in tried} == {less.contents} != {with_fold.contents}
    assert len(fold) == control.fit.details["fold"] == pytest.approx(24, abs=2)


def test_a_person_is_told_from_chance_outside_the_fold(someone: HuggingFace, tmp_path: Path) -> None:
    bench = at(tmp_path, someone)
    chosen = PAS(PAS.Config(heads=1, messages=False, alphas=(0, 4))).fit(person(), bench).fit
    assert chosen is not None and chosen.find is not None and chosen.find.p == 1 / 400
    assert chosen.find.on == "the person's answers, without the fold" and chosen.details["wording"] == "symbol"
    fixed = PAS(PAS.Config(heads=1, messages=False, alpha=4.0)).fit(person(), bench).fit
    assert fixed is not None and fixed.find is not None and fixed.find.on == "the person's answers"
    other = PAS(PAS.Config(heads=1, messages=False, alpha=4.0)).fit(person(answers_of(7)), bench).fit
    assert other is not None and other.find is not None and not other.find.found, "the model holds someone else"
    yes = PAS(PAS.Config(heads=1, messages=False, alpha=4.0)).fit(person(dict.fromkeys(answers_of(), 4)), bench).fit
    assert yes is not None and yes.find is not None and yes.find.p == 1 and yes.details["yes"] == pytest.approx(1)


def test_the_limit_holds_for_what_is_stored(someone: HuggingFace, tmp_path: Path) -> None:
    """Alpha is chosen with heads that lack the fold; those of all answers can do more harm at the same alpha."""
    bench, aim = at(tmp_path, someone), person(answers_of(1))
    settings: dict[str, Any] = {"heads": 8, "messages": False, "answer": "symbol", "shuffles": 19}
    alphas = (0.0, 2.0, 4.0)
    free = PAS(PAS.Config(**settings, alphas=alphas, max_perplexity=1e9)).fit(aim, bench)
    assert free.fit is not None and free.fit.strength
    chosen, after = free.fit.strength, bench.perplexity(free)
    before = next(point.perplexity for point in free.fit.curve if point.strength == chosen) or 1.0
    assert after > 1.02 * before and "stepped_down" not in free.fit.details
    limit = (before + after) / 2
    bench.told.clear()
    control = PAS(PAS.Config(**settings, alphas=alphas, max_perplexity=limit)).fit(aim, bench)
    stored = controls.read(bench.folder / control.hash)
    assert stored.fit is not None and stored.fit.strength and stored.fit.strength < chosen
    assert bench.perplexity(stored.at(stored.fit.strength)) <= limit
    assert {edit.strength for edit in stored.edits} == {stored.fit.strength}
    first = stored.fit.details["stepped_down"][0]
    assert first == {"strength": chosen, "perplexity": pytest.approx(after, abs=1e-3)}
    assert next(p for p in stored.fit.curve if p.strength == chosen).perplexity == pytest.approx(before)
    assert any("stepped down" in line for line in bench.told)
    fixed = PAS(PAS.Config(**settings, alpha=chosen, max_perplexity=limit)).fit(aim, bench)
    assert fixed.fit is not None and fixed.fit.strength == chosen, "an alpha that is asked for is taken as it is"
    assert "stepped_down" not in fixed.fit.details


def test_a_person_who_agrees_with_seventy_percent_is_not_steered_toward_yes(tiny: Any, tmp_path: Path) -> None:
    """In a model that was never trained the words of an answer are all there is, and yes is the one large direction."""
    bench = at(tmp_path, HuggingFace(resolve(str(tiny("llama"))), device="cpu"))
    items = bench.known_split()[0]
    draw = np.random.default_rng(0)
    answers = {item.id: 5 if agrees else 1 for item, agrees in zip(items, draw.random(120) < 0.7, strict=True)}
    texts = Contrasts("text").of(items, "ipip_neo_300", bench).reshape(3, 4, 120, 4, 8)
    said = texts[:, :, :, AGREES].mean(axis=(2, 3)) - texts[:, :, :, ~AGREES].mean(axis=(2, 3))
    for legacy in (False, True):
        settings: dict[str, Any] = {"heads": 6, "answer": "text", "alpha": 1.0, "shuffles": 19, "messages": False}
        control = PAS(PAS.Config(**settings, legacy=legacy)).fit(person(answers), bench)
        held, shift, yes = controls.arrays(control), np.zeros((3, 32)), np.zeros((3, 32))
        for edit in control.edits:
            places = held[edit.units or ""]
            shift[edit.layer, places] = held[edit.tensor or ""]
            yes[edit.layer, places] = said.reshape(3, 32)[edit.layer, places]
        cosine = float((shift * yes).sum() / np.linalg.norm(shift) / np.linalg.norm(yes))
        assert control.fit is not None
        told = control.fit.details["yes"]
        assert min(cosine, told) > 0.9 if legacy else max(abs(cosine), abs(told)) < 0.5, (legacy, cosine, told)


def test_a_strength_is_stepped_down_the_grid_until_it_keeps_the_limit(trait: HuggingFace, tmp_path: Path) -> None:
    bench = at(tmp_path, trait)
    control = PAS(PAS.Config(heads=8, alpha=1.0, shuffles=19)).fit(Target.parse(f"{TRAIT}=high"), bench)
    grid = (0.0, -3.0, 20.0, 5.0, 10.0)
    harm = {alpha: bench.perplexity(control.at(alpha)) for alpha in grid}
    assert 1 < harm[5.0] < harm[10.0] < harm[20.0], "a stronger shift does more harm to this model"
    limit = (harm[5.0] + harm[10.0]) / 2
    strength, told = bounded(control, 20.0, grid, limit, bench)
    assert strength == 5 and told["perplexity"] == pytest.approx(harm[5.0], abs=1e-4)
    assert [each["strength"] for each in told["stepped_down"]] == [20, 10]
    assert bounded(control, 20.0, grid, 1e9, bench) == (20, {"perplexity": pytest.approx(harm[20.0], abs=1e-4)})
    assert bounded(control, 20.0, (20.0, -3.0), limit, bench)[0] == 0, "never to the other side"
    assert bounded(control, -3.0, (*grid, -1.0), 1e-9, bench)[1]["stepped_down"][1]["strength"] == -1
    assert bounded(control, 0.0, grid, limit, bench) == (0, {})


def test_the_prompt_of_the_fold_leaves_its_items_out(someone: HuggingFace, tmp_path: Path) -> None:
    bench, whole = at(tmp_path, someone), inventories.load("ipip_neo_300")
    few = dict(list(answers_of().items())[:30])
    control = PAS(PAS.Config(alphas=(0, 2), turn="user")).fit(person(few), bench)
    for fold, tried in bench.asked:
        assert tried is not None and fold
        said = tried.messages[0].content
        assert not [i.id for i in fold if whole.statement(i) in said]
        assert sum(whole.statement(i) in said for i in whole.items if i.id in few) == 30 - len(fold)
    assert control.kinds == {"prompt", "activations"} and control.messages[0].role == "user"
    assert all(whole.statement(i) in control.messages[0].content for i in whole.items if i.id in few)
    assert control.at(0).kinds == {"prompt"} and control.at(2).edits[0].strength == 2
    assert controls.read(bench.folder / control.hash) == control


def test_a_strength_of_zero_keeps_the_edits(trait: HuggingFace, tmp_path: Path) -> None:
    control = PAS(PAS.Config(alpha=0.0)).fit(Target.parse(f"{TRAIT}=high"), at(tmp_path, trait))
    assert control.fit is not None and control.fit.strength == 0
    assert control.edits and {edit.strength for edit in control.edits} == {0.0}
    assert control.at(4).edits[0].strength == 4


# --- contrast activations


def by_hand(backend: HuggingFace, request: Choose, value: int) -> Array:
    """One text in one plain pass: (layers, width)."""
    prompt = backend.prompt(request)
    symbol = request.options[request.values.index(value)][0]
    return last(
        backend, [*backend.renderer.encode(prompt), *backend.tokenizer(symbol, add_special_tokens=False)["input_ids"]]
    )


def last(backend: HuggingFace, ids: Sequence[int]) -> Array:
    """Input of the output projection at the last of `ids`, in one plain pass: (layers, width)."""
    held: list[Any] = []
    hooks = [
        layer.self_attn.o_proj.register_forward_pre_hook(lambda _, args: held.append(args[0][0, -1].numpy()))
        for layer in backend.model.model.layers
    ]
    with torch.inference_mode():
        backend.model(torch.tensor([list(ids)]))
    for hook in hooks:
        hook.remove()
    return np.stack(held)


def test_contrasts_are_those_of_a_plain_forward(trait: HuggingFace) -> None:
    bench = Bench(backend=trait)
    items = bench.known_split()[0][:5]
    requests = bench.requests(items, "choice")
    found = record(requests, trait)
    assert found.shape == (5, 2, 2, 2, COUNT * WIDTH) and found.dtype == np.float32
    for n, request in enumerate(requests):
        assert isinstance(request, Choose)
        for answer, value in enumerate((5, 1)):
            assert np.allclose(found[n % 5, answer, n // 5], by_hand(trait, request, value), atol=1e-3)


def test_contrasts_of_the_options_texts_end_with_the_text(trait: HuggingFace, tmp_path: Path) -> None:
    bench = at(tmp_path, trait)
    items = bench.known_split()[0][:3]
    requests = bench.requests(items, "choice")
    found = Contrasts("text").of(items, "ipip_neo_300", bench).reshape(2, COUNT, 3, 2, 2, WIDTH)
    for n, request in enumerate(requests):
        prompt, ids = trait.prompt(request), trait.encode_prompt(request)
        for answer, text in enumerate(("Very Accurate", "Very Inaccurate")):
            whole = [*ids, *trait.renderer.answer(prompt, ids, text)]
            plain = last(trait, whole).reshape(2, COUNT, WIDTH)
            assert np.allclose(found[:, :, n % 3, answer, n // 3], plain, atol=1e-3)
    symbols = Contrasts().of(items, "ipip_neo_300", bench)
    assert len(list(bench.cache.iterdir())) == 2 and not np.allclose(symbols.ravel(), found.ravel(), atol=1e-3)


def test_contrasts_of_personas_are_those_of_a_plain_forward(trait: HuggingFace, tmp_path: Path) -> None:
    bench = at(tmp_path, trait)
    items, whole = bench.known_split()[0][:3], inventories.load("ipip_neo_300")
    found = Contrasts("persona").of(items, "ipip_neo_300", bench).reshape(2, COUNT, 3, 4, WIDTH)
    asked = personas(items, "ipip_neo_300", bench)
    for n, request in enumerate(asked):
        item, text = items[n // 4], n % 4
        assert request.messages[0].content == f"{TRUE[text // 2]}: {whole.statement(item)}"
        plain = last(trait, trait.encode_prompt(request)).reshape(2, COUNT, WIDTH)
        assert np.allclose(found[:, :, n // 4, text], plain, atol=1e-3)
    assert len({request.messages[1].content for request in asked}) == 2
    same = [asked[0], asked[1], asked[0], asked[1]]
    with pytest.raises(BadData, match="the same where it is true of somebody"):
        record_personas(same, trait)


def test_contrasts_are_recorded_once(trait: HuggingFace, tmp_path: Path) -> None:
    bench, held = at(tmp_path, trait), Contrasts()
    known = bench.known_split()[0]
    first = held.of(known[3:9], "ipip_neo_300", bench)
    (path,) = bench.cache.iterdir()
    assert first.shape == (2 * COUNT, 6, 4, WIDTH)
    when = path.stat().st_mtime_ns
    short = inventories.load("ipip_neo_120")
    again = [next(i for i in short.items if i.text_hash == item.text_hash) for item in known[3:9]]
    assert np.array_equal(Contrasts().of(again, "ipip_neo_120", bench), first), "the same texts of another inventory"
    assert path.stat().st_mtime_ns == when and len(list(bench.cache.iterdir())) == 1
    path.write_bytes(b"cut short")
    assert np.array_equal(held.of(known[3:9], "ipip_neo_300", bench), first), "held in memory"
    assert np.allclose(Contrasts().of(known[3:9], "ipip_neo_300", bench), first, atol=1e-5), "recorded again"
    Contrasts().of(known[:2] + bench.known_split()[1][:2], "ipip_neo_300", bench)
    assert len(list(bench.cache.iterdir())) == 2, "items of no common list have a file of their own"


def test_answers_that_cannot_be_told_apart_are_an_error(trait: HuggingFace, tmp_path: Path) -> None:
    bench = Bench(backend=trait)
    requests = bench.requests(bench.known_split()[0][:3], "choice")
    same = [r.model_copy(update={"options": (("A",),) * 5}) for r in requests if isinstance(r, Choose)]
    with pytest.raises(BadData, match="with the same tokens"):
        record(same, trait)
    blank = planted(tmp_path, {})
    with torch.no_grad():
        blank.model.model.embed_tokens.weight[:] = blank.model.model.embed_tokens.weight[0]
    with pytest.raises(BadData, match=r"in forward order: the activations .* are the same"):
        record(requests, blank)


# --- what cannot be fitted


def test_answers_without_a_side_leave_the_prompt_alone(someone: HuggingFace, tmp_path: Path) -> None:
    bench = at(tmp_path, someone)
    neutral = dict.fromkeys(answers_of(), 3)
    control = PAS().fit(person(neutral), bench)
    assert control.kinds == {"prompt"} and control.fit is not None
    assert "agrees or disagrees with 0 items" in control.fit.details["warning"]
    assert any("answers as a prompt" in line for line in bench.told)
    assert control.fit.strength is None and control.fit.parameters == 0
    with pytest.raises(BadData, match="nothing is left to make a control of"):
        PAS(PAS.Config(messages=False)).fit(person(neutral), bench)


def test_too_few_sides_for_a_fold_keep_alpha_at_zero(someone: HuggingFace, tmp_path: Path) -> None:
    bench = at(tmp_path, someone)
    sided_items = [i.id for i in bench.known_split()[0][:5]]
    control = PAS(PAS.Config(messages=False)).fit(person({name: 5 for name in sided_items}), bench)
    assert control.fit is not None and control.fit.strength == 0 and control.edits
    assert any("too few items to choose alpha" in line for line in bench.told)


@pytest.mark.parametrize("answers", [{"i1": 4, "no such item": 5}, {"i1": 9}])
def test_answers_that_do_not_fit_the_inventory(someone: HuggingFace, tmp_path: Path, answers: dict[str, int]) -> None:
    first = inventories.load("ipip_neo_300").items[0].id
    renamed = {first if name == "i1" else name: value for name, value in answers.items()}
    with pytest.raises(BadData, match=r"no such item|with 9"):
        PAS().fit(person(renamed), at(tmp_path, someone))


def test_a_trait_without_items_is_refused(trait: HuggingFace, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedControl, match="no items to fit narcissism on; it can aim at agreeableness"):
        PAS().fit(Target.parse("narcissism=high"), at(tmp_path, trait))


def test_a_model_that_cannot_be_looked_into_is_refused() -> None:
    with pytest.raises(UnsupportedControl, match="--backend hf"):
        PAS(PAS.Config(alpha=1.0)).fit(Target.parse(f"{TRAIT}=high"), Bench())


def test_every_hyper_parameter_can_be_typed() -> None:
    typed: Callable[..., PAS.Config] = PAS.Config
    assert typed(**pairs("alphas=[0,2,4.5],heads=8", "method_args")).alphas == (0, 2, 4.5)
    with pytest.raises(ValueError, match="alphas"):
        typed(alphas="none")
    with pytest.raises(ValueError, match="split"):
        typed(split=1)
