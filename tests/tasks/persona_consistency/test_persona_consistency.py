"""The task persona_consistency: its questions, its requests, and whole runs of it with and without a real model."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from quiet import Quiet
from tiny_models import tokenizer

from traitbench.backends.scripted import Scripted
from traitbench.cli.commands import main
from traitbench.errors import MissingExtra, UnsupportedControl
from traitbench.leaderboard import build
from traitbench.report import page
from traitbench.runs.aims import meant
from traitbench.runs.evaluate import evaluate
from traitbench.runs.finished import current, rescore
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import prepare
from traitbench.runs.publish import publish
from traitbench.runs.results import Results
from traitbench.runs.tables import tables
from traitbench.tables import markdown
from traitbench.targets import characters
from traitbench.tasks import Administration
from traitbench.tasks.persona_consistency import MAX_TOKENS, PersonaConsistency, questions
from traitbench.tasks.persona_consistency.consistency import ConsistencyBlock
from traitbench.tasks.persona_consistency.replies import denies
from traitbench.types import Continue, Request, Response, Write

pytest.importorskip("sacrebleu")

STYLED = {"method": "prompting", "method_args": {"style": "character"}}
NAME = "persona_consistency"


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z']+", text.lower()))


def test_questions_are_as_many_and_as_short_as_promised() -> None:
    held = questions()
    kinds = [q.kind for q in held.questions]
    assert (kinds.count("ordinary"), kinds.count("opinion"), len(held.premises)) == (8, 8, 10)
    asked = [w for q in held.questions for w in q.wordings] + [p.question for p in held.premises]
    assert len(set(asked)) == len(asked) and "CC0" in held.licence and "{question}" in held.ask
    common = words("a about and are do does for from how in is it like of on or should some that the their them they "
                   "think to what when where which who why with would you your")  # fmt: skip
    for question in held.questions:
        a, b = (words(w) - common for w in question.wordings)
        assert a and b and len(a & b) <= 1, (question.id, a & b)


def test_premises_deny_and_accept_at_the_same_length() -> None:
    for p in questions().premises:
        assert len(p.denial.split()) == len(p.acceptance.split()), p.id
        assert denies(p.denial) and not denies(p.acceptance)


def test_premises_are_foreign_to_every_character_that_ships() -> None:
    """What a premise turns on stands in no character's text."""
    keys = (
        "moon",
        "president",
        "olympic",
        "palace",
        "pilot",
        "seven children",
        "prison",
        "symphony",
        "surgeon",
        "deaf",
    )
    assert len(characters.names()) >= 4
    for p, key in zip(questions().premises, keys, strict=True):
        assert key in p.question.lower()
        for name in characters.names():
            character = characters.load(name)
            assert key not in " ".join((*character.knowledge, character.style)).lower(), (p.id, name)


def test_requests_are_the_same_for_everybody() -> None:
    task = PersonaConsistency(Administration())
    requests = task.requests(0)
    written, weighed = ([r for r in requests if isinstance(r, kind)] for kind in (Write, Continue))
    assert (len(written), len(weighed)) == (2 * 16 + 10, 2 * 10) and task.traits == ()
    assert (
        len({r.doc for r in requests}) == len(requests) == len({r.model_dump_json(exclude={"doc"}) for r in requests})
    )
    assert {r.max_tokens for r in written} == {MAX_TOKENS} and {r.temperature for r in written} == {0.0}  # type: ignore[union-attr]
    for request in requests:
        assert [m.role for m in request.messages] == ["user"]
    texts = {(r.doc.item, r.doc.template): r.messages[0].content for r in written}
    for q in questions().questions:
        assert all(texts[q.id, i].startswith(wording) for i, wording in enumerate(q.wordings))
    for request in weighed:
        assert isinstance(request, Continue)
        premise = next(p for p in questions().premises if p.id == request.doc.item)
        assert request.text == (premise.denial if request.doc.keyed == 1 else premise.acceptance)
        assert request.messages[0].content == texts[premise.id, 0]
    assert {r.doc.item for r in requests} == {i.id for i in task.items}


def test_limit_length_and_temperature_are_the_users() -> None:
    task = PersonaConsistency(Administration(limit=3, max_tokens=16, temperature=0.7))
    requests = task.requests(4)
    assert len(requests) == 2 * 3 + 3 + 2 * 3 and len(task.items) == 6
    assert {(r.max_tokens, r.temperature) for r in requests if isinstance(r, Write)} == {(16, 0.7)}
    assert task.requests(4) == requests
    seeds = [{r.seed for r in task.requests(seed) if isinstance(r, Write)} for seed in (4, 5)]
    assert len(seeds[0]) == len(seeds[1]) == sum(isinstance(r, Write) for r in requests) and not seeds[0] & seeds[1]


def test_without_sacrebleu_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traitbench.tasks.persona_consistency.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'traitbench\[lm-eval\]'"):
        PersonaConsistency(Administration())


def test_without_a_target_it_aims_at_every_character() -> None:
    tasks = [PersonaConsistency(Administration())]
    assert [meant(given, tasks) for given in ("all", None, "character:mina")] == ["characters"] * 2 + ["character:mina"]


def plan(folder: Path, **changes: Any) -> Plan:
    return Plan.model_validate({
        "model": "scripted:person", "output_path": str(folder), "bootstrap_iters": 50, "target": "characters",
        **STYLED, **changes,
    })  # fmt: skip


def test_a_character_is_measured_by_this_task_unless_another_is_named(tmp_path: Path) -> None:
    assert plan(tmp_path).tasks == plan(tmp_path, target="character:mina").tasks == (NAME,)
    assert plan(tmp_path, tasks=("mini_ipip",)).tasks == ("mini_ipip",)
    assert [t.name for t in prepare(plan(tmp_path, target=None, tasks=(NAME,))).targets if t] == [
        f"character:{name}" for name in characters.names()
    ]
    with pytest.raises(UnsupportedControl, match="cannot aim at character:"):
        prepare(plan(tmp_path, method_args={"style": "adjective"}))
    with pytest.raises(UnsupportedControl, match="takes no target"):
        prepare(plan(tmp_path, method="none", method_args={}))
    assert prepare(plan(tmp_path, method="none", method_args={}, target=None, tasks=(NAME,))).targets == []


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let scripted respondents speak: in words of the question, of the character and of the stage."""

    def answer(self: Scripted, request: Request) -> Response:
        target = self._control.target if self._control else None
        name = (target.character if target else None) or "nobody"
        if isinstance(request, Continue):
            return Response(loglik=-3.0 if (request.doc.keyed == 1) == (name != "nobody") else -9.0, tokens=6)
        place, who = request.doc, name.partition("@")[0]
        if place.trait == "false_premise":
            return Response(text="No, that was not me." if who != "nobody" else "It was fine.", tokens=7)
        own = " ".join(f"{part}-{place.item}-{n}" for part in (who, name, place.item) for n in range(4))
        return Response(
            text=f"{own} wording {place.template}", tokens=20, status="truncated" if "mina" in name else "valid"
        )

    monkeypatch.setattr(Scripted, "_answer", answer)
    monkeypatch.setattr(Scripted, "refuses", lambda *asked: None)


def block(results: Results) -> ConsistencyBlock:
    found = results.tasks[NAME]
    assert isinstance(found, ConsistencyBlock)
    return found


def run(made: Plan) -> tuple[Results, Path]:
    return evaluate(made, Quiet(), lambda line: None)


@pytest.mark.usefixtures("spoken")
def test_a_run_is_scored_again_without_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, path = run(plan(tmp_path))
    found = block(results)
    assert found.characters == [f"character:{name}" for name in characters.names()]
    assert found.intra.value and found.stage.value and found.inter.value
    assert found.intra.value > found.stage.value > found.inter.value
    assert found.denied_to_baseline.value == 1 and found.nats_to_baseline.value == pytest.approx(2)
    assert {row.name: row.truncated for row in found.rows}["character:mina"] == 32
    assert results.n_responses == {NAME: 5 * 62} and results.n_failed == {NAME: 0}
    assert results.n_samples == {NAME: {"original": 26, "effective": 26}} and results.contaminated == {}
    assert results.fits.keys() == set(found.characters) and results.across == {}
    assert rescore(path) == results and current(path.parent, print) == [path]
    assert main(["score", str(path.parent)]) == 0
    told = capsys.readouterr().out
    assert "Intra - Stage" in told and "Resistance to 10 false premises" in told and "Verdict" not in told
    assert "prompting (style=character" in told


@pytest.mark.usefixtures("spoken")
def test_it_is_no_instrument(tmp_path: Path) -> None:
    """No trait scores, no verdict, no row on the leaderboard, no figure."""
    results, path = run(plan(tmp_path, target="character:mina", limit=2))
    assert type(results.tasks[NAME]) is ConsistencyBlock and results.tasks.keys() == {NAME}
    measured = {name.partition(",")[0] for line in results.results.values() for name in line} - {"alias"}
    assert measured == {"intra", "denied", "nats"} and results.higher_is_better[NAME].keys() == measured
    assert list(results.results) == [NAME, f"{NAME}@character:mina"]
    row = block(results).rows[1]
    assert results.results[f"{NAME}@{row.name}"]["denied,generate"] == row.denied.value == 1
    assert results.entry(NAME, "x").metrics == results.entry(NAME, "x").rows == {}
    published = publish(path, tmp_path / "published")
    assert build(tmp_path / "published").entries == []
    rows = [json.loads(line) for line in gzip.open(next(published.parent.glob("samples_*.gz")), "rt", encoding="utf-8")]
    assert rows[0]["arguments"] == [] and rows[0]["resps"][0][0] and rows[0]["doc"] == {"id": "ordinary_1"}
    assert rescore(published).tasks == results.tasks
    html = page({path.name: results}, "one run")
    assert "Persona consistency and resistance" in html and "<figure" not in html


def test_traits_are_measured_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Scripted._answer

    def answer(self: Scripted, request: Request) -> Response:
        if request.doc.task == NAME and isinstance(request, Write):
            return Response(text="I have never been there.", tokens=6)
        return plain(self, request)

    monkeypatch.setattr(Scripted, "_answer", answer)
    monkeypatch.setattr(Scripted, "refuses", lambda *asked: None)
    results, path = run(plan(tmp_path, tasks=("mini_ipip", NAME), limit=4))
    alone, _ = run(plan(tmp_path / "alone", tasks=("mini_ipip",), limit=4))
    assert results.tasks["mini_ipip"] == alone.tasks["mini_ipip"]
    assert block(results).questions == 4 and NAME not in alone.tasks
    assert results.entry("mini_ipip", "x").metrics.keys() == alone.entry("mini_ipip", "x").metrics.keys()
    titles = [table.title for table in tables(results)]
    assert sum(NAME in title for title in titles) == 1 and any("Levels" in title for title in titles)
    assert rescore(path) == results and "NaN" not in path.read_text(encoding="utf-8")


def test_an_untrained_model_speaks_for_characters(tmp_path: Path) -> None:
    """The whole way with transformers: prompts, greedy replies, likelihoods, the command line."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=4096, initializer_range=0.2,
        bos_token_id=0, eos_token_id=3, pad_token_id=1,
    )  # fmt: skip
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    arguments = ["--method", "prompting", "--method_args", "style=character,words=180", "--target",
                 "character:ada@youth,ada@age", "--limit", "2", "--gen_kwargs", "max_tokens=6", "--device", "cpu",
                 "--output_path", str(tmp_path / "runs"), "--bootstrap_iters", "50"]  # fmt: skip
    assert main(["run", "--model", str(tmp_path / "model"), *arguments]) == 0
    (path,) = current(next((tmp_path / "runs").glob("*style=character*")), print)
    results = rescore(path)
    found = block(results)
    assert found.stage.value is not None and found.inter.value is None and found.questions == 2
    assert all(row.replies == 6 and row.failed == 0 and row.nats.value is not None for row in found.rows)
    baseline, youth, age = (row.nats.value for row in found.rows)
    assert len({baseline, youth, age}) == 3
    assert sum(row.truncated + row.empty for row in found.rows) > 0
    assert [markdown(table) for table in tables(results)]
