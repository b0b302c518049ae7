"""`traitbench ls KIND NAME`: every option of everything that has a name, from one source, as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Literal

import pytest
from pydantic import Field

from traitbench import tasks
from traitbench.backends import BACKENDS
from traitbench.backends.models import SHORT_NAMES
from traitbench.cli import main
from traitbench.cli.configuration import pairs
from traitbench.cli.listing import detail, detail_tables, list_tables, listing
from traitbench.cli.options import options
from traitbench.errors import BadData, UnknownName, UnsupportedControl
from traitbench.methods import METHODS
from traitbench.tables import markdown
from traitbench.tasks import Administration
from traitbench.types import Record, Write


class Base(Record):
    many: tuple[float, ...] = Field(default=(1.0, 2.0), min_length=1)
    """Several; None is not
    one of them."""


class Example(Base):
    word: Literal["one", "each"] = "one"
    """A word."""
    some: int | None = Field(default=None, ge=1, le=6)
    """A number; None chooses."""
    either: tuple[int, ...] | int | None = None
    yes: bool = True
    text: str = ""
    must: float


def test_fields_are_told_as_they_are_typed() -> None:
    found = {o.name: (o.kind, o.default, o.meaning) for o in options(Example)}
    assert found == {
        "word": ("one | each", "one", "A word."),
        "some": ("whole number >= 1, <= 6 | null", "null", "A number; null chooses."),
        "either": ("list of whole numbers | whole number | null", "null", ""),
        "yes": ("true | false", "true", ""),
        "text": ("text", '""', ""),
        "must": ("number", "needed", ""),
        "many": ("list of numbers (1 or more)", "[1.0, 2.0]", "Several; null is not one of them."),
    }
    assert list(found)[-1] == "many"  # inherited: after its own
    assert [o.name for o in options(Example, ("many", "yes"))] == ["yes", "many"]


RECORDS = [(f"method {name}", METHODS.load(name).Config) for name in METHODS.shipped]
RECORDS += [(f"backend {name}", BACKENDS.load(name).Arguments) for name in BACKENDS.shipped]
RECORDS += [("administration", Administration)]


@pytest.mark.parametrize(("name", "record"), RECORDS)
def test_every_option_is_explained_and_its_default_can_be_typed(name: str, record: type[Record]) -> None:
    found = options(record)
    assert {o.name for o in found} == set(record.model_fields)
    for option in found:
        assert len(option.meaning) > 5, f"{name}: say below {option.name} what it is"
        given = pairs(f"{option.name}={option.default}", "method_args")
        made: Any = record.model_validate(given)
        assert getattr(made, option.name) == getattr(record(), option.name)


NAMES = [(kind, name) for kind, rows in listing().items() for name, _ in rows]


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_whatever_is_listed_has_its_details(kind: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", kind, name]) == 0
    shown = capsys.readouterr().out
    found = detail(kind, name)
    assert found.about and name.rpartition(":")[2] in shown
    assert main(["ls", kind, name, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == found.model_dump(mode="json")
    assert main(["ls", kind, name, "--format", "markdown"]) == 0
    assert capsys.readouterr().out.strip() == "\n\n".join(map(markdown, detail_tables(found))).strip()
    if found.options:
        assert all(option.name in shown for option in found.options)


def test_a_method_says_what_it_makes_and_aims_at() -> None:
    residual = detail("methods", "residual")
    assert residual.facts["makes"] == "activations" and residual.facts["strength (--coefs)"] == "strength"
    assert residual.facts["backends"] == "hf, vllm"
    assert detail("methods", "prompting").facts["backends"] == "endpoint, hf, lm_eval, scripted, vllm"
    assert detail("methods", "none").facts["aims at"].startswith("nothing")


def test_a_task_says_what_it_asks() -> None:
    whole = detail("tasks", "ipip_neo_120")
    assert (whole.facts["items"], whole.facts["minus-keyed"], whole.facts["facets"]) == ("120", "55", "30")
    assert "Johnson" in whole.facts["citation"] and whole.facts["licence"]
    flags = {o.name: o.default for o in whole.options}
    assert flags["--scoring"] == "choice,statement" and "--gen_kwargs temperature=..." in flags
    assert "not shipped" in detail("tasks", "sd3").facts["texts"]
    free = detail("tasks", "persona_consistency")
    assert free.facts["target, if none is given"] == "characters" and len(free.options) == 4
    assert detail("tasks", "big_five").facts == {"tasks": "ipip_neo_120, bfi_44"}


@pytest.mark.parametrize("name", tasks.TASKS.shipped)
def test_a_task_heeds_fields_of_the_administration(name: str) -> None:
    assert {"limit"} <= set(tasks.TASKS.load(name).heeds) <= set(Administration.model_fields)


WRITTEN: dict[str, Any] = {"max_tokens": 9, "temperature": 0.7, "repetition_penalty": 1.3}
"""What --gen_kwargs takes, none of it the default."""


@pytest.mark.parametrize("field", WRITTEN)
@pytest.mark.parametrize("name", [*tasks.TASKS.shipped, "mini_ipip"])
def test_a_task_heeds_what_gen_kwargs_say_of_its_replies(name: str, field: str) -> None:
    grid = Administration(scoring=("generate",), **{field: WRITTEN[field]})
    try:
        (task,) = tasks.load(name, grid, [])
        written = [request for request in task.requests(0) if isinstance(request, Write)]
    except UnknownName:
        assert name == "questionnaire"
        return
    except UnsupportedControl:
        assert name == "robustness" and field not in tasks.TASKS.load(name).heeds
        return
    except BadData as error:
        assert "is not on this machine" in str(error) and field in tasks.TASKS.load(name).heeds
        return
    assert written and {getattr(request, field) for request in written} == {WRITTEN[field]}
    assert field in task.heeds


WRONG = {
    "methods residul": "unknown method 'residul'; did you mean 'residual'?",
    "tasks ipip_neo_12": "unknown task 'ipip_neo_12'; did you mean 'ipip_neo_120'?",
    "tasks questionnaire": "unknown task 'questionnaire'",
    "backends hff": "unknown backend 'hff'; did you mean 'hf'?",
    "models smolm2": "unknown model 'smolm2'; did you mean 'smollm2'?",
    "models scripted:persn": "unknown scripted respondent 'persn'; did you mean 'person'?",
}


@pytest.mark.parametrize("line", WRONG)
def test_an_unknown_name_suggests_the_nearest(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", *line.split()]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert WRONG[line] in said.err


def test_an_inventory_of_ones_own_has_details(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    item = {"id": "m1", "text": "Enjoy company", "scale": "E", "keyed": 1}
    mine = {"id": "mine", "licence": "CC0-1.0", "citation": "Me (2026)", "scales": {"E": "extraversion"},
            "response_scale": {"min": 1, "max": 2, "labels": ["No", "Yes"]}, "items": [item]}  # fmt: skip
    (tmp_path / "mine.json").write_text(json.dumps(mine))
    assert main(["ls", "tasks", "mine", "--include_path", str(tmp_path), "--format", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)["facts"]
    assert (facts["items"], facts["answers"], facts["citation"]) == ("1", "No · Yes", "Me (2026)")


@pytest.mark.parametrize("form", ["markdown", "json"])
def test_a_list_in_other_formats(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "models", "--format", form]) == 0
    out = capsys.readouterr().out
    rows = listing()["models"]
    if form == "json":
        assert json.loads(out) == {"models": [list(row) for row in rows]}
    else:
        assert out.strip() == markdown(list_tables({"models": rows})[0]).strip()
    assert all(name in out for name in SHORT_NAMES)


def test_help_imports_no_pydantic() -> None:
    script = (
        "import sys; from traitbench.cli import main; main(['--help']); main(['ls', '--help']); "
        "assert not {'pydantic', 'yaml', 'numpy', 'torch'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "NAME" in done.stdout


def test_lists_import_no_library_that_runs_models() -> None:
    script = (
        "import sys; from traitbench.cli import main; main(['ls']); main(['ls', 'lm_eval']); "
        "assert not {'torch', 'transformers', 'lm_eval', 'vllm'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "traitbench.backends.lm_eval:LMEval" in done.stdout
