"""Whether a training found anything: planted labels are found, noise is not, the test is what it says it is."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.controls.adapters import adapter_digest
from traitbench.controls.wearing import worn
from traitbench.errors import TraitbenchUsage
from traitbench.methods import METHODS, dialogues
from traitbench.methods.bench import Bench
from traitbench.methods.dialogues import Dialogue
from traitbench.methods.training import example, finding, train, trainers
from traitbench.methods.training.recipes import Recipe
from traitbench.types import BIG_FIVE, Control, Message, Target

HIGH = Target(levels={"extraversion": 1.0})
QUICK: dict[str, Any] = {
    "lr": 0.02, "batch": 4, "epochs": 1, "warmup": 0, "held_out": 0.25, "adapters": "each", "find_steps": 6,
}  # fmt: skip
SAYS = ("I loves the crowd and makes plans.", "I worries or sees someone.")


def lines(
    scenes: int, planted: bool, traits: tuple[str, ...] = ("extraversion",), seed: int = 0
) -> list[dict[str, str]]:
    """Replies that differ by level or, in noise, by the toss of a coin."""
    draw, out = random.Random(f"noise {seed}"), []
    for n in range(scenes):
        for trait in traits:
            turned = not planted and draw.random() < 0.5
            for place, level in enumerate(("high", "low")):
                text = f"{SAYS[place ^ turned]} {trait[0]} {n % 3}"
                out.append({"trait": trait, "level": level, "scene": f"s{n}", "input": f"Who {n}?", "output": text})
    return out


@pytest.fixture
def data(tmp_path: Path) -> Callable[[list[dict[str, str]]], str]:
    def write(rows: list[dict[str, str]]) -> str:
        path = tmp_path / "dialogues.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def fit(name: str, bench: Bench, **config: Any) -> Any:
    kind: Any = METHODS.load(name)
    return kind(kind.Config(**{**QUICK, **config})).fit(HIGH, bench).fit


@pytest.mark.parametrize("name", ["sft", "dpo"])
def test_planted_labels_are_found(name: str, bench: Bench, data: Callable[..., str]) -> None:
    found = fit(name, bench, data=data(lines(24, True)))
    assert found.find.found and found.find.p == 1 / 64 and found.find.draws == 63
    assert found.find.observed > found.find.null[1] and found.find.on == "held-out scenes"
    told = found.details["find"]
    assert (told["steps"], told["scenes"]) == (5, 6), "the budget ends where the training itself does"
    assert len(set(told["trainings"])) == 2 and found.seconds > 0


def test_noise_is_not_found(bench: Bench, data: Callable[..., str]) -> None:
    assert not fit("dpo", bench, data=data(lines(24, False))).find.found
    found = [fit("sft", bench, data=data(lines(24, False, seed=seed))).find.found for seed in range(4)]
    assert sum(found) <= 1, "one of twenty is found by chance"


def test_the_test_keeps_its_level() -> None:
    """Of differences without direction, records of a scene hanging together, one of twenty is found."""
    scenes = [f"s{n}" for n in range(12) for _ in range(5)]
    count = 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        better = np.repeat(draw.standard_t(3, size=12), 5) + draw.normal(size=60)
        count += finding.tested(better, scenes, "x", seed).found
    assert count <= 200 * 0.05 + 2 * np.sqrt(200 * 0.05 * 0.95)


def test_of_labels_tossed_a_hundred_times_few_are_found(bench: Bench, data: Callable[..., str]) -> None:
    """Two trained adapters of which one writes better on the whole: what is held out has labels that say nothing."""
    ask = [Message(role="user", content="Who?")]
    rows, turned = (
        [example(bench.backend, ask, f"{SAYS[(n + other) % 2]} e {n}", 200) for n in range(12)] for other in (0, 1)
    )
    plan = Recipe(loss="sft", lr=(0.02,), batch=(2,), warmup=0, trial_steps=3, evaluations=1)
    full = train(bench, "full", plan, rows, rows)
    replies = [[example(bench.backend, ask, f"{text} a {n}", 200) for text in SAYS] for n in range(20)]
    known: dict[tuple[Path, tuple[int, ...]], float] = {}

    def score(at: Bench, folder: Path, asked: Any) -> Any:
        fresh = [row for row in asked if (folder, row.reply) not in known]
        if fresh:
            values = finding.likelihoods(at, folder, fresh, 8).tolist()
            known.update(((folder, row.reply), value) for row, value in zip(fresh, values, strict=True))
        return np.array([known[folder, row.reply] for row in asked])

    count, whole = 0, 0
    for seed in range(100):
        toss = random.Random(seed)
        pairs = [pair if toss.random() < 0.5 else pair[::-1] for pair in replies]
        right, wrong = zip(*pairs, strict=True)
        for other in (wrong, ()):
            read = finding.Held(right, other, [f"s{n}" for n in range(20)])
            found = finding.seek(bench, f"x {seed}", plan, full, rows, turned, rows, read, score=score).find
            assert found is not None
            if other:
                count += found.found
            else:
                whole += found.found or found.p > 0.95
    assert count <= 7
    assert whole > 50, "the right replies alone tell the adapters apart, not the labels"


def test_the_test_can_be_left_out_or_lack_scenes(
    bench: Bench, data: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []
    plain = trainers.run
    monkeypatch.setattr(trainers, "run", lambda b, what, *more: runs.append(what) or plain(b, what, *more))
    path = data(lines(24, True))
    off = fit("sft", bench, data=path, find=False)
    assert off.find is None and off.details["find"] == {"test": "left out (find=false)"} and len(runs) == 1
    few = fit("sft", bench, data=path, held_out=0.1)
    assert few.find is None and "2 scenes with a reply of each level are held out" in few.details["find"]["test"]
    assert len(runs) == 2, "nothing is trained for a test that cannot tell"
    with pytest.raises(TraitbenchUsage, match=r"persllm is not tested: .* takes no find_steps"):
        kind: Any = METHODS.load("persllm")
        kind(kind.Config(find_steps=3)).check([])


def test_p_is_that_of_all_signs(bench: Bench) -> None:
    """By brute force over 2 ** 5 signs of the scenes' means; records of a scene are averaged."""
    ask = [Message(role="user", content="Who?")]
    rows = [example(bench.backend, ask, f"I loves {n}.", 200) for n in range(6)]
    held, scenes = rows, ["a", "a", "b", "c", "d", "e"]
    plan = Recipe(loss="sft", lr=(0.02,), batch=(2,), warmup=0, trial_steps=2, evaluations=1)
    full = train(bench, "full", plan, rows, held)
    scores = iter([np.array([1.0, 0.0, 0.5, 0.25, 2.0, -0.25]), np.zeros(6)])
    read = finding.Held(held, (), scenes)
    sought = finding.seek(bench, "x", plan, full, rows, rows[::-1], held, read, score=lambda *given: next(scores))
    means = np.array([0.5, 0.5, 0.25, 2.0, -0.25])
    every = [float(np.mean(np.array(signs) * means)) for signs in product((1, -1), repeat=5)]
    assert sought.find is not None and sought.find.observed == pytest.approx(0.6)
    assert sought.find.p == pytest.approx(np.mean([value >= 0.6 - 1e-9 for value in every]))
    assert finding.seek(bench, "x", plan, full, rows, rows, held, read).find is None


def test_a_score_is_the_likelihood_under_the_adapter(bench: Bench) -> None:
    ask = [Message(role="user", content="Who sees the crowd?")]
    rows = [example(bench.backend, ask, "I do." * n, 200, "No one." * (4 - n)) for n in range(1, 4)]
    plan = Recipe(loss="dpo", lr=(0.02,), batch=(2,), warmup=0, evaluations=1)
    adapter = train(bench, "x", plan, rows, rows).adapter

    def total(prompt: tuple[int, ...], reply: tuple[int, ...]) -> float:
        with torch.no_grad():
            logs = bench.backend.model(torch.tensor([[*prompt, *reply]])).logits[0].double().log_softmax(-1)
        return float(logs[len(prompt) - 1 : -1].gather(1, torch.tensor(reply)[:, None]).sum())

    with worn(bench.backend.model, Control(adapter=adapter, weights=adapter_digest(adapter))):
        pairs = [total(row.prompt, row.reply) - total(row.prompt, row.rejected) for row in rows]
        alone = [total(row.prompt, row.reply) / len(row.reply) for row in rows]
    assert finding.likelihoods(bench, adapter, rows, 2) == pytest.approx(pairs, abs=1e-4)
    single = [row.model_copy(update={"rejected": ()}) for row in rows]
    assert finding.likelihoods(bench, adapter, single, 8) == pytest.approx(alone, abs=1e-4)


def test_half_of_the_scenes_of_a_trait_change_their_labels() -> None:
    rows = [Dialogue(**line) for line in lines(9, True, ("extraversion", "openness"))]
    rows.append(Dialogue(trait="openness", level="high", scene="alone", input="?", output="!"))
    turned = dialogues.relabelled(rows, 0)
    assert [(r.trait, r.scene, r.output) for r in turned] == [(r.trait, r.scene, r.output) for r in rows]
    for trait in ("extraversion", "openness"):
        changed = {a.scene for a, b in zip(rows, turned, strict=True) if a.trait == trait and a.level != b.level}
        assert len(changed) == 5 and "alone" not in changed
    assert dialogues.relabelled(rows, 0) == turned != dialogues.relabelled(rows, 1)
    assert sorted(dialogues.relabelled(turned, 0), key=str) == sorted(rows, key=str)


def test_p_tailor_folds_for_each_pole(planted: Path, tmp_path: Path, data: Callable[..., str]) -> None:
    backend = HuggingFace(resolve(str(planted)), device="cpu")
    bench = Bench(0, backend, tmp_path / "controls", tmp_path / "cache")
    kind: Any = METHODS.load("p_tailor")
    config = {"data": data(lines(20, True, BIG_FIVE)), "experts": 4, "expert_rank": 2, "embedding": 8, "lr": 0.05,
              "batch": 8, "match_steps": 40, "find_steps": 40, "warmup": 0, "held_out": 0.25}  # fmt: skip
    said = kind(kind.Config(**config)).fit(HIGH, bench).fit
    assert said.details["find"]["scenes"] == 5 and said.find.draws == 31
    assert said.find.found and said.find.p == 1 / 32
