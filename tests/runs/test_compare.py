"""Two runs beside each other: differences by hand, and what cannot be compared."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from result_files import rewrite
from scipy import stats

from traitbench import store
from traitbench.cli.commands import main
from traitbench.errors import BadData
from traitbench.inventories import load
from traitbench.runs import finished
from traitbench.runs.compare import compare, tables
from traitbench.runs.compare.judged import Values, judge
from traitbench.runs.finished import graded
from traitbench.runs.side_effects.records import Graded, Measured, Measurement, SideEffects
from traitbench.samples import Sample
from traitbench.statistics.comparison import paired
from traitbench.statistics.equivalence import SHARE, tost


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    lines = {
        "strong": "-a obedience=0.3,noise=0.1,item_sd=0.1 -m prompting --scoring choice,statement",
        "weak": "-a obedience=0.1,noise=0.1,item_sd=0.1 -m prompting --scoring choice,statement",
        "forward": "-a obedience=0.1 -m prompting --scoring choice --orders forward",
        "none": "-m none",
    }
    out = {}
    for name, line in lines.items():
        base = f"run -M scripted:person -t ipip_50 --bootstrap_iters 20 -o {folder / name} {line}"
        assert main(base.split()) == 0
        out[name] = next((folder / name).iterdir())
    return out


def test_differences_and_p_values_are_those_by_hand(runs: dict[str, Path]) -> None:
    found = {(p.scoring, p.target): p for p in compare(runs["strong"], runs["weak"], print).pairs}
    assert len(found) == 10
    shifts: dict[str, dict[str, float]] = {}
    for name in ("strong", "weak"):
        cells: dict[str, float] = defaultdict(float)
        for line in next(runs[name].glob("samples_*.jsonl")).read_text("utf-8").splitlines():
            row = json.loads(line)
            trait, _, level = (row.get("target") or "").partition("=")
            if row["scoring"] == "choice" and trait == row["trait"] == "extraversion":
                cells[row["item"]] += (1 if level == "high" else -1) * row["value_keyed"] / 2
        shifts[name] = cells
    d = np.array([shifts["strong"][i] - shifts["weak"][i] for i in shifts["strong"]])
    one = found["choice", "extraversion"]
    # Percent of the range of four points.
    d = d * 25
    assert one.unit == "POMP" and found["statement", "extraversion"].unit == "nats a token"
    assert one.paired.difference == pytest.approx(d.mean())
    assert one.effect_a - one.effect_b == pytest.approx(d.mean())
    # Five items of each key: Welch's df, here 4, since one key does not vary at all.
    assert one.paired.n == len(d) == 10
    assert one.paired.df == pytest.approx(4)
    assert one.paired.t is not None
    assert one.paired.p == pytest.approx(2 * stats.t.sf(abs(one.paired.t), 4))
    assert all(p.p_holm is None or p.p_holm >= (p.paired.p or 0) for p in found.values())


def test_samples_are_read_and_graded_once(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counted(path: Path, kind: type[Sample]) -> list[Sample]:
        read.append(path)
        return store.read_lines(path, kind)

    monkeypatch.setattr(finished, "store", SimpleNamespace(**{**vars(store), "read_lines": counted}))
    compare(runs["strong"], runs["weak"], print)
    assert [path.parent for path in read] == [runs["strong"], runs["weak"]]


def test_holm_is_over_the_targets_of_one_mode(runs: dict[str, Path]) -> None:
    found = [p for p in compare(runs["strong"], runs["weak"], print).pairs if p.scoring == "statement"]
    p = sorted((pair.paired.p or 0, pair.p_holm or 0) for pair in found)
    running = 0.0
    for rank, (raw, adjusted) in enumerate(p):
        running = max(running, min(1.0, (5 - rank) * raw))
        assert adjusted == pytest.approx(running)


def test_a_run_against_itself_does_not_differ(runs: dict[str, Path]) -> None:
    for pair in compare(runs["strong"], runs["strong"], print, {"choice": 2, "statement": 0.1}).pairs:
        assert pair.verdict == "equivalent"
        assert pair.paired.difference == pytest.approx(0, abs=1e-12)
        assert pair.paired.p is None
        assert pair.paired.reason
        assert "power" in pair.reasons


def test_power_grows_with_the_effect_asked_about(runs: dict[str, Path]) -> None:
    asked = ({"choice": 25 * e, "statement": e} for e in (0.002, 0.02))
    small, large = (compare(runs["strong"], runs["weak"], print, effect=e).pairs for e in asked)
    for a, b in zip(small, large, strict=True):
        if not a.reasons:
            assert a.power is not None and b.power is not None and a.power < b.power
        assert a.items_needed is None or b.items_needed is None or a.items_needed > b.items_needed


def test_what_cannot_be_compared_says_why(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs["strong"]), str(runs["none"])]) == 1
    assert "share no target" in capsys.readouterr().err
    assert main(["compare", str(runs["strong"]), str(runs["forward"])]) == 1
    assert "asked in different ways" in capsys.readouterr().err


def test_the_table_and_the_json(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(runs["strong"]), str(runs["weak"])]
    assert main(["compare", *names, "--effect", "choice=5,statement=0.2", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["pairs"]) == 10
    assert main(["compare", *names, "--format", "markdown"]) == 0
    assert "| extraversion |" in capsys.readouterr().out


@pytest.fixture(scope="module")
def designs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Results files of one control in three designs, and of a stronger one."""
    folder = tmp_path_factory.mktemp("designs")
    base = "run -M scripted:person -t mini_ipip -m prompting --bootstrap_iters 20 --scoring choice"
    lines = {
        "poles": "-a obedience=0.1",
        "profiles": "-a obedience=0.1 --target profiles",
        "baseline": "-a obedience=0.1 --target extraversion=high",
        "strong": "-a obedience=0.2",
        "strong profiles": "-a obedience=0.2 --target profiles",
    }
    for name, line in lines.items():
        assert main([*f"{base} {line}".split(), "-o", str(folder / name)]) == 0
    return {name: next((folder / name).glob("*/results_*.json")) for name in lines}


def joined(to: Path, *paths: Path) -> Path:
    """One folder of an older version that holds several runs."""
    for path in paths:
        shutil.copytree(path.parent, to, dirs_exist_ok=True)
    return to


def test_a_later_run_of_another_design_is_not_subtracted(designs: dict[str, Path], tmp_path: Path) -> None:
    both = joined(tmp_path / "both", designs["poles"], designs["profiles"])
    found = compare(both, designs["strong"], print)
    alone = compare(designs["poles"], designs["strong"], print)
    assert [p.paired for p in found.pairs] == [p.paired for p in alone.pairs] and len(found.pairs) == 5
    assert {(p.design, p.file_a, p.file_b) for p in found.pairs} == {
        ("poles", str(both / designs["poles"].name), str(designs["strong"]))
    }
    # Obedience .1 and .2 of the range, both ways.
    assert [p.effect_a for p in found.pairs] == pytest.approx([20] * 5)
    assert [p.effect_b for p in found.pairs] == pytest.approx([40] * 5)


@pytest.mark.parametrize(("a", "b"), [("poles", "profiles"), ("baseline", "poles"), ("profiles", "baseline")])
def test_effects_of_two_designs_are_not_compared(designs: dict[str, Path], a: str, b: str) -> None:
    with pytest.raises(BadData, match=rf"design; expected .* \({a}\).* \({b}\)"):
        compare(designs[a], designs[b], print)


def test_several_designs_on_both_sides_are_refused_with_what_to_type(
    designs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = joined(tmp_path / "a", designs["poles"], designs["profiles"])
    b = joined(tmp_path / "b", designs["strong"], designs["strong profiles"])
    assert main(["compare", str(a), str(b)]) == 1
    said = capsys.readouterr().err
    for one, two in (("poles", "strong"), ("profiles", "strong profiles")):
        first, second = a / designs[one].name, b / designs[two].name
        assert f"'{first}' '{second}'" in said
        assert main(["compare", str(first), str(second)]) == 0
        assert f"a: {first}" in capsys.readouterr().out.replace("\n", "")


def test_one_design_asked_in_two_ways_is_refused(designs: dict[str, Path], tmp_path: Path) -> None:
    line = "run -M scripted:person -t mini_ipip -m prompting -a obedience=0.1 --scoring choice --orders forward"
    assert main([*line.split(), "-o", str(tmp_path / "forward")]) == 0
    (forward,) = (tmp_path / "forward").glob("*/results_*.json")
    both = joined(tmp_path / "both", designs["poles"], forward)
    with pytest.raises(BadData, match="asked in two ways; name one results file"):
        compare(both, designs["strong"], print)


def test_the_pages_example_compares_one_design() -> None:
    root = Path(__file__).resolve().parents[2]
    page = (root / "docs" / "reading.md").read_text("utf-8")
    (line,) = re.findall(r"^traitbench (compare 'results/.*)$", page, re.MULTILINE)
    _, a, b, *_ = shlex.split(line)
    found = compare(root / a, root / b, print)
    assert {p.design for p in found.pairs} == {"poles"} and len({(p.file_a, p.file_b) for p in found.pairs}) == 1
    (one,) = [p for p in found.pairs if (p.scoring, p.target) == ("statement", "extraversion")]
    assert one.paired.ci is not None
    assert (one.paired.difference, *one.paired.ci) == pytest.approx((0.38, 0.26, 0.51), abs=0.005)
    others = [p.p_holm for p in found.pairs if p.scoring == "statement" and p is not one]
    assert all(p is not None and p > 0.05 for p in others)


def test_the_verdict_is_that_of_p_and_of_the_interval(runs: dict[str, Path]) -> None:
    found = compare(runs["strong"], runs["weak"], print, bounds={"choice": 1000}).pairs
    assert {p.verdict for p in found if p.scoring == "choice"} <= {"a higher", "b higher", "equivalent"}
    for bounds in ({"choice": 0.01, "statement": 0.001}, {"choice": 1000, "statement": 1000}):
        for pair in compare(runs["strong"], runs["weak"], print, bounds=bounds).pairs:
            assert pair.equivalence is not None and pair.equivalence.bound == bounds[pair.scoring]
            d, p = pair.paired.difference, pair.p_holm
            assert pair.p == pair.paired.p and d is not None
            if p is not None and p < 0.05:
                assert pair.verdict == ("a higher" if d > 0 else "b higher")
            else:
                assert pair.verdict == ("equivalent" if pair.equivalence.equivalent else "inconclusive")
    strong = next(p for p in found if (p.scoring, p.target) == ("choice", "extraversion"))
    assert strong.verdict == "a higher"


def test_the_smallest_effect_seen_has_a_power_of_80(runs: dict[str, Path]) -> None:
    (one,) = (p for p in compare(runs["strong"], runs["weak"], print).pairs if p.scoring + p.target == "choiceopenness")
    assert one.detectable is not None
    again = compare(runs["strong"], runs["weak"], print, {"choice": one.detectable}).pairs
    (asked,) = (p for p in again if p.scoring + p.target == "choiceopenness")
    assert asked.power == pytest.approx(0.8) and asked.items_needed in (one.paired.n, one.paired.n + 1)


def test_flips_are_those_by_hand(runs: dict[str, Path]) -> None:
    """An item is hit where its likeliest option, averaged over orders, is higher (keyed) under high than under low."""
    hits: dict[str, dict[str, bool]] = {}
    for name in ("strong", "weak"):
        cells: dict[str, float] = defaultdict(float)
        for line in next(runs[name].glob("samples_*.jsonl")).read_text("utf-8").splitlines():
            row = json.loads(line)
            trait, _, level = (row.get("target") or "").partition("=")
            if row["scoring"] == "choice" and trait == row["trait"] == "neuroticism":
                value = row["option_values"][int(np.argmax(row["option_logprobs"]))]
                cells[row["item"]] += (1 if level == "high" else -1) * row["keyed"] * value
        hits[name] = {item: moved > 0 for item, moved in cells.items()}
    found = {(p.scoring, p.target): p.flips for p in compare(runs["strong"], runs["weak"], print).pairs}
    both = [(hits["strong"][i], hits["weak"][i]) for i in hits["strong"]]
    flipped = found["choice", "neuroticism"]
    assert flipped is not None
    counts = [both.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
    assert [flipped.both, flipped.a_only, flipped.b_only, flipped.neither] == counts and flipped.a_only > 0
    assert all(flips is None for (mode, _), flips in found.items() if mode == "statement")


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--effect 0.1", "--effect 0.1 has no one unit: the runs hold choice in POMP, statement in nats a token; give"),
        ("--bounds 2", "--bounds 2 has no one unit"),
        ("--bounds choise=2", "unknown part of --bounds 'choise'; did you mean 'choice'?"),
        ("--effect choice=-1", "--effect choice=-1: expected a number above 0"),
        ("--effect choice=x", "--effect choice=x: expected a number above 0"),
        ("--effect much", "--effect much: expected a number, e.g. --effect 0.1"),
        ("--bounds choice", "--bounds choice: expected a number, e.g. --bounds 0.1"),
    ],
)
def test_a_number_needs_a_unit(runs: dict[str, Path], flag: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs["strong"]), str(runs["weak"]), *flag.split()]) == 2
    assert said in capsys.readouterr().err


def test_one_number_will_do_for_one_unit(designs: dict[str, Path]) -> None:
    found = compare(designs["poles"], designs["strong"], print, 5, 30)
    assert found.effect == {"choice": 5} and found.bounds == {"choice": 30}


@pytest.fixture(scope="module")
def wordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wordings")
    base = (
        "run -M scripted:person -m prompting -t ipip_neo_120 --target extraversion=high --scoring choice,statement "
        "--bootstrap_iters 20"
    )
    lines = {
        "strong": "-a obedience=0.3,noise=0.2,item_sd=0.2 --templates 2",
        "weak": "-a obedience=0.1,noise=0.3,item_sd=0.1 --templates 2",
        "one": "-a obedience=0.1,noise=0.3,item_sd=0.1",
    }
    out = {}
    for name, line in lines.items():
        assert main([*base.split(), *line.split(), "-o", str(folder / name)]) == 0
        out[name] = next((folder / name).iterdir())
    return out


@pytest.mark.parametrize("mode", ["choice", "statement"])
def test_facets_and_wordings_count_as_by_hand(wordings: dict[str, Path], mode: str) -> None:
    """The shift of each item under each template, and `paired` with the facets as clusters and templates as an axis."""
    items = [item for item in load("ipip_neo_120", texts=False).items if item.trait == "extraversion"]
    shifts = {}
    for name in ("strong", "weak"):
        cells: dict[tuple[str, int, str], list[float]] = defaultdict(list)
        for line in next(wordings[name].glob("samples_*.jsonl")).read_text("utf-8").splitlines():
            row = json.loads(line)
            if row["scoring"] == mode and row["trait"] == "extraversion":
                cells[row["item"], row["template"], row["condition"]].append(row["keyed"] * row["value_raw"])
        shifts[name] = np.array([
            [np.mean(cells[i.id, t, "extraversion=high"]) - np.mean(cells[i.id, t, "baseline"]) for t in (0, 4)]
            for i in items
        ])  # fmt: skip
    unit = 25 if mode == "choice" else 1
    a, b = unit * shifts["strong"], unit * shifts["weak"]
    how = ([i.keyed for i in items], "halves" if mode == "statement" else "items")
    also = {"clusters": [i.facet for i in items], "over": ["templates"]}
    by_hand, alike = paired(a, b, *how, **also), tost(a, b, 40.0, *how, **also)  # type: ignore[arg-type]
    found = compare(
        wordings["strong"], wordings["weak"], print, bounds={"choice": 40, "statement": 40}, effect={mode: 2}
    )
    (one,) = (pair for pair in found.pairs if pair.scoring == mode)
    assert one.paired.covers == by_hand.covers and by_hand.covers[-1] == "templates"
    for name in ("difference", "se", "df", "p", "ci"):
        assert getattr(one.paired, name) == pytest.approx(getattr(by_hand, name)), name
    assert one.equivalence is not None and one.equivalence.ci == pytest.approx(alike.ci)
    assert one.equivalence.p == pytest.approx(alike.p)
    assert one.effect_a - one.effect_b == pytest.approx(by_hand.difference)
    # The power is that of a t test with the SE and the degrees of freedom of this one.
    assert by_hand.se is not None and by_hand.df is not None
    critical = stats.t.ppf(0.975, by_hand.df)
    tails = stats.nct.sf(critical, by_hand.df, 2 / by_hand.se) + stats.nct.cdf(-critical, by_hand.df, 2 / by_hand.se)
    assert one.power == pytest.approx(tails, rel=1e-4)
    assert one.items_needed is None and "templates were drawn too" in one.reasons["items_needed"]
    (file,) = wordings["strong"].glob("results_*.json")
    kept, samples, made = graded(file)
    (part,) = (s.part for s in made["ipip_neo_120"].shifts(kept, samples["ipip_neo_120"]) if s.filter == mode)
    assert part.clusters == {i.id: i.facet for i in items} and part.over == ["templates", "fits"]
    assert np.array([part.values[i.id] for i in items]) == pytest.approx(a)
    (table,) = tables(found)
    assert any(note.startswith(f"Intervals cover {', '.join(by_hand.covers)}") for note in table.notes) or any(
        f"{', '.join(by_hand.covers)} (extraversion {mode})" in note for note in table.notes
    )


def test_runs_with_other_wordings_are_refused_with_what_differs(
    wordings: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(wordings["strong"]), str(wordings["one"])]) == 1
    said = capsys.readouterr().err
    assert "asked in different ways (templates: 0, 4 and 0)" in said and "--templates of the other" in said


def test_what_facets_and_wordings_add_is_in_every_number() -> None:
    """24 items in six facets that move together, two wordings that move all items: test, TOST and power know it."""
    rng = np.random.default_rng(5)
    facets = [f"f{place // 4}" for place in range(24)]
    d = np.repeat(rng.normal(0, 2, 6), 4)[:, None] + rng.normal(0, 0.5, (24, 2)) + np.array([2.0, 8.0])
    zeros, keys = np.zeros_like(d), np.tile([1, -1], 12)
    one = judge(Values(d, zeros, keys, facets, "items", ("templates",)), 20.0, 10.0)
    flat = judge(Values(d.mean(axis=1), zeros[:, 0], keys), 20.0, 10.0)
    assert one.paired == paired(d, zeros, keys, clusters=facets, over=["templates"])
    assert one.equivalence == tost(d, zeros, 20.0, keys, clusters=facets, over=["templates"])
    assert one.paired.covers == ["facets", "templates"] and flat.paired.covers == ["items"]
    assert one.paired.se is not None and flat.paired.se is not None and one.paired.se > 2 * flat.paired.se
    # Two wordings leave about one degree of freedom.
    assert one.paired.df is not None and one.paired.df < 3
    assert one.power is not None and flat.power is not None and one.power < 0.5 < flat.power
    assert one.detectable is not None and flat.detectable is not None and one.detectable > 4 * flat.detectable
    assert one.items_needed is None and flat.items_needed is not None
    assert flat.equivalence is not None and flat.equivalence.equivalent


def test_answers_that_mean_nothing_get_no_verdict(tmp_path: Path) -> None:
    """Two runs of a respondent that always takes the first option agree on every item."""
    runs = []
    for style in ("adjective", "p2"):
        line = f"run -M scripted:first -m prompting --method_args style={style} -t mini_ipip --scoring choice"
        assert main(f"{line} --bootstrap_iters 20 -o {tmp_path / style}".split()) == 0
        runs.append(next((tmp_path / style).iterdir()))
    found = compare(*runs, print)
    assert {pair.verdict for pair in found.pairs} == {"not interpretable"}


def test_side_effects_are_compared_document_by_document(tmp_path: Path) -> None:
    """Three documents of two runs, of which one took the second from what was right, and one the first two."""
    kept = {"mine": [0.0, 1.0, 1.0, 0.0], "other": [1.0, 0.0, 0.0, 0.0], "few": [1.0, 1.0]}
    folders = {}
    for name, right in kept.items():
        assert main(f"run -M scripted:person -t mini_ipip --scoring statement -m prompting --target extraversion=high "
                    f"--bootstrap_iters 20 -a obedience=0.1 -o {tmp_path / name}".split()) == 0  # fmt: skip
        folders[name] = next((tmp_path / name).iterdir())
        path = next(folders[name].glob("results_*.json"))
        lines = [
            Graded(task="sums", doc_id=n, doc_hash=f"h{n}", condition=condition, control_hash="c",
                   metrics={"acc,none": value})
            for condition, values in (("baseline", [1.0, 1.0, 1.0, 0.0][: len(right)]), ("extraversion=high", right))
            for n, value in enumerate(values)
        ]  # fmt: skip
        written = store.write_lines(path.with_name(path.name.replace("results_", "side_effects_") + "l"), lines)
        one = Measurement(
            kind="task", version="1", higher_is_better={"acc": True}, aggregation={"acc": "mean"},
            metrics={"acc,none": {c: Measured(value=0.5, n=4) for c in ("baseline", "extraversion=high")}},
        )  # fmt: skip
        told = SideEffects(
            lm_eval="0", asked=["sums"], shown=["sums"], limit=None, chat_template=True, tasks={"sums": one},
            sha256=written,
        )  # fmt: skip
        held = json.loads(path.read_text())
        rewrite(path, {**held, "side_effects": told.model_dump(mode="json")})
    found = compare(folders["mine"], folders["other"], print)
    (pair,) = [pair for pair in found.pairs if pair.task == "sums"]
    assert (pair.scoring, pair.target, pair.design, pair.unit) == ("acc", "extraversion=high", "baseline", SHARE)
    assert (pair.effect_a, pair.effect_b) == pytest.approx((-1 / 4, -2 / 4))
    by_hand = stats.ttest_1samp(np.array(kept["mine"]) - kept["other"], 0)
    assert pair.paired.difference == pytest.approx(0.25) and pair.paired.p == pytest.approx(by_hand.pvalue)
    # Over two documents: two changes of a share are at most 2 apart.
    (few,) = [pair for pair in compare(folders["mine"], folders["few"], print).pairs if pair.task == "sums"]
    assert few.paired.difference == -0.5 and few.paired.n == 2 and few.paired.ci == (-2, 2)
    (table,) = tables(found)
    assert ["extraversion=high", "sums, acc"] in [row[:2] for row in table.rows]
    # Four documents without a flip prove no likeness.
    (same,) = [pair for pair in compare(folders["mine"], folders["mine"], print).pairs if pair.task == "sums"]
    assert same.paired.difference == 0 and same.verdict == "inconclusive"
    # A task that was put in another way is another task, and the rest is compared without it.
    path = next(folders["other"].glob("results_*.json"))
    held = json.loads(path.read_text())
    held["side_effects"]["tasks"]["sums"]["version"] = "2"
    rewrite(path, held)
    said: list[str] = []
    rest = compare(folders["mine"], folders["other"], said.append)
    assert {pair.task for pair in rest.pairs} == {"mini_ipip"}
    assert said == [line for line in said if line.startswith("passed over sums, acc, extraversion=high: a has")] != []
