"""Judged runs from end to end: kinds of judges, what they are told, pairs, resuming, and what is refused when."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_server import Server
from replies_task import Replies, RepliesBlock
from safetensors.torch import load_file, save_file

from traitbench.backends.models import resolve
from traitbench.errors import BadData, TraitbenchUsage, Unreachable, UnsupportedControl
from traitbench.judges import named
from traitbench.judges.calibration import calibrate
from traitbench.judges.families import family
from traitbench.judges.grading import grade
from traitbench.judges.pairs import drawn, outcome, tables
from traitbench.runs.finished import rescore
from traitbench.runs.results import Results
from traitbench.samples import Sample
from traitbench.store import read_lines
from traitbench.tasks import Administration

Judged = Callable[..., tuple[Results, Path]]
Start = Callable[[bool], Server]


def samples(path: Path) -> list[Sample]:
    (file,) = path.parent.glob("samples_replies_*.jsonl")
    return read_lines(file, Sample)


def generations(server: Server) -> Counter[str]:
    """How often each reply was asked for; what finds out what a server can do is left out."""
    return Counter(str(body["messages"]) for _, body, _ in server.seen if body.get("max_tokens") == 80)


def test_servers_with_and_without_log_probabilities_judge_alike(judged: Judged, judges: Start) -> None:
    shown, mute = judges(True), judges(False)
    args = {"endpoint:shown.base_url": shown.url, "endpoint:mute.base_url": mute.url, "retries": 0}
    results, path = judged(("endpoint:shown", "endpoint:mute", "planted:honest"), args)
    cards = results.judges
    assert cards["endpoint:shown"]["verdicts"] == "option probabilities"
    assert cards["endpoint:mute"]["verdicts"] == "written, no distribution"
    assert cards["endpoint:mute"]["families"] == {"judge": None, "subject": None}
    assert cards["endpoint:mute"]["prompts"] != cards["endpoint:shown"]["prompts"]
    rows = samples(path)
    for judge, (high, low) in {
        "endpoint:shown": (4, 1),
        "endpoint:mute": (4, 1),
        "planted:honest": (4.2, 0.8),
    }.items():
        for condition, level in {"openness=high": high, "openness=low": low, "extraversion=low": low}.items():
            mine = [r for r in rows if (r.judge, r.condition, r.against) == (judge, condition, None)]
            assert len(mine) == 16 * 2 and {row.status for row in mine} == {"valid"}
            assert all(row.value_raw == pytest.approx(level, abs=0.11) for row in mine)
    assert not any(row.option_mass for row in rows if row.judge == "endpoint:mute")
    assert all(row.option_mass and row.option_mass > 0.9 for row in rows if row.judge == "endpoint:shown")
    # No judge is told whose a reply is.
    for _, body, _ in [*shown.seen, *mute.seen]:
        said = str(body["messages"])
        assert not any(word in said for word in ("HIGH", "LOW", "baseline", "openness=", "endpoint:writer", "poles@"))
    # What judges cost is theirs, not the model's.
    assert results.cost["input_tokens"] == 7 * 3 * 16 and cards["endpoint:mute"]["cost"]["input_tokens"] > 0
    assert rescore(path).tasks == results.tasks


def test_pairs_are_asked_in_both_orders_and_summed_up(judged: Judged) -> None:
    results, path = judged(("planted:honest", "planted:first"))
    block = results.tasks["replies"]
    assert isinstance(block, RepliesBlock)
    found = {(one.judge, one.trait): one for one in block.pairs}
    assert set(found) == {(judge, trait) for judge in results.judges for trait in Replies.traits}
    honest, first = found["planted:honest", "openness"], found["planted:first", "openness"]
    # Eight places each: high and low, high and baseline, baseline and low.
    assert honest.pairs == 24 and honest.verdicts == 48 and honest.missing == honest.abstained == 0
    assert (honest.high.value, honest.flips.value, honest.position.value) == (1, 0, 0)
    assert (first.high.value, first.flips.value, first.position.value) == (0.5, 1, 0.5)
    order = sorted(honest.strengths, key=lambda name: -honest.strengths[name].value)
    assert order == ["openness=high", "baseline", "openness=low"]
    assert honest.odds and honest.odds.value > 2 and first.odds and abs(first.odds.value) < 0.1
    assert first.position.level == "not interpretable" and honest.position.level is None
    rows = [row for row in samples(path) if row.against is not None]
    assert set(Counter((r.judge, r.item, r.condition, r.against) for r in rows).values()) == {2}
    assert {row.trait for row in rows} == set(Replies.traits) and all(outcome(row) for row in rows)
    (table,) = tables(block.pairs)
    assert len(table.rows) == 4 and tables([]) == []


def test_a_judge_that_breaks_off_loses_nothing(judged: Judged, judges: Start, writer: Server) -> None:
    server = judges(True)
    args = {"base_url": server.url, "retries": 0, "give_up": 1, "concurrency": 1}
    server.fault = lambda number, path, body: "500" if number >= 60 else None
    with pytest.raises(Unreachable, match="What it answered is kept: the same command goes on"):
        judged(("endpoint:judge",), args)
    # The model has written all of its replies by then: two instructions and none, 16 questions.
    assert len(generations(writer)) == 3 * 16
    assert len(server.seen) >= 60
    server.fault = None
    results, path = judged(("endpoint:judge",), args)
    told = Counter(str(body["messages"]) for _, body, fault in server.seen if fault is None and "You rate" in str(body))
    assert max(told.values()) == 1 and set(generations(writer).values()) == {1}
    assert {row.status for row in samples(path)} == {"valid"} and results.n_failed == {"replies": 0}


def test_another_judge_rates_what_was_written(judged: Judged, writer: Server) -> None:
    _, first = judged(("planted:honest",))
    _, second = judged(("planted:length",))
    assert first.parent == second.parent and set(generations(writer).values()) == {1}


def test_a_judge_that_cannot_be_reached_is_refused_before_anything_is_written(judged: Judged, writer: Server) -> None:
    with pytest.raises(Unreachable, match=r"the judge endpoint:none: cannot ask .*--judge_args base_url"):
        judged(("endpoint:none",), {"base_url": "http://127.0.0.1:9/v1", "retries": 0, "timeout": 1})
    assert writer.seen == []


@pytest.mark.parametrize(
    ("judge", "args", "error", "message"),
    [
        (("endpoint:writer",), {"base_url": "http://x/v1"}, UnsupportedControl, "is the model that is measured"),
        (("planted:honest", "planted:honest"), {}, TraitbenchUsage, "names planted:honest twice"),
        (("endpoint:a",), {"api_key": "sk-secret"}, TraitbenchUsage, "a key is not taken from the command line"),
    ],
)
def test_what_cannot_be_is_refused_before_a_folder_is_made(
    judged: Judged, tmp_path: Path, judge: tuple[str, ...], args: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        judged(judge, args)
    assert "sk-secret" not in str(raised.value) and not (tmp_path / "runs").exists()


def test_pairs_are_a_seeded_draw_of_places_that_both_have(judged: Judged, tmp_path: Path) -> None:
    results, path = judged(("planted:honest",))
    task = Replies(Administration())
    mine = [row for row in samples(path) if row.judge is None]
    by = {c.name: [row for row in mine if row.condition == c.name] for c in results.conditions}
    told = [(c, task.to_judge(by[c.name])) for c in results.conditions]
    one, other = (drawn(told, seed, pairs=4) for seed in (0, 1))
    assert one == drawn(told, 0, pairs=4) != other
    for trait, pairs in one.items():
        assert Counter((p.condition.name, p.against) for p in pairs) == {
            (f"{trait}=high", f"{trait}=low"): 4, (f"{trait}=high", "baseline"): 2, ("baseline", f"{trait}=low"): 2,
        }  # fmt: skip
        assert all(p.first.doc == p.second.doc and p.first.doc.trait == trait for p in pairs)
    gone = [(c, found[1:] if c.aim == "low" else found) for c, found in told]
    assert all(found[0].doc not in {p.first.doc for p in drawn(gone, 0)["openness"] if p.against == "openness=low"}
               for c, found in told if c.name == "openness=low")  # fmt: skip
    assert drawn([each for each in told if each[0].aim != "low"], 0) == {}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("smollm2", "smollm"), ("llama3", "llama"), ("qwen2.5", "qwen"), ("mistral", "mistral"), ("gemma3", "gemma"),
        ("gpt2", "gpt"), ("endpoint:gpt-4.1-mini", "gpt"), ("endpoint:o3-mini", "gpt"), ("phi4", "phi"),
        ("endpoint:claude-sonnet", "claude"), ("endpoint:some-model", None), ("endpoint:meta/Llama-3-Qwen", "llama"),
        ("mistralai/Mixtral-8x7B", "mistral"),
    ],
)  # fmt: skip
def test_families_go_by_names(name: str, found: str | None) -> None:
    assert family(resolve(name)) == found


def test_a_folder_without_a_telling_name_goes_by_its_config(tmp_path: Path) -> None:
    for place, config in {
        "a": '{"model_type": "qwen3"}',
        "b": '{"_name_or_path": "x/SmolLM2", "model_type": "llama"}',
    }.items():
        (tmp_path / place).mkdir()
        (tmp_path / place / "config.json").write_text(config)
        (tmp_path / place / "model.safetensors").write_text("")
    assert family(resolve(str(tmp_path / "a"))) == "qwen" and family(resolve(str(tmp_path / "b"))) == "smollm"


def test_a_copy_of_the_model_is_the_model(tmp_path: Path) -> None:
    from tiny_models import GQA, NO_IDS, saved
    from transformers import LlamaConfig

    own = saved(tmp_path / "own", LlamaConfig(**{**GQA, **NO_IDS}))
    copy, other = shutil.copytree(own, tmp_path / "copy"), saved(tmp_path / "other", LlamaConfig(**{**GQA, **NO_IDS}))
    weights = other / "model.safetensors"
    held = load_file(weights)
    save_file({name: value + 1 for name, value in held.items()}, weights, metadata={"format": "pt"})
    subject = resolve(str(own))
    assert "is the model that is measured" in str(named(str(copy), {}).refuses(subject))
    assert named(str(other), {}).refuses(subject) is None


def test_a_damaged_verdict_is_no_rating(judged: Judged) -> None:
    """As after somebody edited the journal: too few numbers, or a probability above one."""
    _, path = judged(("planted:honest",))
    row = next(sample for sample in samples(path) if sample.judge is not None)
    assert row.option_logprobs is not None and grade(row).status == "valid"
    for damaged in (row.option_logprobs[:2], [5.0] * len(row.option_logprobs)):
        with pytest.raises(BadData, match=r"expected one of each, none above 0: the run's responses.jsonl is damaged"):
            grade(row.model_copy(update={"option_logprobs": damaged}))


def test_weights_judge_on_the_backend_hf(tmp_path: Path) -> None:
    """An untrained model is a bad judge whose verdicts are had all the same; a reply too long for it is said."""
    import transformers
    from tiny_models import GQA, NO_IDS, saved

    def folder(positions: int) -> str:
        config = transformers.LlamaConfig(**{**GQA, **NO_IDS, "max_position_embeddings": positions})
        return str(saved(tmp_path / str(positions), config))

    def begin(what: str, total: int) -> Any:
        return lambda n: None

    judge = named(folder(4096), {})
    found = calibrate(judge, tmp_path / "kept", 1, 0, begin)
    assert judge.family == "llama" and found.card["verdicts"] == "option probabilities"
    assert found.failed == 0 and found.verdicts == 80 and "verdict_mass" in {fault.name for fault in found.faults}
    with pytest.raises(BadData, match=f"the judge {tmp_path}/512: .*512"):
        calibrate(named(folder(512), {}), tmp_path / "short", 1, 0, begin)
