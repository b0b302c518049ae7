"""The frame knows no task and no method by name; what a run takes where nothing is said stands in one module.

All modules of the four folders are read as syntax trees. A fault is, outside the tables and the named one's own folder,
- a comparison (==, !=, in, not in), a case of a match, or startswith and endswith, of anything with the literal name of
  a method, a task, an inventory or a suite, with a collection that holds one, or with a constant that stands for one;
- such a literal as the default of a parameter or of a record's field, unless it stands in `DEFAULTS`.

Some names are words with another meaning too, and the code itself says which: those that a Literal type lists outside
their own folder ("residual" is a site of edits, "sft" and "dpo" are losses, "none" is a routing of experts). For these
alone the other side decides: it is a fault where an identifier in it has method, task, inventory, suite or name for one
of its words, as in `plan.method`, `task_ids`, `method.name`; `edit.site == "residual"` is none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from traitbench import inventories
from traitbench.methods import METHODS
from traitbench.tasks import SUITES, TASKS

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"traitbench": "harness", "traitbench.inventories": "inventories", "traitbench.methods": "methods",
           "traitbench.tasks": "tasks"}  # fmt: skip
TABLES = ("methods/__init__.py", "tasks/__init__.py")
DEFAULTS = "harness/runs/plan.py"
SPEAKS = re.compile(r"(?<![a-z])(methods?|tasks?|inventory|inventories|suites?|names?)(?![a-z])", re.IGNORECASE)


def home(target: str) -> str:
    """The file or folder of what a catalog names: methods/none.py, methods/pas/."""
    module = target.partition(":")[0]
    package = max((name for name in FOLDERS if module.startswith(f"{name}.")), key=len)
    place = f"{FOLDERS[package]}/{module.removeprefix(f'{package}.').replace('.', '/')}"
    return f"{place}/" if (ROOT / place).is_dir() else f"{place}.py"


OWN = {
    **{name: home(METHODS[name]) for name in METHODS.shipped},
    **{name: home(TASKS[name]) for name in TASKS.shipped},
    **dict.fromkeys([*inventories.names(), *SUITES], "inventories/"),
}
"""Name -> where it may be spoken of."""

SOURCES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for folder in FOLDERS.values()
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def literals(node: ast.AST) -> set[str]:
    """The names among the strings of a literal or of a collection of literals."""
    inner = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    return {n.value for n in inner if isinstance(n, ast.Constant) and isinstance(n.value, str) and n.value in OWN}


def constants(tree: ast.Module) -> dict[str, set[str]]:
    """Constants of a module that stand for names."""
    return {
        target.id: found
        for node in tree.body
        if isinstance(node, ast.Assign) and (found := literals(node.value))
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _two_meanings() -> set[str]:
    return {
        word
        for place, tree in SOURCES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal"
        for word in literals(node.slice)
        if not place.startswith(OWN[word])
    }


TWO_MEANINGS = _two_meanings()


def known(tree: ast.Module) -> dict[str, set[str]]:
    """What stands for names in a module: its constants, and those that it imports."""
    found = constants(tree)
    modules = {place.removesuffix(".py").removesuffix("/__init__"): held for place, held in SOURCES.items()}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("traitbench"):
            continue
        source, _, rest = str(node.module).removeprefix("traitbench.").partition(".")
        folder = source if source in FOLDERS.values() else f"harness/{source}"
        place = "/".join(filter(None, [folder, rest.replace(".", "/")]))
        for alias in node.names:
            called = alias.asname or alias.name
            if place in modules and alias.name in (held := constants(modules[place])):
                found[called] = held[alias.name]
            if (inner := f"{place}/{alias.name}") in modules:
                found |= {f"{called}.{name}": words for name, words in constants(modules[inner]).items()}
    return found


def compared(tree: ast.Module) -> Iterator[tuple[int, ast.AST, str]]:
    """Everything that something is compared with: line, one side, source of the other."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for one, other, how in zip(sides, sides[1:], node.ops, strict=False):
                if isinstance(how, ast.Eq | ast.NotEq | ast.In | ast.NotIn):
                    yield node.lineno, one, ast.unparse(other)
                    yield node.lineno, other, ast.unparse(one)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                for pattern in ast.walk(case.pattern):
                    if isinstance(pattern, ast.MatchValue):
                        yield pattern.lineno, pattern.value, ast.unparse(node.subject)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("startswith", "endswith"):
                for argument in node.args:
                    yield node.lineno, argument, ast.unparse(node.func.value)


def defaults(tree: ast.Module) -> Iterator[tuple[int, str, ast.AST]]:
    """Defaults of parameters and of the fields of classes: line, what it is the default of, and the default."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            plain = [*node.posonlyargs, *node.args]
            given = zip(plain[len(plain) - len(node.defaults) :], node.defaults, strict=True)
            for argument, held in [*given, *zip(node.kwonlyargs, node.kw_defaults, strict=True)]:
                if held is not None:
                    yield argument.lineno, argument.arg, held
        elif isinstance(node, ast.ClassDef):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and field.value is not None:
                    held = field.value
                    if isinstance(held, ast.Call):
                        held = next((k.value for k in held.keywords if k.arg == "default"), held)
                    yield field.lineno, ast.unparse(field.target), held


def faults(place: str, tree: ast.Module) -> list[str]:
    """What a module says of names that it must not know: place, line and name."""
    if place in TABLES:
        return []
    stands, found = known(tree), []

    def wrong(words: set[str], other: str) -> list[str]:
        return [
            word for word in sorted(words)
            if not place.startswith(OWN[word]) and (word not in TWO_MEANINGS or SPEAKS.search(other))
        ]  # fmt: skip

    for line, side, other in compared(tree):
        named = literals(side) | stands.get(ast.unparse(side), set())
        found += [f"{place}:{line}: {other} is compared with {name!r}" for name in wrong(named, other)]
    for line, what, held in defaults(tree) if place != DEFAULTS else ():
        found += [f"{place}:{line}: {name!r} is the default of {what}" for name in wrong(literals(held), what)]
    return found


def test_everything_is_read() -> None:
    assert len(SOURCES) > 100 and {place.partition("/")[0] for place in SOURCES} == set(FOLDERS.values())
    assert {"pas", "none", "person_alignment", "ipip_neo_120", "big_five"} <= OWN.keys()
    assert all((ROOT / place).exists() for place in OWN.values())
    assert OWN["pas"] == "methods/pas/" and OWN["none"] == "methods/none.py"
    assert TWO_MEANINGS == {"dpo", "none", "residual", "sft"}
    assert find_spec("traitbench.runs.plan").origin == str(ROOT / DEFAULTS)  # type: ignore[union-attr]


@pytest.mark.parametrize("place", SOURCES)
def test_no_module_branches_on_a_name(place: str) -> None:
    assert faults(place, SOURCES[place]) == []


IMPORTED = "from traitbench.tasks.person_alignment import NAME\n"


@pytest.mark.parametrize(
    "source",
    [
        'if plan.method == "pas": pass',
        'x = "npti" != method.name',
        'if task.id in ("mini_ipip", "other"): pass',
        'y = [t for t in tasks if "big_five" in t]',
        'match name:\n    case "person_alignment" | "x": pass',
        'if name.startswith("ipip_neo_300"): pass',
        'if plan.method == "none": pass',
        'if facts.method["name"] not in {"residual"}: pass',
        'z = 1 if method_name == "sft" else 2',
        'PERSONS = "person_alignment"\nif block.kind == PERSONS: pass',
        IMPORTED + "if block.kind == NAME: pass",
        'from traitbench.tasks import person_alignment\nif kind == person_alignment.NAME: pass',
        'def go(task: str = "ipip_neo_120") -> None: ...',
        'def go(*, method="none") -> None: ...',
        'class Plan(Record):\n    method: str = "prompting"',
        'class Plan(Record):\n    method: str = Field(default="prompting")',
    ],
)  # fmt: skip
def test_a_planted_branch_is_found(source: str) -> None:
    assert len(faults("harness/planted.py", ast.parse(source))) == 1


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("harness/planted.py", 'if edit.site == "residual": pass'),
        ("harness/planted.py", 'if "sft" in losses and prompt != "none": pass'),
        ("harness/planted.py", 'LONG = "ipip_neo_300"\nitems = load(LONG)'),
        ("harness/planted.py", 'if level == "high": pass'),
        ("harness/planted.py", 'def go(routing: str = "none") -> None: ...'),
        ("methods/pas/planted.py", 'if method.name == "pas": pass'),
        ("tasks/person_alignment/planted.py", IMPORTED + "if block.kind == NAME: pass"),
        (TABLES[0], 'if name == "pas": pass'),
        (DEFAULTS, 'class Plan(Record):\n    method: str = "none"\n    task: str = "mini_ipip"'),
    ],
)
def test_what_is_allowed_is_let_through(place: str, source: str) -> None:
    assert faults(place, ast.parse(source)) == []
