"""Human ratings: a blind and balanced sheet, a form that works, and what filled sheets say of judges."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import chromium, needs_browser
from said import Say

from traitbench.errors import BadData
from traitbench.judges.people import Scored, annotated, tables
from traitbench.judges.sheets import Entry, Rated, read_sheet, write_sheet
from traitbench.runs.results import Results
from traitbench.store import read_json

Judged = Callable[..., tuple[Results, Path]]


@pytest.fixture
def run(judged: Judged, say: Say, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A judged run's folder."""
    _, path = judged(("planted:honest", "planted:length"))
    return path.parent


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))


def test_a_sheet_is_blind_balanced_and_the_same_every_time(run: Path, say: Say) -> None:
    said = say(f"judge annotate {run} --n 36 --to sheet")
    assert said.code == 0 and said.out.splitlines() == ["sheet/sheet.csv", "sheet/form.html", "sheet/rubric.txt"]
    key = read_json(run / "annotation_key.json")
    found = rows(Path("sheet/sheet.csv"))
    assert [set(row) for row in found] == [{"id", "rating", "dimension", "question", "reply"}] * 36
    assert {row["id"] for row in found} == set(key) and len(key) == 36
    # No spreadsheet takes an id for a number, as it would 12345678e1.
    assert {row["id"][0] for row in found} == {"r"}
    cells = Counter((key[row["id"]]["dimension"], key[row["id"]]["condition"]) for row in found)
    # Two traits, and for each of them the baseline and what aims at it.
    assert len(cells) == 6 and set(cells.values()) == {6}
    for name in ("sheet.csv", "form.html", "rubric.txt"):
        text = Path("sheet", name).read_text("utf-8")
        assert not any(word in text for word in ("=high", "=low", "baseline", "HIGH", 'writer"', "planted", "poles@"))
    again = say(f"judge annotate {run} --n 36 --to again")
    assert again.code == 0 and Path("again/form.html").read_bytes() == Path("sheet/form.html").read_bytes()
    other = say(f"judge annotate {run} --n 36 --seed 1 --to other")
    assert other.code == 0 and rows(Path("other/sheet.csv")) != found
    assert len(read_json(run / "annotation_key.json")) > 36, "the key holds all sheets"
    many = say(f"judge annotate {run} --n 1000 --to all")
    assert many.code == 0 and "the run has 48 replies to rate, fewer than --n 1000" in many.err


def test_people_are_read_back_and_set_beside_judges(run: Path, say: Say) -> None:
    say(f"judge annotate {run} --n 42 --to sheet")
    key = read_json(run / "annotation_key.json")
    chance = random.Random(0)
    for name, shift in (("ada", 0), ("bo", 1)):
        lines = ["id;rating"]
        for id, place in key.items():
            true = 4 if place["condition"].endswith("high") else 1 if place["condition"].endswith("low") else 2
            lines.append(f"{id};{min(max(true + shift - (chance.random() < 0.3), 0), 5)}")
        Path(f"{name}.csv").write_bytes("\r\n".join(["\ufeff" + lines[0], *lines[1:]]).encode())
    said = say(f"judge annotate {run} --read ada.csv --read bo.csv")
    assert said.code == 0 and "High minus low" in said.out and "ada 42, bo 42" in said.out
    found = read_json(run / "annotations.json")
    assert found["raters"] == {"ada": 42, "bo": 42} and found["texts"] == 42 and found["people"]["alpha"] > 0.5
    assert set(found["judges"]) == {"planted:honest", "planted:length"}
    assert found["judges"]["planted:honest"]["single"] > 0.7
    honest = [one for one in found["contrasts"] if one["judge"] == "planted:honest"]
    assert {one["trait"] for one in honest} == {"openness", "extraversion"}
    for one in honest:
        assert one["uncorrected"] == pytest.approx(3.4) and abs(one["corrected"]["value"] - 3) < 0.6
        assert one["corrected"]["a"]["rated"] == 7 and "at least 10" in one["corrected"]["reason"]
    assert json.loads(say(f"judge annotate {run} --read ada.csv --format json").out)["people"]["alpha"] is None


def test_ratings_are_of_texts_and_count_for_another_judge(run: Path, say: Say, judged: Judged) -> None:
    say(f"judge annotate {run} --n 24 --to sheet")
    lines = ["id,rating", *(f"{id},3" for id in read_json(run / "annotation_key.json"))]
    Path("ada.csv").write_text("\n".join(lines))
    _, path = judged(("planted:obedient",))
    assert path.parent == run
    said = say(f"judge annotate {path} --read ada.csv")
    assert said.code == 0 and "left out" not in said.err
    found = read_json(run / "annotations.json")
    assert (found["results"], found["texts"], set(found["judges"])) == (path.name, 24, {"planted:obedient"})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--to {run}", "is the run's own folder, which tells raters what is what"),
        ("--n 0 --to x", "--n 0: expected a number of replies of 1 or more"),
        ("", "draws a sheet with --to DIR, or reads filled ones with --read FILE"),
        ("--read none.csv", "no sheet was drawn from"),
        ("--read none.csv --to x", "takes no --to"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(run: Path, say: Say, line: str, message: str) -> None:
    said = say(f"judge annotate {run} " + line.format(run=run))
    assert said.code in (1, 2) and message in said.err and said.out == ""


def test_a_run_without_written_replies_has_none_to_rate(say: Say) -> None:
    say("run --model scripted:uniform --tasks mini_ipip --scoring choice --limit 5 --output_path runs")
    (folder,) = Path("runs").iterdir()
    said = say(f"judge annotate {folder} --to sheet")
    assert said.code == 2 and "no task of mini_ipip has written replies to rate" in said.err
    assert not Path("sheet").exists()


IDS = ("a1", "b2", "c3")


@pytest.mark.parametrize(
    "text",
    [
        "id,rating\na1,3\nb2,x\nc3,\n",
        '\ufeffid;rating;rater\r\n"a1";"3";\r\nb2;X;\r\nc3;;\r\n',
        "rating\tid\treply\n3\ta1\tand, so; on\nx\tb2\t\n\tc3\t\n\n",
        'ID,Rating,reply\na1, 3 ,"two\nlines, and a comma"\nb2,cannot tell,z\nc3,,z\n',
    ],
)
def test_whatever_a_spreadsheet_makes_of_a_sheet_is_read(tmp_path: Path, text: str) -> None:
    for encoding in ("utf-8", "utf-16") if text[0] != "\ufeff" else ("utf-8",):
        (tmp_path / "ada.csv").write_bytes(text.encode(encoding))
        assert read_sheet(tmp_path / "ada.csv", IDS) == [Rated(rater="ada", ratings={"a1": 3, "b2": None}, blank=1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,rating\nz9,3\n", "line 2: no reply has the id 'z9'"),
        ("id,rating\na1,6\n", "the rating '6' of a1; expected a whole number from 0 to 5"),
        ("id,rating\na1,3.5\n", "the rating '3.5'"),
        ("id,rating\na1,3\nb2,2\na1,4\n", "line 4: a1 stands on line 2 already"),
        ("id,score\na1,3\n", "no column rating"),
        ("id,rating\na1,\n", "holds no rating"),
        ("", "no column id"),
        ('id,rating,reply\na1,3,"not closed\nb2,2,\n', "expected CSV with every quote closed"),
        (f"id,rating,reply\na1,3,{'x' * 200_000}\n", "line 2: field larger than field limit"),
    ],
)
def test_what_is_no_rating_is_named_by_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "ada.csv").write_text(text)
    with pytest.raises(BadData, match=message):
        read_sheet(tmp_path / "ada.csv", IDS)


def test_several_people_may_stand_in_one_file(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("id,rating,rater\na1,3,ada\na1,4,bo\nb2,1,bo\n")
    assert [(one.rater, len(one.ratings)) for one in read_sheet(tmp_path / "all.csv", IDS)] == [("ada", 1), ("bo", 2)]


def test_a_judge_that_is_wrong_is_corrected_by_people() -> None:
    """The judge halves every difference; the corrected contrast covers the true one, the judge's own does not."""
    rng = np.random.default_rng(0)
    replies, ratings = [], {}
    for condition, level, mean in (("openness=high", 1.0, 4.0), ("openness=low", -1.0, 1.0)):
        for n in range(150):
            true = mean + rng.normal(0, 0.7)
            id = f"{condition}{n}"
            replies.append(Scored(id, "openness", condition, level, {"half": 2.5 + (true - 2.5) / 2}))
            if n < 40:
                ratings[id] = int(np.clip(round(true), 0, 5))
    found = annotated("results.json", replies, [Rated(rater="ada", ratings=ratings)])
    (one,) = found.contrasts
    assert one.uncorrected_ci and one.uncorrected_ci[1] < 2
    assert one.corrected.ci and one.corrected.ci[0] < 3 < one.corrected.ci[1] and one.corrected.a.rated == 40
    assert len(tables(found)) == 2 and found.judges["half"].alpha is not None


ODD = "</script><script>document.title='taken'</script> =1+1 & \"x\" <b>bold</b>"


def test_texts_are_escaped_in_form_and_table(tmp_path: Path) -> None:
    write_sheet([Entry(id="a1", dimension="openness", question="Why?", reply="=HYPERLINK(1)")], tmp_path)
    assert rows(tmp_path / "sheet.csv")[0]["reply"] == "'=HYPERLINK(1)"
    write_sheet([Entry(id="a1", dimension="openness", question=ODD, reply=ODD)], tmp_path)
    assert ODD not in (tmp_path / "form.html").read_text("utf-8")
    with pytest.raises(BadData, match="no replies"):
        write_sheet([], tmp_path)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    yield from chromium(tmp_path_factory.mktemp("downloads"))


@needs_browser
def test_the_form_works_from_the_disk(driver: Any, tmp_path: Path) -> None:
    entries = [
        Entry(id="a1", dimension="openness", question=ODD, reply=ODD),
        Entry(id="b2", dimension="extraversion", question="What now?", reply="I sing.\nLoudly."),
        Entry(id="c3", dimension="openness", question="And then?", reply="Nothing."),
    ]
    write_sheet(entries, tmp_path)
    page = (tmp_path / "form.html").as_uri()
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})

    def text(id: str) -> str:
        return str(driver.execute_script(f"return document.getElementById('{id}').textContent"))

    def press(key: str) -> None:
        driver.find_element("tag name", "body").send_keys(key)

    driver.get(page)
    assert text("reply") == ODD and driver.title == "Rating of written replies"
    assert text("progress") == "Reply 1 of 3, 0 rated"
    held = "new KeyboardEvent('keydown', {key: '4', repeat: true, bubbles: true})"
    driver.execute_script(f"document.body.dispatchEvent({held})")
    assert text("progress") == "Reply 1 of 3, 0 rated", "a key held down rates one reply"
    press("4")
    assert text("reply") == entries[1].reply and "extraversion" in text("legend")
    assert len(driver.find_elements("css selector", "input[type=radio]")) == 7
    driver.find_element("css selector", "input[value='2']").click()
    assert text("progress") == "Reply 2 of 3, 2 rated"
    driver.get(page)
    assert text("progress") == "Reply 2 of 3, 2 rated", "kept in the browser"
    assert driver.find_element("css selector", "input[value='2']").is_selected()
    driver.find_element("id", "open").click()
    assert text("reply") == "Nothing."
    press("x")
    driver.find_element("id", "rater").send_keys("Ada 5x")
    assert text("progress") == "Reply 3 of 3, 3 rated"
    for control in driver.find_elements("css selector", "input, button"):
        assert control.accessible_name, control.get_attribute("outerHTML")
    driver.find_element("id", "save").click()
    for _ in range(200):
        if (saved := tmp_path / "ratings-Ada_5x.csv").is_file() and saved.read_bytes().count(b"\n") == 4:
            break
        __import__("time").sleep(0.05)
    assert read_sheet(saved, IDS) == [Rated(rater="Ada 5x", ratings={"a1": 4, "b2": 2, "c3": None})]
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
