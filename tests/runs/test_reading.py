"""Whether the model of a run reads its prompts: in the results, the verdict and the tables; asked once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from blocks import modes
from said import Say

from traitbench import load_results
from traitbench.runs.reading import tables
from traitbench.tasks.verdict import reading_reasons
from traitbench.types import Beginning, Reading

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"
Tiny = Callable[..., Path]


READS_NOT = "not interpretable: the model does not read its prompts: neutral text has a perplexity of"


@pytest.mark.parametrize(("perplexity", "told"), [
    (61.0, []),
    (108.9, []),
    (109.0, ["caution: the model hardly reads its prompts: neutral text has a perplexity of 109 a word (>= 109)"]),
    (308.2, [f"{READS_NOT} 308 a word (>= 170)"]),
    (1e300, [f"{READS_NOT} over a million a word (>= 170)"]),
])  # fmt: skip
def test_what_it_calls_for(perplexity: float, told: list[str]) -> None:
    assert list(reading_reasons(Reading(perplexity=perplexity, words=150))) == told
    assert not list(reading_reasons(None))


def test_a_run_says_that_its_model_does_not_read(tiny: Tiny, say: Say) -> None:
    """An untrained model foresees nothing, in any scoring mode; what was asked is kept, and asked once."""
    line = f"run --model {tiny('llama', template=None)} --tasks mini_ipip --limit 4 --device cpu -o out"
    done = say(line)
    assert done.code == 0
    (folder,) = Path("out").glob("*@none*")
    found = load_results(folder)
    assert found.reading is not None and found.reading.perplexity > 1000 and found.reading.words > 100
    assert found.reading.beginning == Beginning(token="<s>", id=0, written="by itself")
    assert READS_NOT in done.err and "How well the model reads: not interpretable" in done.out
    verdicts = [scores.verdict for scores in modes(found, "mini_ipip").values()]
    assert len(verdicts) == 2 and all(each.verdict == "not interpretable" for each in verdicts)
    assert all(any(reason.startswith(READS_NOT) for reason in each.reasons) for each in verdicts)
    asked = (folder / "responses.jsonl").read_text()
    again = say(line)
    assert again.code == 0 and (folder / "responses.jsonl").read_text() == asked
    assert load_results(folder).reading == found.reading


def test_a_scripted_respondent_is_no_language_model(say: Say) -> None:
    done = say("run --model scripted:person --tasks mini_ipip -o out")
    assert done.code == 0 and "reads" not in done.out + done.err
    (folder,) = Path("out").iterdir()
    assert load_results(folder).reading is None


def test_runs_of_before_have_no_such_criterion() -> None:
    found = load_results(next(PUBLISHED.glob("smollm2@none*")))
    assert found.reading is None and tables(found.reading) == []


def test_the_table_tells_of_the_first_token() -> None:
    began = Beginning(token="<bos>", id=2, written="added", with_it=30.8, without=175.9)
    (table,) = tables(Reading(perplexity=44.6, words=150, beginning=began))
    assert table.title == "How well the model reads"
    assert table.rows == [
        ["perplexity of neutral text, a word", "44.6"],
        ["first token", "<bos> (added)"],
        ["perplexity a token, with it and without", "30.8, 175.9"],
    ]
    (table,) = tables(Reading(perplexity=308.0, words=150))
    assert table.title == "How well the model reads: not interpretable" and len(table.rows) == 2
