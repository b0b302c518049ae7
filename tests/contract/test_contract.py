"""What every inventory, method and backend must keep to, and what an import may cost."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from traitbench import inventories
from traitbench.backends import APPLIES, BACKENDS
from traitbench.backends.backend import Backend
from traitbench.catalog import Catalog
from traitbench.errors import MissingExtra, UnknownName, UnsupportedControl
from traitbench.methods import METHODS
from traitbench.methods.bench import Bench
from traitbench.methods.method import Method
from traitbench.methods.prompting import STYLES
from traitbench.tasks import Administration
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.types import TRAITS, Choose, Continue, Control, Person, Target, Write

ROOT = Path(__file__).resolve().parents[2]
GRID = Administration(
    scoring=("choice", "statement", "generate"), symbols=("letters", "numbers"), templates=2, respondents=1, repeats=2,
)  # fmt: skip
RESTRICTED = [name for name in inventories.names() if inventories.load(name, texts=False).restricted]
PUBLIC = [name for name in inventories.names() if name not in RESTRICTED]
every_inventory = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.data if name in RESTRICTED else ()) for name in inventories.names()]
)


@pytest.fixture
def task(name: str, request: pytest.FixtureRequest) -> Questionnaire:
    """The task `name`; a restricted one needs the data folder."""
    if name in RESTRICTED:
        request.getfixturevalue("shared")
    return Questionnaire(inventories.load(name), GRID)


def test_some_of_both_kinds_ship() -> None:
    assert len(PUBLIC) >= 4 and len(RESTRICTED) >= 3


@every_inventory
def test_every_cell_of_the_grid_is_a_request_of_its_own(task: Questionnaire) -> None:
    requests = task.requests(0)
    grid = task.administration
    a_presentation = 1 + 2 * 2 * 1 + 2 * 2 * 2  # statement; choice; generate twice: by symbols and order
    assert len(requests) == len(task.items) * grid.templates * grid.respondents * a_presentation
    assert len({request.doc for request in requests}) == len(requests)
    assert len({request.model_dump_json(exclude={"doc"}) for request in requests}) == len(requests)
    assert task.requests(0) == requests
    assert {request.doc.task for request in requests} == {task.id}


@every_inventory
def test_items_vary_fastest_and_prefixes_are_shared(task: Questionnaire) -> None:
    requests, ids = task.requests(0), [item.id for item in task.items]
    for start in range(0, len(requests), len(ids)):
        block = requests[start : start + len(ids)]
        assert [request.doc.item for request in block] == ids
        assert len({request.doc.model_copy(update={"item": "", "trait": "", "facet": None, "keyed": 1})
                    for request in block}) == 1  # fmt: skip
        if not isinstance(block[0], Continue):
            heads = {
                request.messages[-1].content.removesuffix(task.inventory.statement(item))
                for request, item in zip(block, task.items, strict=True)
            }
            assert len(heads) == 1


@every_inventory
def test_the_item_comes_last(task: Questionnaire) -> None:
    items = {item.id: item for item in task.items}
    for request in task.requests(0):
        statement = task.inventory.statement(items[request.doc.item])
        assert len(statement) > 5 and request.doc.keyed == items[request.doc.item].keyed
        if isinstance(request, Continue):
            assert request.text == statement and statement not in request.messages[-1].content
        else:
            assert request.messages[-1].content.endswith(statement)


@every_inventory
def test_reverse_order_keeps_the_symbols_and_turns_the_values(task: Questionnaire) -> None:
    scale = task.inventory.response_scale
    values = tuple(range(scale.min, scale.max + 1))
    requests = [request for request in task.requests(0) if not isinstance(request, Continue)]
    pairs: dict[Any, dict[str, Any]] = {}
    for request in requests:
        pairs.setdefault(request.doc.model_copy(update={"order": None}), {})[str(request.doc.order)] = request
    assert len(pairs) * 2 == len(requests)
    for pair in pairs.values():
        forward, reverse = pair["forward"], pair["reverse"]
        assert forward.values == values and reverse.values == values[::-1]
        if isinstance(forward, Choose):
            assert forward.options == reverse.options and len(forward.options) == len(values)
            assert forward.messages != reverse.messages
        else:
            assert isinstance(forward, Write)
            assert [s for s, _ in forward.labels] == [s for s, _ in reverse.labels]
            assert [text for _, text in forward.labels] == [text for _, text in reverse.labels][::-1]
            assert tuple(text for _, text in forward.labels) == scale.labels
            assert forward.seed != reverse.seed


@every_inventory
def test_no_spelling_of_an_option_begins_another(name: str) -> None:
    inventory = inventories.load(name, texts=False)
    grid = GRID.model_copy(update={"scoring": ("choice",), "templates": 1, "respondents": 0})
    if inventory.restricted:
        public = inventories.load("mini_ipip").items[0]
        inventory = inventory.model_copy(
            update={"items": (inventory.items[0].model_copy(update={"text": public.text}),)}
        )
    for request in Questionnaire(inventory, grid).requests(0):
        assert isinstance(request, Choose)
        spellings = [spelling for option in request.options for spelling in option]
        assert not [(a, b) for a in spellings for b in spellings if a != b and b.startswith(a)]


def test_a_seed_draws_respondents_and_replies() -> None:
    task = Questionnaire(inventories.load("mini_ipip"), GRID)
    assert {r.doc.respondent for r in task.requests(0)} != {r.doc.respondent for r in task.requests(1)}
    writes = [[r.seed for r in task.requests(seed) if isinstance(r, Write)] for seed in (0, 1)]
    assert len(set(writes[0])) == len(writes[0]) > 0 and not set(writes[0]) & set(writes[1])


PERSON = Person(id="p", inventory="ipip_neo_120", answers={f"i{i}": 1 + i % 5 for i in range(1, 11)})
TARGETS = {
    "poles": [Target(levels={trait: level}) for trait in TRAITS for level in (1.0, -1.0)],
    "graded": [Target(levels={"openness": level}) for level in (-0.5, 0.0, 0.3)],
    "several": [Target(levels={"openness": 1.0, "neuroticism": -1.0})],
    "person": [Target(person=PERSON)],
    "character": [Target(character="mina"), Target(character="ada@age")],
}


def instances(name: str) -> list[Method]:
    """A method as it comes, and prompting in each of its styles."""
    kind: Any = METHODS.load(name)
    return [kind(kind.Config(style=style)) for style in STYLES] if name == "prompting" else [kind()]


@pytest.mark.parametrize("name", METHODS)
def test_methods_fit_what_they_say(name: str) -> None:
    kind: Any = METHODS.load(name)
    assert issubclass(kind, Method) and kind.name == name and kind.version
    for method in instances(name):
        wanted = [t for aim in sorted(method.targets) for t in TARGETS[aim] if t.aims <= method.targets] or [None]
        assert len(wanted) > 1 or method.targets <= {"person"}
        if method.needs_model:
            with pytest.raises(UnsupportedControl, match="--backend hf"):
                method.fit(wanted[0], Bench())
            continue
        for target in wanted:
            control, again = method.fit(target, Bench(3)), method.fit(target, Bench(3))
            assert isinstance(control, Control) and control.kinds <= kind.makes
            assert control.hash == again.hash and len(control.hash) == 16
            assert Control.model_validate_json(control.model_dump_json()).hash == control.hash


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_backend_that_applies_it(name: str) -> None:
    kind: Any = METHODS.load(name)
    assert any(kind.makes <= BACKENDS.load(backend).applies for backend in BACKENDS)
    assert (kind.strength is None) == ("activations" not in kind.makes)
    assert kind.strength is None or kind.strength in kind.Config.model_fields


def test_the_hash_is_of_the_contents() -> None:
    method: Any = METHODS.load("prompting")()
    high, low = (method.fit(Target(levels={"openness": level}), Bench()) for level in (1.0, -1.0))
    assert high.hash != low.hash != Control().hash
    assert high.model_copy(update={"target": TARGETS["poles"][0]}).hash == high.hash


@pytest.mark.parametrize("name", BACKENDS)
def test_backends_are_backends(name: str) -> None:
    kind = BACKENDS.load(name)
    assert issubclass(kind, Backend) and kind.name == name
    assert kind.applies and kind.applies <= {"prompt", "weights", "activations"}
    assert kind.applies == APPLIES[name]


def imported_by(*modules: str) -> set[str]:
    script = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_no_import_brings_torch() -> None:
    light = [
        f"traitbench.{name}"
        for name in ("runs.plan", "tasks.scoring", "runs.evaluate", "cli.commands", "methods.prompting")
    ]
    light += [f"traitbench.backends.{name}" for name in ("endpoint", "lm_eval", "scripted")]
    found = imported_by("traitbench", *light)
    assert "traitbench.runs.plan" in found and not found & {"torch", "transformers", "accelerate", "gguf"}


def test_a_plan_that_no_backend_can_serve_is_refused_before_anything_heavy() -> None:
    """No other backend is imported to name it, and no task: both take seconds."""
    line = "run --model scripted:person --method npti --target extraversion=high --tasks mini_ipip"
    script = (
        "import sys; from traitbench.cli.commands import main\n"
        f"try: code = main({line.split()!r})\n"
        "except SystemExit as end: code = end.code\n"
        "print(code, *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    code, *found = done.stdout.split()
    assert code == "2" and "backends that can: hf, vllm" in done.stderr
    heavy = {
        "torch",
        "transformers",
        "scipy.special",
        "scipy.stats",
        "pandas",
        "traitbench.tasks.questionnaire.summary",
    }
    assert "traitbench.runs.prepare" in found and not set(found) & heavy


def test_what_reads_results_imports_no_backend() -> None:
    found = imported_by("traitbench.leaderboard", "traitbench.tables", "traitbench.runs.results")
    assert "traitbench.runs.results" in found
    assert not [name for name in found if name.startswith("traitbench.backends.")]


def test_every_package_is_declared() -> None:
    """A folder that is forgotten in pyproject.toml is missing from the wheel."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = set()
    for package, folder in declared["package-dir"].items():
        for init in (ROOT / folder).rglob("__init__.py"):
            below = init.parent.relative_to(ROOT / folder).parts
            found.add(".".join((package, *below)))
    assert sorted(declared["packages"]) == sorted(found)
    tops = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert tops - {"tests"} == set(declared["package-dir"].values())


@pytest.mark.parametrize(
    ("catalog", "wrong", "right"),
    [(METHODS, "promting", "prompting"), (METHODS, "None", "none"), (BACKENDS, "script", "scripted")],
)
def test_catalogs_suggest_the_nearest_name(catalog: Catalog[Any], wrong: str, right: str) -> None:
    for ask in (catalog.__getitem__, catalog.load):
        with pytest.raises(UnknownName, match=f"unknown {catalog.kind} '{wrong}'; did you mean '{right}'"):
            ask(wrong)
    assert wrong not in catalog and right in catalog and list(catalog) == sorted(catalog)


def test_a_catalog_lists_everything_where_nothing_is_near() -> None:
    with pytest.raises(UnknownName, match="unknown backend 'zzz'; known: endpoint, hf, lm_eval, scripted, vllm"):
        BACKENDS.load("zzz")


def test_a_catalog_imports_when_asked() -> None:
    lazy: Catalog[Any] = Catalog("thing", {"bad": "no_such_module:x", "good": "math:pi"})
    assert len(lazy) == 2 and lazy.load("good") > 3
    with pytest.raises(MissingExtra, match="no_such_module:x, which cannot be imported"):
        lazy.load("bad")
