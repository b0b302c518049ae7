"""A run beside people: the user's own sample, norms, SDs, and which samples stand where."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from traitbench import inventories
from traitbench.cli.commands import main
from traitbench.humans import between_person_sd, reference
from traitbench.humans.norms import standing

RUN = "run -M scripted:person --bootstrap_iters 20 --format json"


def run(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main([*f"{RUN} {line}".split(), "-o", str(folder)]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def people(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """400 people's raw answers to Mini-IPIP, minus-keyed items as given; and their keyed scale means."""
    rng = np.random.default_rng(0)
    items = inventories.load("mini_ipip").items
    traits = list(dict.fromkeys(item.trait for item in items))
    levels = rng.multivariate_normal(np.zeros(len(traits)), 0.3 + 0.7 * np.eye(len(traits)), 400)
    keyed = np.stack([levels[:, traits.index(i.trait)] + rng.normal(size=400) for i in items], axis=1)
    keyed = np.clip(np.round(3 + keyed), 1, 5).astype(int)
    raw = np.where([i.keyed == 1 for i in items], keyed, 6 - keyed)
    path = tmp_path / "people.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([i.id for i in items])
        writer.writerows(raw.tolist())
    scores = np.stack([keyed[:, [i.trait == t for i in items]].mean(axis=1) for t in traits], axis=1)
    return path, scores


def test_the_users_own_people_come_first(
    people: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, scores = people
    line = f"-a obedience=0.2,extraversion=0.7 -m prompting -t mini_ipip --reference {path} --raw"
    found = run(line, tmp_path / "runs", capsys)
    mine = found["reference"]
    assert (mine["name"], mine["n"], mine["instrument"]) == ("people.csv", 400, "mini_ipip")
    names = list(dict.fromkeys(i.trait for i in inventories.load("mini_ipip").items))
    order = [names.index(t) for t in mine["traits"]]
    assert mine["means"] == pytest.approx(scores.mean(axis=0)[order])
    assert np.array(mine["correlations"]) == pytest.approx(np.corrcoef(scores[:, order], rowvar=False))
    choice = found["tasks"]["mini_ipip"]["modes"]["choice"]
    human = choice["human"]
    assert human["similarity"][0]["reference"] == human["standing_reference"] == "people.csv"
    place = names.index("extraversion")
    sd = scores[:, place].std(ddof=1)
    z = human["standing"]["baseline"]["extraversion"]
    level = next(s for s in choice["scores"]["baseline"] if s["trait"] == "extraversion")["value"]
    assert z == pytest.approx((level - scores[:, place].mean()) / sd)
    effect = next(c["effect"] for c in choice["scorecard"]["contrasts"] if c["target"] == "extraversion")
    assert effect["sds"] == pytest.approx(effect["value"] / sd)
    run_folder = next((tmp_path / "runs").iterdir())
    path.unlink()
    assert main(["score", str(run_folder), "--format", "json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["tasks"]["mini_ipip"] == found["tasks"]["mini_ipip"], (
        "the figures of the people are kept, not their answers"
    )


def test_how_the_people_are_coded_must_be_said_and_is_checked(
    people: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = [*RUN.split(), "-t", "mini_ipip", "-o", str(tmp_path / "x")]
    assert main([*base, "--reference", str(people[0])]) == 2
    assert "--keyed" in capsys.readouterr().err
    assert main([*base, "--raw"]) == 2
    assert "there is neither" in capsys.readouterr().err
    assert main([*base, "--reference", str(people[0]), "--keyed"]) == 1
    assert "declare" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_effects_in_between_person_sds_of_the_same_instrument(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run("-a obedience=0.2 -m prompting -t ipip_neo_120 --target neuroticism=high", tmp_path, capsys)
    (contrast,) = found["tasks"]["ipip_neo_120"]["modes"]["choice"]["scorecard"]["contrasts"]
    for shift in contrast["shifts"]:
        assert shift["sds"] == pytest.approx(shift["value"] / (between_person_sd("ipip_neo_120", shift["trait"]) or 0))
    (spoken,) = found["tasks"]["ipip_neo_120"]["modes"]["statement"]["scorecard"]["contrasts"]
    assert {s["sds"] for s in spoken["shifts"]} == {None}


def test_norms_are_given_for_every_condition_and_can_be_asked_for_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "-a neuroticism=0.9,obedience=0.05 -m prompting --target neuroticism=low -t ipip_neo_120 --scoring choice"
    plain = run(line, tmp_path, capsys)
    assert plain["tasks"]["ipip_neo_120"]["modes"]["choice"]["human"]["norms"] == {}
    folder = str(next(tmp_path.iterdir()))
    assert main(["score", folder, "--norms", "f,30", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["tasks"]["ipip_neo_120"]["modes"]["choice"]["human"]["norms"]
    assert set(found) == {"baseline", "neuroticism=low"}
    level = found["baseline"]["neuroticism"]["value"]
    by_hand = standing({"neuroticism": level}, "ipip_neo_120", "F", 30)["neuroticism"]
    assert found["baseline"]["neuroticism"]["t"] == by_hand.t
    assert by_hand.z is not None and by_hand.z > 2
    assert main(["score", folder, "--norms", "F,30", "--format", "markdown"]) == 0
    assert "| baseline | choice | neuroticism | 4.60 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("norms", "task", "said"),
    [("F", "ipip_neo_120", "a sex and an age"), ("X,30", "ipip_neo_120", "sex"), ("F,5", "ipip_neo_120", "age"),
     ("F,30", "mini_ipip", "ipip_neo_120")],
)  # fmt: skip
def test_wrong_norms_are_refused_before_anything_is_asked(
    norms: str, task: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN.split(), "-t", task, "--norms", norms, "-o", str(tmp_path / "x")]) != 0
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_dark_triad_beside_its_own_people(tmp_path: Path, capsys: pytest.CaptureFixture[str], shared: Path) -> None:
    found = run("-a obedience=0.2 -m prompting -t sd3", tmp_path, capsys)
    similar = found["tasks"]["sd3"]["modes"]["statement"]["human"]["similarity"]
    assert [s["reference"] for s in similar] == ["sd3_online"]
    assert similar[0]["n"] == 6
    assert np.array(similar[0]["human"])[0, 1] == pytest.approx(
        reference("sd3_online").matrix(similar[0]["traits"])[0, 1]
    )


def test_a_published_sample_as_the_users_own_gives_the_figures_that_ship(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The SD3 answers of openpsychometrics.org, raw, cleaned as the shipped sample: the same means and correlations."""
    items = {i.id.removeprefix("sd3_"): i.id for i in inventories.load("sd3", texts=False).items}
    with gzip.open(shared / "data/human/openpsych_sd3.tsv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    path = tmp_path / "sd3.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(items.values())
        writer.writerows([[row[name] for name in items] for row in rows])
    found = run(f"-t sd3 --scoring choice --reference {path} --raw", tmp_path / "runs", capsys)["reference"]
    ours = reference("sd3_online")
    assert found["n"] == ours.n
    place = [found["traits"].index(t) for t in ours.traits]
    assert np.array(found["means"])[place] == pytest.approx(np.array(ours.means, dtype=float), abs=6e-5)
    matrix = np.array(found["correlations"])[np.ix_(place, place)]
    assert matrix == pytest.approx(ours.matrix(ours.traits), abs=6e-5)
