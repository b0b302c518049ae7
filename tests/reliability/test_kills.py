"""Killed at any moment, a command that is repeated ends as if nothing had happened: bit for bit, but for the times."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from tiny_models import roomy
from torture import done, ended, files, left, size, spread, started, stopped

SCRIPTED = ["run", "--model", "scripted:person", "--model_args", "noise=0.2,person_sd=0.1", "--method", "prompting",
            "--target", "extraversion=high", "--bootstrap_iters", "20", "-o", "out"]  # fmt: skip
RUNS = {
    "questionnaire": [*SCRIPTED, "--tasks", "mini_ipip", "--respondents", "16"],
    "written": [*SCRIPTED, "--tasks", "mini_ipip", "--scoring", "generate", "--respondents", "8", "--repeats", "3",
                "--gen_kwargs", "temperature=1"],
    "behaviour": [*SCRIPTED, "--tasks", "robustness"],
}  # fmt: skip
TINY = ["--model", "model", "--method", "residual", "--target", "extraversion=high,neuroticism=low", "--device", "cpu",
        "--method_args", "layer=1", "-o", "out"]  # fmt: skip
ONE = "strengths=[0.5,1.0],max_perplexity=1000000000.0"
TRAINED = "lr=0.02,batch=4,scenes=4,held_out=0.5,warmup=0,match_steps=3,evaluations=3,find=false"
FITS = {
    "residual": "layer=1",
    "pas": "heads=2,alphas=[0,1],shuffles=19",
    "npti": "scenes=12,gammas=[0,1]",
    "persona_vectors": f"replies=dialogues,scenes=12,layers=[1],{ONE}",
    "sft": "preset=small,adapters=each,lr=0.001,batch=4,scenes=6,evaluations=6,find=false",
    "dpo": f"adapters=each,{TRAINED}",
    "bipo": f"layers=[1],{ONE},{TRAINED}",
    "p_tailor": f"experts=2,expert_rank=1,{TRAINED}",
    "persllm": "preset=small,per_kind=1,instructions=1,repeat=1,match_steps=3,lr=0.02,warmup=0,find=false",
}
"""Method -> arguments with which it fits an untrained model in seconds."""
IN_CI = ("residual", "sft")
CHECKPOINTED = ("sft", "dpo", "p_tailor", "persllm")
DRAW = random.Random(17)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder in which a run of RUNS took place that nobody stopped."""

    @cache
    def run(name: str) -> Path:
        place = tmp_path_factory.mktemp(name)
        assert done(RUNS[name], place).code == 0
        return place

    return run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roomy(tmp_path_factory.mktemp("tiny") / "model")


def killed_on_the_way(
    words: list[str], place: Path, pattern: str, moments: list[int], counts: Counter[str], what: str
) -> None:
    """Kill the command at each of `moments`, in bytes of the files that match, each time going on from there."""
    for moment in moments:
        if stopped(words, place, lambda moment=moment: size(place / "out", pattern) >= moment) is None:
            continue
        counts[f"kills of {what}"] += 1
        journal = next((place / "out").rglob("responses.jsonl"), None)
        counts["kills and resumes"] += 1
        counts["resumes with answers in the journal"] += journal is not None and journal.stat().st_size > 0
    found = done(words, place)
    assert found.code == 0, found


@pytest.mark.parametrize(("name", "many"), [("questionnaire", 40), ("written", 28), ("behaviour", 10)])
def test_a_killed_run_ends_as_if_it_had_not_been(
    tmp_path: Path, undisturbed: Callable[[str], Path], whole: bool, counts: Counter[str], name: str, many: int
) -> None:
    quiet, torn = undisturbed(name), tmp_path
    journal = size(quiet / "out", "responses.jsonl")
    moments = spread(DRAW, many if whole else 3, int(0.97 * journal))
    killed_on_the_way(RUNS[name], torn, "responses.jsonl", moments, counts, "run")
    # The samples and results are written at once, at the end.
    killed_on_the_way(RUNS[name], torn, "*samples_*", [1], counts, "run")
    assert left(torn / "out") == left(quiet / "out")


def test_a_killed_run_of_a_fitted_method_ends_as_if_it_had_not_been(
    tmp_path: Path, model: Path, whole: bool, counts: Counter[str]
) -> None:
    words = ["run", *TINY, "--tasks", "mini_ipip", "--bootstrap_iters", "20", "--scoring", "choice,statement"]
    quiet, torn = _places(tmp_path, model)
    assert done(words, quiet).code == 0
    moments = spread(DRAW, 8 if whole else 1, int(0.97 * size(quiet / "out", "responses.jsonl")))
    killed_on_the_way(words, torn, "responses.jsonl", moments, counts, "run with a fit in it")
    assert left(torn / "out") == left(quiet / "out")


@pytest.mark.parametrize("method", FITS)
def test_a_killed_fit_ends_as_if_it_had_not_been(
    tmp_path: Path, model: Path, whole: bool, counts: Counter[str], method: str
) -> None:
    """Killed when there are so many files, of the cache or of checkpoints, half written ones among them."""
    if not whole and method not in IN_CI:
        pytest.skip(f"`make torture` kills fits of {method} too")
    quiet, torn = _places(tmp_path, model)
    words = ["fit", "--model", "model", "--method", method, "--target", "extraversion=high", "--device", "cpu",
             "-o", "out", "--method_args", FITS[method]]  # fmt: skip
    seen = "checkpoint-*/*" if method in CHECKPOINTED else "*"
    process, most = started(words, quiet), 0
    while process.poll() is None:
        most = max(most, files(quiet, seen))
        time.sleep(0.001)
    assert ended(process).code == 0 and most
    hit = 0
    for moment in spread(DRAW, 4 if whole else 1, most):
        if stopped(words, torn, lambda moment=moment: files(torn, seen) >= moment) is not None:
            hit += 1
    counts[f"kills of fit, {method}"] += hit
    counts["kills and resumes"] += hit
    assert hit and done(words, torn).code == 0
    assert left(torn / "out") == left(quiet / "out")


def _places(tmp_path: Path, model: Path) -> tuple[Path, Path]:
    """Two folders with the model at one path: a local model is named by it."""
    for name in ("quiet", "torn"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model").symlink_to(model)
    return tmp_path / "quiet", tmp_path / "torn"


@pytest.mark.parametrize("verb", ["export", "leaderboard"])
def test_a_killed_export_or_leaderboard_ends_as_if_it_had_not_been(
    tmp_path: Path, undisturbed: Callable[[str], Path], whole: bool, counts: Counter[str], verb: str
) -> None:
    made = undisturbed("questionnaire")
    folder = next((made / "out").iterdir())
    if verb == "leaderboard":
        assert done(["export", str(folder), "--to", str(made / "shelf")], made).code == 0
    words = {
        "export": ["export", str(folder), "--to", "out"],
        "leaderboard": ["leaderboard", "--published", str(made / "shelf"), "--output_path", "out"],
    }[verb]
    quiet, torn = tmp_path / "quiet", tmp_path / "torn"
    for place in (quiet, torn):
        (place / "out").mkdir(parents=True)
    assert done(words, quiet).code == 0
    whole_size, tries, hit = size(quiet / "out", "*"), 0, 0
    while hit < (6 if whole else 1) and tries < 60:
        tries += 1
        moment = DRAW.randrange(1, whole_size)
        if stopped(words, torn, lambda moment=moment: size(torn / "out", "*") >= moment) is not None:
            hit += 1
        if done(words, torn).code == 0:
            assert left(torn / "out") == left(quiet / "out")
            shutil.rmtree(torn / "out")
            (torn / "out").mkdir()
    assert hit, "the command was never caught while it wrote"
    counts[f"kills of {verb}"] += hit
    counts["kills and resumes"] += hit


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_twice_it_says_so_in_a_line_and_goes_on_from_there(
    tmp_path: Path, undisturbed: Callable[[str], Path], whole: bool, counts: Counter[str], number: int
) -> None:
    quiet, torn = undisturbed("questionnaire"), tmp_path
    journal = size(quiet / "out", "responses.jsonl")
    for moment in spread(DRAW, 6 if whole else 1, int(0.9 * journal)):
        at = lambda moment=moment: size(torn / "out", "responses.jsonl") >= moment  # noqa: E731
        found = stopped(RUNS["questionnaire"], torn, at, [number, number])
        assert found is not None and found.code in (128 + number, -number)
        if found.code > 0:
            assert found.err.splitlines()[-1].startswith("error: interrupted; what was answered is kept")
        counts["interrupted twice"] += 1
    assert done(RUNS["questionnaire"], torn).code == 0
    assert left(torn / "out") == left(quiet / "out")
