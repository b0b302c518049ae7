"""What several test files need: the data that does not ship, scripted administrations, untrained models."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from said import Said, Say

from traitbench import inventories
from traitbench.backends.scripted import Respondent, Scripted
from traitbench.cli.commands import main
from traitbench.runs import paces
from traitbench.samples import Condition, Sample, graded, make_sample
from traitbench.tasks import Administration
from traitbench.tasks.questionnaire import Questionnaire

BESIDE = Path(__file__).resolve().parents[1].parent / "shared"


# Taken out of the environment, so that no test but those that ask for `shared` depends on what a machine holds.
GIVEN = os.environ.pop("TRAITBENCH_DATA", "").split(os.pathsep)[0]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torture", action="store_true", help="tests/reliability at full length: make torture")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what reads the data folder: `pytest -m data` runs these tests alone."""
    for item in items:
        if "shared" in getattr(item, "fixturenames", ()):
            item.add_marker("data")


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """The data folder, and TRAITBENCH_DATA pointing at it: the first folder of TRAITBENCH_DATA, else ../shared."""
    assert request.node.get_closest_marker("data"), "reads the data folder: ask for `shared` by name, or mark it data"
    folder = Path(GIVEN) if GIVEN else BESIDE
    if not folder.is_dir():
        pytest.skip(f"no data folder: set TRAITBENCH_DATA, or put one at {BESIDE}")
    monkeypatch.setenv("TRAITBENCH_DATA", str(folder))
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_paces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep paces out of the user's cache; the rest of it stays, since unpacking weights anew takes long.

    A test that sets TRAITBENCH_CACHE has its paces there.
    """
    given, usual = os.environ.get("TRAITBENCH_CACHE"), paces._place
    apart = tmp_path_factory.mktemp("paces") / "paces.json"

    def place() -> Path:
        return apart if os.environ.get("TRAITBENCH_CACHE") in (None, "", given) else usual()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paces, "_place", place)
        yield apart


@pytest.fixture(autouse=True)
def no_paces(own_paces: Path) -> None:
    """No test knows how quick another one was."""
    own_paces.unlink(missing_ok=True)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Say:
    """Run a line of the command in an empty folder, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("TRAITBENCH_DEBUG", raising=False)

    def go(line: str) -> Said:
        code = main(shlex.split(line))
        return Said(code, *capsys.readouterr())

    return go


Administer = Callable[..., list[Sample]]


@pytest.fixture
def administer() -> Administer:
    """Ask a scripted respondent an inventory, without a run folder: requests, answers, graded samples."""

    held: dict[str | Path, inventories.Inventory] = {}

    def go(
        inventory: str | Path, respondent: Respondent | None = None, kind: str = "person", **grid: object
    ) -> list[Sample]:
        if inventory not in held:
            held[inventory] = inventories.load(inventory, texts=False)
        administration = Administration.model_validate({"scoring": ("choice",), **grid})
        task = Questionnaire(held[inventory], administration)
        items, requests = {item.id: item for item in task.items}, task.requests(0)
        backend, none = Scripted(kind, respondent), Condition(name="baseline")
        samples = [
            make_sample(requests[i], response, none, items[requests[i].doc.item], "", 0)
            for batch in backend.run(requests)
            for i, response in batch.items()
        ]
        return [graded(sample, task.grade(sample)) for sample in samples]

    return go


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return the folder of an untrained model: tiny("llama"), tiny("gpt2", template=None)."""
    from tiny_models import CHATML, CONFIGS, saved

    made: dict[tuple[str, str | None], Path] = {}

    def folder(name: str, template: str | None = CHATML) -> Path:
        if (name, template) not in made:
            made[name, template] = saved(tmp_path_factory.mktemp(name), CONFIGS[name](), template)
        return made[name, template]

    return folder
