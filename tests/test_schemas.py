"""The schemas that ship are those of the records, and a real run fits them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest

from traitbench import schemas
from traitbench.cli.commands import main
from traitbench.leaderboard import build
from traitbench.runs.publish import publish
from traitbench.store import read_json, write_json
from traitbench.tasks.block import Block
from traitbench.tasks.persona_consistency import PersonaConsistency
from traitbench.types import Record


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results file of a run with every scoring mode, respondents, two symbols and refusals."""
    out = tmp_path_factory.mktemp("runs")
    line = (
        "--model scripted:person --model_args obedience=0.2,noise=0.1,refusals=0.2 --tasks mini_ipip --limit 6 "
        "--method prompting --target extraversion=high,openness=0.5 --scoring choice,statement,generate "
        f"--symbols letters,numbers --respondents 2 --templates 2 --bootstrap_iters 20 -o {out}"
    )
    assert main(line.split()) == 0
    return next(out.glob("*/results_*.json"))


def check(name: str, value: Any) -> None:
    schema = json.loads(schemas.path(name).read_text("utf-8"))
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    kind(schema).validate(value)


@pytest.mark.parametrize("name", schemas.SCHEMAS)
def test_the_schema_that_ships_is_that_of_the_record(name: str) -> None:
    assert schemas.path(name).read_text("utf-8") == schemas.text(name), "type `make schemas`"


def test_a_results_file_fits_its_schema(run: Path) -> None:
    check("results", read_json(run))


def test_every_line_of_samples_fits_its_schema(run: Path) -> None:
    lines = next(run.parent.glob("samples_*.jsonl")).read_text("utf-8").splitlines()
    # 2 conditions x 2 templates x 2 respondents x 6 items x (1 statement + 2 modes x 2 symbols x 2 orders)
    assert len(lines) == 2 * 2 * 2 * 6 * 9
    schema = json.loads(schemas.path("samples").read_text("utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert {row["scoring"] for row in map(json.loads, lines)} == {"choice", "statement", "generate"}
    assert [line for line in lines if not validator.is_valid(json.loads(line))] == []


def test_published_files_and_the_leaderboard_fit_their_schemas(run: Path, tmp_path: Path) -> None:
    published = publish(run, tmp_path / "published")
    check("results", read_json(published))
    write_json(tmp_path / "leaderboard.json", build(tmp_path / "published").model_dump(mode="json"))
    check("leaderboard", read_json(tmp_path / "leaderboard.json"))


def test_a_block_of_another_kind_holds_what_it_likes(run: Path) -> None:
    raw = read_json(run)
    for field in ("tasks", "across"):
        raw[field]["mine"] = {"kind": "mine", "anything": [1, None]}
    check("results", raw)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: r.pop("tasks"),
        lambda r: r.update(extra=1),
        lambda r: r.update(date="now"),
        lambda r: r["tasks"]["mini_ipip"].pop("kind"),
        lambda r: r["tasks"]["mini_ipip"]["modes"]["choice"].pop("verdict"),
        lambda r: r["tasks"]["mini_ipip"].update(extra=1),
        lambda r: r["across"].update(multimethod={"kind": "multimethod", "extra": 1}),
    ],
)
def test_a_results_file_that_lacks_or_adds_a_key_does_not_fit(run: Path, spoil: Any) -> None:
    raw = read_json(run)
    spoil(raw)
    with pytest.raises(jsonschema.ValidationError):
        check("results", raw)


def test_records_of_one_name_are_not_taken_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Score(Record):
        other: int

    class Mine(Block):
        kind: Literal["mine"] = "mine"
        score: Score

    monkeypatch.setattr(PersonaConsistency, "block", lambda: Mine)
    with pytest.raises(ValueError, match="two records of the results are called Score"):
        schemas.text("results")
