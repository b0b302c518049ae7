"""Alignment with persons on the Short Dark Triad: items, baselines by plain loops, whole runs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from statistics import mean

import numpy as np
import pytest

from traitbench.cli.commands import main
from traitbench.errors import BadData, TraitbenchUsage
from traitbench.runs.aims import meant
from traitbench.runs.plan import Plan
from traitbench.targets import persons, sd3
from traitbench.tasks import Administration
from traitbench.tasks.person_alignment import DarkAlignment, PersonAlignment
from traitbench.tasks.person_alignment.alignment import alignment
from traitbench.tasks.person_alignment.tables import tables

CHOICE = Administration(scoring=("choice",))
ITEMS = {item.id: item for item in sd3.key()}


def test_items_are_the_half_that_nobody_has_seen() -> None:
    task = DarkAlignment(CHOICE)
    assert [item.id for item in task.items] == [item.id for item in sd3.split()[1]]
    assert task.restricted and task.traits == () and task.original == 13
    assert not {item.id for item in task.items} & set(sd3.KNOWN)


def test_without_texts_nothing_is_asked() -> None:
    with pytest.raises(BadData, match="traitbench data get sd3 --accept_licence"):
        DarkAlignment(CHOICE).requests(0)


def test_targets_bring_their_own_task() -> None:
    for target, task in (("person:sd3", "person_alignment_sd3"), ("person:SD3:20", "person_alignment_sd3"),
                         ("person:papi:20", "person_alignment"), ("person:me.csv", "person_alignment")):  # fmt: skip
        assert Plan.model_validate({"target": target}).tasks == (task,)
    assert Plan.model_validate({"target": "person:sd3", "tasks": ("sd3",)}).tasks == ("sd3",)
    assert meant(None, [DarkAlignment(CHOICE)]) == "person:sd3"


def made(n: int = 6) -> tuple[dict[str, dict[str, int]], dict[str, np.ndarray]]:
    """Known and test answers of invented people, one of them silent about narcissism."""
    rng = np.random.default_rng(2)
    known, test = sd3.split()
    seen = {f"p{i}": {item.id: int(rng.integers(1, 6)) for item in known} for i in range(n)}
    seen["p0"] = {id: value for id, value in seen["p0"].items() if "_N" not in id}
    return seen, {f"p{i}": rng.integers(1, 6, len(test)).astype(float) for i in range(n)}


def test_baselines_by_plain_loops() -> None:
    known, tests = made()
    test = sd3.split()[1]
    found = alignment({}, {}, tests, known, test, every=sd3.key(), iterations=200)
    rows = {row.name: row for row in found.rows}
    assert "facet mean" not in rows, "no facets, so nothing beside the trait means"
    assert found.measured == 3 == len(found.traits)
    guesses: dict[str, dict[str, list[float]]] = {name: {} for name in ("constant 2", "overall mean", "trait mean")}
    for id, seen in known.items():
        keyed = {item: 6 - v if ITEMS[item].keyed == -1 else v for item, v in seen.items()}
        every = mean(keyed.values())
        for place, item in enumerate(test):
            own = [v for other, v in keyed.items() if ITEMS[other].trait == item.trait]
            for name, guess in (("constant 2", None), ("overall mean", every), ("trait mean", mean(own or [every]))):
                raw = 2.0 if guess is None else 6 - guess if item.keyed == -1 else guess
                guesses[name].setdefault(item.trait, []).append(abs(raw - tests[id][place]))
    for name, errors in guesses.items():
        assert rows[name].mae_sum.value == pytest.approx(sum(mean(mine) for mine in errors.values())), name
        assert rows[name].mae_sum.ci
    (main_table, *_) = tables(found)
    assert not any("the sums are not those" in note for note in main_table.notes)


def test_answers_to_another_instrument_are_refused() -> None:
    known, tests = made()
    with pytest.raises(BadData, match=r"expected ids of the instrument, e\.g\. i1"):
        alignment({}, {}, tests, known, sd3.split()[1])


def test_persons_of_the_other_instrument_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "me.csv"
    path.write_text(",".join(ITEMS) + "\n" + ",".join("24135"[n % 5] for n in range(27)) + "\n")
    found = persons.dark(str(path), keyed=False)
    DarkAlignment(CHOICE).check(f"person:sd3:{path}", found)
    with pytest.raises(TraitbenchUsage, match="answered sd3, and person_alignment tests ipip_neo_300"):
        PersonAlignment(CHOICE).check(f"person:sd3:{path}", found)
    with pytest.raises(TraitbenchUsage, match="expected person:sd3, person:sd3:20 or person:sd3:FILE"):
        DarkAlignment(CHOICE).check("psychopathy=high", None)


@pytest.mark.data
def test_a_whole_run_shows_published_nothing_that_is_restricted_and_scores_again(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", "--model", "scripted:person", "--target", "person:sd3:4", "-m", "prompting", "--method_args",
           "style=person", "-o", str(tmp_path / "runs"), "--format", "json"]  # fmt: skip
    assert main(run) == 0
    found = json.loads(capsys.readouterr().out)
    alignment = found["tasks"]["person_alignment_sd3"]["modes"]["choice"]["alignment"]
    names = [row["name"] for row in alignment["rows"]]
    assert alignment["persons"] == 4 and alignment["items"] == 13 and names[-2:] == ["no control", "prompting"]
    assert names[:-2] == [*(f"constant {k}" for k in range(1, 6)), "uniform random", "overall mean", "trait mean"]
    (folder,) = (tmp_path / "runs").iterdir()
    assert main(["score", str(folder), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"] == found["tasks"]
    assert main(["export", str(folder), "--to", str(tmp_path / "out")]) == 0
    texts = json.loads((shared / "inventories" / "sd3.json").read_text())["items"]
    sent = b"".join(
        gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes()
        for p in (tmp_path / "out").rglob("*") if p.is_file()
    )  # fmt: skip
    assert not [row["id"] for row in texts if row["text"].encode() in sent]
    capsys.readouterr()
    assert main(["leaderboard", "--published", str(tmp_path / "out"), "-o", str(tmp_path)]) == 0
    board = (tmp_path / "leaderboard.md").read_text()
    assert "person_alignment_sd3" in board and "trait mean" in board
