"""What is published: every number, no word of a restricted item, the same bytes each time."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from result_files import held, resealed, rewrite

from traitbench import inventories, load_results
from traitbench.backends.scripted import Scripted
from traitbench.cli.commands import main
from traitbench.errors import BadData
from traitbench.runs.finished import rescore
from traitbench.runs.publish import publish
from traitbench.runs.results import Results
from traitbench.samples import Sample
from traitbench.store import read_json, read_lines, write_json
from traitbench.types import Write

PERSON = "run -M scripted:person -a obedience=0.2,noise=0.1,refusals=0.1 --bootstrap_iters 20"


def ran(out: Path, line: str) -> Path:
    """Run, and return the results file."""
    assert main([*f"{PERSON} {line}".split(), "-o", str(out)]) == 0
    (path,) = out.glob("*/results_*.json")
    return path


def plain(text: str) -> str:
    """Words alone: no case, punctuation, escapes or line ends."""
    return " ".join(re.findall(r"[a-z0-9]+", re.sub(r"\\[nrtu\"]", " ", text).lower()))


def words_of(folder: Path) -> dict[str, str]:
    """File -> its words, gzip undone, names of files included."""
    out = {}
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            out[path.name] = plain(path.name + " " + (gzip.decompress(data) if path.suffix == ".gz" else data).decode())
    return out


def quoted(folder: Path, texts: list[str]) -> list[tuple[str, str]]:
    """Every item whose words stand in a file."""
    return [(name, text) for name, held in words_of(folder).items() for text in texts if plain(text) in held]


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    line = "-t mini_ipip -m prompting --target extraversion=high --scoring choice,statement,generate"
    return ran(tmp_path_factory.mktemp("public"), line)


@pytest.mark.parametrize("task", ["bfi_44", "sd3", "dirty_dozen"])
def test_no_item_of_a_restricted_instrument_goes_out(shared: Path, tmp_path: Path, task: str) -> None:
    items = inventories.load(task).items
    texts = [item.text or "" for item in items]
    assert all(len(plain(text)) > 3 for text in texts)
    trait = items[0].trait
    path = ran(
        tmp_path / "runs",
        f"-t {task} -m prompting --target {trait}=high --scoring choice,statement,generate --orders forward",
    )
    # The search finds what is there: a run's own folder holds every item.
    assert {text for _, text in quoted(path.parent, texts)} == set(texts)
    publish(path, tmp_path / "published")
    names = sorted(p.name for p in (tmp_path / "published").rglob("*") if p.is_file())
    stamp = path.stem.removeprefix("results_")
    assert names == [path.name, f"samples_{task}_{stamp}.jsonl.gz"]
    assert quoted(tmp_path / "published", texts) == []
    rows = read_lines(tmp_path / "published" / path.parent.name / names[1], Sample)
    assert len(rows) == 2 * 3 * len(items)
    assert all(row.doc == {"id": row.item} and row.arguments == [] for row in rows)
    assert {row.doc_hash for row in rows} == {item.text_hash for item in items}


def test_a_reply_that_quotes_a_restricted_item_goes_out_without_it(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [item.text or "" for item in inventories.load("bfi_44").items]

    def echo(self: Scripted, request: Write, shares: Any) -> str:
        number = int(re.findall(r"\d+", request.doc.item)[-1])
        return f"I see myself as someone who {texts[number - 1].upper()}, indeed: A" if number % 2 else "B"

    monkeypatch.setattr(Scripted, "_reply", echo)
    path = ran(tmp_path / "runs", "-t bfi_44 --scoring generate --model_args refusals=0")
    assert sum(any(plain(text) in plain(reply) for text in texts) for reply in resps(path)) == 2 * 22
    made = publish(path, tmp_path / "published")
    stamp = path.stem.removeprefix("results_")
    write_json(made.parent / f"prompts_bfi_44_{stamp}.json.gz", {row.prompt_hash: texts for row in samples_of(path)})
    publish(made, tmp_path / "again")
    assert len(list((tmp_path / "again").glob("*/*"))) == 2 and quoted(tmp_path / "again", texts) == []
    next(made.parent.glob("prompts_*")).unlink()
    assert quoted(tmp_path / "published", texts) == []
    rows = read_lines(next(made.parent.glob("samples_*.gz")), Sample)
    assert {row.resps[0][0] for row in rows} == {"B", "I see myself as someone who [item], indeed: A"}
    assert "valid" in {row.status for row in rows}
    assert numbers(rescore(made)) == numbers(rescore(path))


def samples_of(path: Path) -> list[Sample]:
    return read_lines(next(path.parent.glob("samples_*.jsonl")), Sample)


def resps(path: Path) -> list[str]:
    return [row.resps[0][0] for row in samples_of(path)]


def numbers(made: Any) -> dict[str, Any]:
    """Results, or those of a file, without the digest of the samples: published ones hold no texts, so have another."""
    dumped: dict[str, Any] = held(made) if isinstance(made, Path) else made.model_dump(mode="json", by_alias=True)
    assert set(dumped.pop("samples_sha256")) == set(dumped["versions"])
    return dumped


def test_the_published_folder_scores_to_the_same_numbers(public: Path, tmp_path: Path, capsys: Any) -> None:
    made = publish(public, tmp_path)
    assert made == tmp_path / public.parent.name / public.name
    assert numbers(made) == numbers(rescore(made)) == numbers(public)
    assert main(["score", str(made.parent), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == held(made)


def test_results_hold_the_digest_of_the_samples_beside_them(public: Path, tmp_path: Path) -> None:
    made = publish(public, tmp_path)
    for path in (public, made):
        (source,) = path.parent.glob("samples_*")
        data = gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()
        assert read_json(path)["samples_sha256"] == {"mini_ipip": hashlib.sha256(data).hexdigest()}


def test_changed_or_swapped_samples_are_refused_by_every_command_that_uses_them(
    public: Path, tmp_path: Path, capsys: Any
) -> None:
    """A digit of a log-probability, or the samples of another run: numbers would change without a word."""
    made = publish(public, tmp_path / "published")
    other = publish(ran(tmp_path / "other", "-t mini_ipip -m prompting --target extraversion=low"), tmp_path / "swap")
    (source,) = made.parent.glob("samples_*")
    text = gzip.decompress(source.read_bytes()).decode()
    digit = re.sub(r'("option_logprobs":\[-\d\.)(\d)', lambda m: m[1] + str((int(m[2]) + 1) % 10), text, count=1)
    assert digit != text
    run, to = made.parent, tmp_path / "to"
    for data in (gzip.compress(resealed(digit).encode()), next(other.parent.glob("samples_*")).read_bytes()):
        source.write_bytes(data)
        for line in (["score", run], ["export", run, "--to", to], ["report", run, "-o", to], ["compare", run, run],
                     ["leaderboard", "--published", run.parent, "-o", to]):  # fmt: skip
            capsys.readouterr()
            assert main([str(word) for word in line]) == 1, line
            said = capsys.readouterr()
            assert said.out == "" and str(source) in said.err
            assert "was changed or swapped; copy it again" in said.err or "holds" in said.err
    assert not to.exists()


def test_results_of_an_older_version_name_no_digest_and_are_read(public: Path, tmp_path: Path) -> None:
    made = publish(public, tmp_path)
    old = held(made)
    del old["samples_sha256"]
    made.write_text(json.dumps({**old, "schema_version": 3}))
    assert numbers(rescore(made)) == numbers(public)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"samples_sha256": {}}, "lacks the sha256 of the samples of mini_ipip"),
        ({"schema_version": 6}, "was made by a newer traitbench: its schema version is 6"),
    ],
)
def test_a_file_without_its_digests_or_of_a_newer_version_is_refused_by_every_command(
    public: Path, tmp_path: Path, capsys: Any, changed: dict[str, Any], told: str
) -> None:
    made = publish(public, tmp_path / "published")
    rewrite(made, {**read_json(made), **changed})
    run, to = made.parent, tmp_path / "to"
    for line in (["score", run], ["export", run, "--to", to], ["report", run, "-o", to], ["compare", run, run],
                 ["leaderboard", "--published", run.parent, "-o", to]):  # fmt: skip
        capsys.readouterr()
        assert main([str(word) for word in line]) == 1, line
        said = capsys.readouterr()
        assert said.out == "" and f"{made} {told}" in said.err and said.err.count("\n") == 1
    with pytest.raises(BadData, match=told):
        load_results(run)
    assert not to.exists()


def test_a_published_file_that_says_it_is_older_is_no_way_round_its_digests(
    public: Path, tmp_path: Path, capsys: Any
) -> None:
    made = publish(public, tmp_path / "published")
    made.write_text(json.dumps({**held(made), "samples_sha256": {}, "schema_version": 3}))
    assert main(["leaderboard", "--published", str(tmp_path / "published"), "-o", str(tmp_path / "to")]) == 1
    assert "its schema version is 3, not 5; compute it again with `traitbench export" in capsys.readouterr().err


def test_load_results_checks_the_samples_where_they_lie_beside(public: Path, tmp_path: Path) -> None:
    made = publish(public, tmp_path)
    assert load_results(made) == Results.model_validate(read_json(made)).kept_at(made)
    (source,) = made.parent.glob("samples_*")
    source.write_bytes(gzip.compress(gzip.decompress(source.read_bytes())[:-1]))
    with pytest.raises(BadData, match="was changed or swapped"):
        load_results(made)
    source.unlink()
    assert load_results(made) == Results.model_validate(read_json(made)).kept_at(made), "a results file alone"


def test_the_published_folder_of_a_restricted_instrument_scores_without_its_texts(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ran(tmp_path / "runs", "-t bfi_44 -m prompting --target openness=low --scoring choice,statement,generate")
    made = publish(path, tmp_path / "published")
    monkeypatch.setenv("TRAITBENCH_DATA", "")
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "none"))
    assert numbers(rescore(made)) == numbers(path)


def test_public_prompts_are_kept_once_each_by_their_hash(public: Path, tmp_path: Path) -> None:
    made = publish(public, tmp_path)
    prompts = json.loads(gzip.decompress(next(made.parent.glob("prompts_mini_ipip_*.json.gz")).read_bytes()))
    rows = read_lines(next(made.parent.glob("samples_*.jsonl.gz")), Sample)
    assert list(prompts) == sorted({row.prompt_hash for row in rows})
    assert all(row.arguments == [] and row.doc == {"id": row.item} for row in rows)
    for key, arguments in prompts.items():
        assert hashlib.sha256(arguments[0].encode()).hexdigest() == key


def test_every_exact_input_can_be_found_by_its_hash(public: Path, tmp_path: Path) -> None:
    """Statements share one prompt, which is followed by all that were scored after it."""
    made = publish(public, tmp_path)
    prompts = json.loads(gzip.decompress(next(made.parent.glob("prompts_*.gz")).read_bytes()))
    originals = read_lines(next(public.parent.glob("samples_*.jsonl")), Sample)
    for row in originals:
        assert prompts[row.prompt_hash][0] == row.arguments[0]
        assert set(row.arguments) <= set(prompts[row.prompt_hash])
    shared_prompts = {row.prompt_hash for row in originals if row.scoring == "statement"}
    assert len(shared_prompts) == 2, "the baseline's and the target's"
    assert all(len(prompts[key]) == 1 + 20 for key in shared_prompts)


def test_publishing_again_gives_the_same_bytes(public: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        publish(public, tmp_path / name)
    publish(public, tmp_path / "two")
    one, two = (
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("one", "two")
    )
    assert one == two
    assert len(one) == 3
    for path, data in one.items():
        if path.suffix == ".gz":
            assert data[4:8] == bytes(4), "no time stamp"
            assert data[3] & 8 == 0, "no file name"


def test_a_published_folder_can_be_published_again(public: Path, tmp_path: Path) -> None:
    first = publish(public, tmp_path / "one")
    before = {p.name: p.read_bytes() for p in first.parent.iterdir()}
    assert publish(first, tmp_path / "one") == first
    assert {p.name: p.read_bytes() for p in first.parent.iterdir()} == before, "in place: the prompts stay"
    second = publish(first, tmp_path / "two")
    assert second.read_bytes() == first.read_bytes()
    after = {p.name: p.read_bytes() for p in second.parent.iterdir()}
    assert after == before and any(name.startswith("prompts_") for name in after), "elsewhere: the prompts go with it"


def test_an_inventory_given_by_its_path_is_published(tmp_path: Path) -> None:
    keyed = {"x1": ("I hum", 1), "x2": ("I sing", 1), "x3": ("I sit at the back", -1), "x4": ("I hide", -1)}
    content = {
        "id": "mine", "licence": "CC0", "citation": "Us (2025).", "scales": {"E": "extraversion"},
        "response_scale": {"min": 1, "max": 3, "labels": ["No", "Partly", "Yes"]}, "statement": {"prefix": ""},
        "items": [{"id": i, "text": t, "scale": "E", "keyed": k} for i, (t, k) in keyed.items()],
    }  # fmt: skip
    (tmp_path / "mine.json").write_text(json.dumps(content))
    path = ran(tmp_path / "runs", f"-t {tmp_path / 'mine.json'} --scoring choice")
    made = publish(path, tmp_path / "published")
    assert numbers(rescore(made)) == numbers(path)


def test_a_run_without_its_samples_is_not_published(public: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run" / public.name
    copy.parent.mkdir()
    copy.write_bytes(public.read_bytes())
    with pytest.raises(BadData, match=r"lacks samples_mini_ipip_.*\(\.gz\)"):
        publish(copy, tmp_path / "published")
    assert not (tmp_path / "published").exists()


def test_numbers_are_computed_again_and_not_copied(public: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    copy.mkdir()
    for file in public.parent.glob("*.json*"):
        (copy / file.name).write_bytes(file.read_bytes())
    forged = held(public)
    forged["results"]["mini_ipip"]["extraversion,choice"] = 5.0
    rewrite(copy / public.name, forged)
    made = publish(copy / public.name, tmp_path / "published")
    assert numbers(made) == numbers(public)
