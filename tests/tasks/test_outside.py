"""A task of an outside package: one module and an entry point, and every command knows it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import result_files

MOOD = '''
"""A task in one module: two questions, and one more about the first answer."""

from typing import Literal

from traitbench.samples import Grade
from traitbench.tables import Table, number
from traitbench.tasks.block import Block, by_condition
from traitbench.tasks.board import Contender, Row
from traitbench.tasks.task import About, Task
from traitbench.tasks.views import Views
from traitbench.types import Choose, Continue, Doc, Message, Record


class Question(Record):
    id: str
    number: int
    text: str

    @property
    def text_hash(self):
        return f"mood {self.text}"


QUESTIONS = tuple(
    Question(id=id, number=number, text=text)
    for number, (id, text) in enumerate(
        [("today", "Is it a good day? A) no B) yes"), ("luck", "I am lucky."), ("again", "Sure? A) no B) yes")], 1
    )
)


class MoodBlock(Block):
    kind: Literal["mood"] = "mood"
    good: dict[str, float | None]
    sure: dict[str, float | None]
    nats: dict[str, float | None]

    def metrics(self):
        return {
            name: {"good,choice": self.good[name], "sure,choice": self.sure[name], "nats,statement": self.nats[name]}
            for name in self.good
        }

    def higher_is_better(self):
        return {"good": True, "sure": None, "nats": None}


class MoodViews(Views):
    def tables(self, task, block, facts):
        rows = [[name, number(block.good[name]), number(block.sure[name])] for name in block.good]
        return [Table(title=f"Moods, {task}", columns=["condition", "good", "sure"], rows=rows)]

    def entry(self, task, block, facts):
        good = block.good[facts.conditions[-1].name]
        contender = Contender(name="good", value=good, ci=None if good is None else (good - 0.1, good + 0.1))
        told = {"good": good, "sure": block.sure[facts.conditions[-1].name]}
        return {"choice": Row(metrics=told, contenders=[contender], verdict="caution", reasons=["caution: one item"])}


class Mood(Task):
    """How good the day is."""

    id = "mood"
    about = About(name="Moods", citation="Ours (2026)")
    original = len(QUESTIONS)

    def __init__(self, administration):
        self.items = QUESTIONS[: administration.limit]

    @classmethod
    def block(cls):
        return MoodBlock

    @classmethod
    def views(cls):
        return MoodViews()

    def requests(self, seed):
        return [self._choose(QUESTIONS[0], ()), Continue(doc=self._doc("luck", "statement"), messages=(
            Message(role="user", content="Say something of yourself."),), text=QUESTIONS[1].text)]

    def follow_up(self, samples):
        if any(sample.item == "again" for sample in samples):
            return []
        (first,) = [sample for sample in samples if sample.item == "today"]
        said = "AB"[int(first.value_raw)]
        asked = Message(role="user", content=QUESTIONS[0].text)
        return [self._choose(QUESTIONS[2], (asked, Message(role="assistant", content=said)))]

    def grade(self, sample):
        if sample.scoring == "statement":
            return Grade(status=sample.status, value_raw=sample.loglik / sample.tokens)
        likeliest = max((0, 1), key=lambda place: sample.option_logprobs[place])
        return Grade(status=sample.status, value_raw=float(sample.option_values[likeliest]))

    def summarise(self, facts, samples):
        held = {name: {row.item: row.value_raw for row in rows} for name, rows in by_condition(facts, samples).items()}
        return MoodBlock(**{field: {name: mine.get(item) for name, mine in held.items()}
                            for field, item in (("good", "today"), ("sure", "again"), ("nats", "luck"))})

    def _doc(self, item, scoring):
        return Doc(task="mood", scoring=scoring, item=item, trait="mood", facet=None, keyed=1)

    def _choose(self, question, before):
        return Choose(doc=self._doc(question.id, "choice"), options=(("A",), ("B",)), values=(0, 1),
                      messages=(*before, Message(role="user", content=question.text)))
'''
ENTRY = "[traitbench.tasks]\nmood = mood_package:Mood\nbroken_task = no_such_package:Nothing\n"
ROOT = Path(__file__).resolve().parents[2]

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed package in `site`; commands run here."""
    folder = tmp_path_factory.mktemp("outside")
    about = folder / "site" / "mood_package-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mood-package\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text(ENTRY)
    (folder / "site" / "mood_package.py").write_text(MOOD)
    return folder


@pytest.fixture(scope="module")
def command(folder: Path) -> Command:
    def go(*words: str, code: int = 0, installed: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(folder / "site") if installed else "", "COLUMNS": "160"}
        line = [sys.executable, "-W", "error", "-m", "traitbench", *words]
        done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done

    return go


def run_line(respondent: str) -> list[str]:
    return f"run --model scripted:{respondent} --tasks mood -o runs --bootstrap_iters 20 --format markdown".split()


@pytest.fixture(scope="module")
def runs(folder: Path, command: Command) -> dict[str, Path]:
    """Folders of the runs of who answers A (0) and of who answers B (1)."""
    for respondent in ("first", "last"):
        assert "| baseline | " in command(*run_line(respondent)).stdout
    return {name: next((folder / "runs").glob(f"scripted__{name}@*")) for name in ("first", "last")}


@pytest.fixture(scope="module")
def published(folder: Path, runs: dict[str, Path], command: Command) -> Path:
    for path in runs.values():
        command("export", str(path), "--to", "published")
    return folder / "published"


def results(path: Path) -> dict[str, Any]:
    return result_files.held(next(path.glob("results_*.json")))


def test_a_run_asks_grades_sums_up_and_shows(runs: dict[str, Path], command: Command) -> None:
    assert "**Moods, mood**" in command("score", str(runs["last"]), "--format", "markdown").stdout
    held = results(runs["last"])
    assert held["tasks"]["mood"] == {
        "kind": "mood", "version": "1",
        "good": {"baseline": 1.0}, "sure": {"baseline": 1.0}, "nats": {"baseline": -3.0},
    }  # fmt: skip
    assert held["results"]["mood"] == {"alias": "mood", "good,choice": 1.0, "sure,choice": 1.0, "nats,statement": -3.0}
    assert held["higher_is_better"] == {"mood": {"good": True, "sure": None, "nats": None}}
    assert held["n-samples"] == {"mood": {"original": 3, "effective": 3}}
    assert held["configs"]["mood"]["citation"] == "Ours (2026)"


def test_a_later_turn_quotes_the_answer_before_it(runs: dict[str, Path]) -> None:
    for name, said in (("first", "A"), ("last", "B")):
        (path,) = runs[name].glob("samples_mood_*.jsonl")
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        assert [row["item"] for row in rows] == ["today", "luck", "again"]
        assert f"assistant: {said}\n\nuser: Sure?" in rows[2]["arguments"][0]


def test_the_same_line_asks_nothing_again(runs: dict[str, Path], command: Command) -> None:
    before = (runs["first"] / "responses.jsonl").read_bytes()
    assert len(before.splitlines()) == 3
    command(*run_line("first"))
    assert (runs["first"] / "responses.jsonl").read_bytes() == before


def test_scores_again_from_the_samples(runs: dict[str, Path], command: Command) -> None:
    again = json.loads(command("score", str(runs["last"]), "--format", "json").stdout)
    assert again == results(runs["last"])


def test_a_limit_and_a_target_reach_the_task(folder: Path, command: Command) -> None:
    line = "run --model scripted:last --tasks mood -m prompting --target openness=high -o aimed --format json".split()
    held = json.loads(command(*line).stdout)
    assert list(held["tasks"]["mood"]["good"]) == ["baseline", "openness=high"]
    assert held["results"]["mood@openness=high"]["good,choice"] == 1.0
    assert any("no task measures openness" in warning for warning in held["warnings"])


def test_the_report_shows_it(folder: Path, runs: dict[str, Path], command: Command) -> None:
    command("report", str(runs["last"]), "-o", "page")
    page = (folder / "page" / "report.html").read_text("utf-8")
    assert '<section id="task-mood"' in page and "mood: Ours (2026)" in page
    row = page.split('<table id="board">')[1].split("<tbody>")[1].split("</tbody>")[0]
    assert row.count("<tr") == 1 and "1.00 [0.90, 1.10]" in row and "caution: one item" in row
    assert "nats" in page.split('<section id="task-mood"')[1].split("</section>")[0]


def test_it_is_published_with_its_prompts(published: Path) -> None:
    (path,) = published.glob("scripted__last@*/prompts_mood_*.json.gz")
    prompts = json.loads(gzip.decompress(path.read_bytes()))
    assert ["user: Is it a good day? A) no B) yes"] in prompts.values()


def test_the_leaderboard_ranks_it(folder: Path, published: Path, command: Command) -> None:
    told = command("leaderboard", "--published", str(published), "-o", "board").stdout
    lines = told.split("## mood")[-1] if "## mood" in told else told
    assert "| rank | model | method | good [95 %] | sure | verdict |" in lines
    entries = json.loads((folder / "board" / "leaderboard.json").read_text("utf-8"))["entries"]
    held = {e["model"]: e["metrics"]["choice"] for e in entries}
    assert {model: {**mine, "superiority": round(mine["superiority"], 9)} for model, mine in held.items()} == {
        "scripted:last": {"good": 1.0, "sure": 1.0, "rank": 1, "rank_high": 1, "superiority": 1.0},
        "scripted:first": {"good": 0.0, "sure": 0.0, "rank": 2, "rank_high": 2, "superiority": 0.0},
    }  # fmt: skip
    page = (folder / "board" / "leaderboard.html").read_text("utf-8")
    assert page.index("[0.90, 1.10]") < page.index("[-0.10, 0.10]")
    assert "<b>none</b> on scripted:last scores best (good 1.00 [0.90, 1.10])" in page


def test_a_comparison_says_that_it_has_none(runs: dict[str, Path], command: Command) -> None:
    said = command("compare", *map(str, runs.values()), code=1).stderr
    assert "share no target" in said and "The first has no contrast" in said


def test_ls_and_prompt_know_it_and_a_broken_one_breaks_nothing(command: Command) -> None:
    told = command("ls", "tasks").stdout
    assert "How good the day is." in told and "no_such_package:Nothing, which cannot be imported" in told
    assert "Is it a good day?" in command("prompt", "--model", "scripted:first", "--tasks", "mood").stdout


def test_without_its_package_the_published_block_is_kept_raw_and_shown_as_metrics(
    folder: Path, published: Path, command: Command
) -> None:
    command("leaderboard", "--published", str(published), "-o", "bare", installed=False)
    assert json.loads((folder / "bare" / "leaderboard.json").read_text("utf-8"))["entries"] == []
    page = (folder / "bare" / "leaderboard.html").read_text("utf-8")
    assert "No run here has a task that is ranked." in page
    assert "Metrics, mood" in page and "<td>good</td><td>choice</td>" in page
    assert "Metrics, mood" in page and "<td>good</td><td>choice</td>" in page
    one = str(next(published.glob("scripted__last@*")))
    said = command("score", one, code=2, installed=False).stderr
    assert said.count("\n") == 1 and "unknown task 'mood'" in said
