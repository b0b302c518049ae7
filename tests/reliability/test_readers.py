"""Every reader of files, given what is nearly right: a clear error or a right result, no traceback, no hang."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torture import done

from traitbench import controls, inventories
from traitbench.answers.analyze import analyze
from traitbench.answers.columns import load_map
from traitbench.cli.configuration import from_command_line
from traitbench.controls import adapters, vectors
from traitbench.errors import TraitbenchError
from traitbench.files import parsed_yaml
from traitbench.journal import RunFolder
from traitbench.methods import dialogues
from traitbench.runs.compare.inspect_logs import of_log
from traitbench.runs.compare.lm_eval import of_samples
from traitbench.runs.finished import rescore
from traitbench.runs.prepare import prepare
from traitbench.samples import Sample
from traitbench.store import read_json, read_lines
from traitbench.targets import characters
from traitbench.targets.persons import from_csv
from traitbench.types import Control, Edit

WATCH = 30
"""Seconds after which a reader hangs."""
DRAW = np.random.default_rng(17)
MINI = inventories.load("mini_ipip")
HELD: dict[str, Any] = json.loads((Path(inventories.__file__).parent / "mini_ipip.json").read_text("utf-8"))


class Reader(NamedTuple):
    """A file that is right, and what reads it."""

    name: str
    """Of the file, below a folder of its own."""
    make: Callable[[Path], Any]
    """Write the right file, and what lies beside it, into a folder."""
    read: Callable[[Path], Any]
    """Of the file's path."""
    right: Callable[[Path, Any, Any], bool] = lambda path, found, first: True
    """Whether `found` is what the file holds; `first` is what the right file gave."""


def answers(columns: list[str], people: int) -> str:
    """A table of people who answer alike on a scale, as people do."""
    level = DRAW.normal(0, 1, (people, len(columns) // 4 + 1)).repeat(4, axis=1)[:, : len(columns)]
    cells = np.clip(np.round(3 + level + DRAW.normal(0, 0.8, (people, len(columns)))), 1, 5).astype(int)
    return "\n".join([",".join(columns), *(",".join(map(str, row)) for row in cells)]) + "\n"


def _inventory(folder: Path) -> None:
    (folder / "own.json").write_text(json.dumps({**HELD, "id": "own"}, indent=1))


def _config(folder: Path) -> None:
    (folder / "c.yaml").write_text(
        "model: scripted:person\nmodel_args: {noise: 0.2, extraversion: 0.7}\ntasks: [mini_ipip]\nlimit: 4\n"
        "scoring: choice,statement\ntemplates: 2\nseed: 3\ntarget: extraversion=high\nmethod: prompting\n"
    )


def _run(folder: Path) -> None:
    words = ["run", "--model", "scripted:person", "--tasks", "mini_ipip", "--limit", "6", "--bootstrap_iters", "20"]
    assert done([*words, "-o", str(folder / "out")], folder).code == 0
    (run,) = (folder / "out").iterdir()
    for path in run.iterdir():
        stem = path.name.partition("_20")[0]
        path.rename(folder / (f"{stem}_2026-01-01T00-00-00.000000{path.suffix}" if "_20" in path.name else path.name))
    shutil.rmtree(folder / "out")


STAMP = "2026-01-01T00-00-00.000000"


def _journal(path: Path) -> Any:
    with RunFolder(path.parent).open() as held:
        return dict(held)


def _table(folder: Path) -> None:
    (folder / "t.csv").write_text(answers([item.id for item in MINI.items], 40))


def _person(folder: Path) -> None:
    (folder / "p.csv").write_text(answers([f"i{n}" for n in range(1, 121)], 3))


def _columns(folder: Path) -> None:
    (folder / "map.json").write_text(json.dumps({f"Q{item.number}": item.id for item in MINI.items}))


def _dialogues(folder: Path) -> None:
    rows = [
        {"trait": trait, "level": level, "scene": f"scene {n}", "input": f"What now, {n}?", "output": f"{level} {n}."}
        for trait in ("openness", "extraversion") for level in ("high", "low") for n in range(4)
    ]  # fmt: skip
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _character(folder: Path) -> None:
    text = "\n\n".join(f"I was born in {1800 + n}, by the sea.\nIt was a cold year." for n in range(8))
    (folder / "ada.knowledge.txt").write_text(text)
    (folder / "ada.style.txt").write_text("Short words.\n\nNo exclamation marks.")


def _control(folder: Path) -> None:
    edit = Edit(layer=1, site="residual", op="add", tensor="v")
    made = controls.store(folder / "made", edits=[edit], tensors={"v": DRAW.normal(size=8).astype(np.float32)})
    for path in (folder / "made" / made.hash).iterdir():
        path.rename(folder / path.name)


def _adapter(folder: Path) -> None:
    from safetensors.numpy import save_file

    stem = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    save_file({f"{stem}A.weight": np.ones((2, 8), np.float32), f"{stem}B.weight": np.ones((8, 2), np.float32)},
              folder / "adapter_model.safetensors")  # fmt: skip
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "rank_pattern": {}}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def _adapter_read(path: Path) -> Any:
    folder = path.parent
    return adapters.adapter_digest(folder), adapters.rank_of(folder), adapters.parameters(folder)


def _vector(folder: Path) -> None:
    import torch

    entry = {"action": "add", "steering_vector": torch.ones(1, 4), "steering_coefficient": 2.0}
    torch.save({"layers.1": entry}, folder / "v.pt")


def _log(folder: Path) -> None:
    rows = [{"doc_id": n, "metrics": ["acc"], "acc": float(n % 2), "filter": "none", "doc_hash": f"h{n}",
             "target_hash": "t", "prompt_hash": "p"} for n in range(12)]  # fmt: skip
    (folder / "samples_arc_2026.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _inspect(folder: Path) -> None:
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSample, EvalSpec, write_eval_log
    from inspect_ai.scorer import Score

    about = EvalSpec(created="2026-01-01T00:00:00+00:00", task="sums", dataset=EvalDataset(), model="mockllm/model",
                     config=EvalConfig())  # fmt: skip
    samples = [
        EvalSample(id=n, epoch=1, input=f"{n}+1=", target=str(n), scores={"match": Score(value="C" if n % 2 else "I")})
        for n in range(8)
    ]
    for form in ("json", "eval"):
        made = EvalLog(eval=about, status="success", samples=samples)
        write_eval_log(made, str(folder / f"log.{form}"), format=form)  # type: ignore[arg-type]


def _inspected(path: Path) -> Any:
    return [(one.values, one.asked) for one in of_log(path, lambda line: None)]


def _same(path: Path, found: Any, first: Any) -> bool:
    """What has a checksum is what was written, or it is refused."""
    return bool(found == first)


READERS = {
    "inventory": Reader("own.json", _inventory, lambda path: inventories.load(path),
                        lambda path, found, _: _inventory_right(path, found)),
    "config": Reader("c.yaml", _config, lambda path: from_command_line({"config": str(path)}),
                     lambda path, found, _: _config_right(path, found)),
    "plan": Reader("c.yaml", _config, lambda path: prepare(from_command_line({"config": str(path)})).plan),
    "samples": Reader(f"samples_mini_ipip_{STAMP}.jsonl", _run, lambda path: read_lines(path, Sample),
                      lambda path, found, first: all(row in first for row in found)),
    "results": Reader(f"results_{STAMP}.json", _run, lambda path: rescore(path).tasks, _same),
    "journal": Reader("responses.jsonl", _run, _journal,
                      lambda path, found, first: found.items() <= first.items()),
    "table": Reader("t.csv", _table, lambda path: analyze(path, MINI, keyed=False, trust_key=True),
                    lambda path, found, _: _table_right(path, found)),
    "person": Reader("p.csv", _person, lambda path: from_csv(path, keyed=False),
                     lambda path, found, _: all(1 <= a <= 5 for t in found.targets for a in t.person.answers.values())),
    "columns": Reader("map.json", _columns, load_map,
                      lambda path, found, _: all(isinstance(v, str) and v for v in found.values())),
    "dialogues": Reader("d.jsonl", _dialogues, lambda path: dialogues.load(str(path)),
                        lambda path, found, _: len(found.dialogues) <= path.read_bytes().count(b"\n") + 1),
    "character": Reader("ada.knowledge.txt", _character, lambda path: characters.load(path.parent / "ada")),
    "control": Reader("control.json", _control, lambda path: controls.read(path.parent),
                      lambda path, found, _: isinstance(found, Control)),
    "control's tensors": Reader("tensors.safetensors", _control,
                                lambda path: controls.arrays(controls.read(path.parent))["v"].tolist(), _same),
    "adapter": Reader("adapter_config.json", _adapter, _adapter_read),
    "vector": Reader("v.pt", _vector, vectors.read,
                     lambda path, found, _: all(np.isfinite(v).all() for v in found.layers.values())),
    "log of lm-eval": Reader("samples_arc_2026.jsonl", _log, lambda path: of_samples(path, "arc", lambda line: None)),
    "log of Inspect": Reader("log.json", _inspect, _inspected,
                             lambda path, found, _: np.isfinite([v for one in found for v in one[0].values()]).all()),
    "packed log of Inspect": Reader("log.eval", _inspect, _inspected, _same),
    "JSON": Reader("own.json", _inventory, read_json, lambda path, found, _: found == json.loads(path.read_text())),
}  # fmt: skip


def _inventory_right(path: Path, found: inventories.Inventory) -> bool:
    raw = json.loads(path.read_text("utf-8-sig"))
    return [(i["id"], i["scale"], i["keyed"]) for i in raw["items"]] == [(i.id, i.scale, i.keyed) for i in found.items]


def _config_right(path: Path, found: Any) -> bool:
    raw = {key.replace("-", "_"): value for key, value in parsed_yaml(path.read_text("utf-8-sig")).items()}
    plain = {key: value for key, value in raw.items() if isinstance(value, int) and not isinstance(value, bool)}
    return all(getattr(found, key) in (value, str(value), (value,), (str(value),)) for key, value in plain.items())


def _table_right(path: Path, found: Any) -> bool:
    """Alpha of each scale over the rows complete on it, from the cells as the standard library reads them."""
    text = path.read_text("utf-8-sig", errors="replace")
    names, *rows = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
    names = [name.strip() for name in names]
    for letter, trait in MINI.scales.items():
        items = MINI.scale_items(trait)
        if found.scales[letter].alpha is None or any(names.count(item.id) != 1 for item in items):
            continue
        cells = [[_cell(row, names.index(item.id)) for item in items] for row in rows]
        held = np.array([row for row in cells if all(1 <= cell <= 5 for cell in row)])
        held = np.where([item.keyed > 0 for item in items], held, 6 - held)
        alpha = 4 / 3 * (1 - held.var(axis=0, ddof=1).sum() / held.sum(axis=1).var(ddof=1))
        if abs(alpha - found.scales[letter].alpha) > 1e-9:
            return False
    return True


def _cell(row: list[str], place: int) -> float:
    """A cell's number; one that is none, as 0, which no answer is."""
    try:
        return float(row[place])
    except (ValueError, IndexError):
        return 0.0


Junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["", "../../x", "\x1b[31m", "1e999", "9" * 400, "~", "/dev/zero", "a=b,c", "*", "NaN", "\u202e"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """What is nearly `data`: cut, torn, doubled, with a byte or a value of JSON replaced, or something else."""
    for _ in range(draw(st.integers(1, 2))):
        way = draw(st.sampled_from(["cut", "flip", "insert", "delete", "double", "value", "key", "other", "number"]))
        place = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(1, 20))
        if way == "cut":
            data = data[:place]
        elif way == "flip":
            data = data[:place] + bytes([draw(st.integers(0, 255))]) + data[place + 1 :]
        elif way == "insert":
            data = data[:place] + draw(st.binary(min_size=1, max_size=8)) + data[place:]
        elif way == "delete":
            data = data[:place] + data[place + length :]
        elif way == "double":
            data = data[:place] + data[place : place + 30 * length] * 2 + data[place + 30 * length :]
        elif way == "other":
            data = draw(st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | Junk.map(_dumped))
        elif way == "number":
            digits = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
            if digits:
                at = digits[draw(st.integers(0, len(digits) - 1))]
                new = draw(st.sampled_from([b"", b"-1", b"0", b"99", b"1e400", b"NaN", b"2.5", b"9" * 5000, b'"x"']))
                data = data[:at] + new + data[at + 1 :]
        else:
            data = _replaced(draw, data, way)
    return data


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _replaced(draw: st.DrawFn, data: bytes, way: str) -> bytes:
    """The JSON, or a line of it, with a value or a key at a random place replaced."""
    lines = data.split(b"\n")
    whole, at = True, 0
    try:
        held = json.loads(data)
    except (ValueError, RecursionError):
        whole, at = False, draw(st.integers(0, len(lines) - 1))
        try:
            held = json.loads(lines[at])
        except (ValueError, RecursionError):
            return data
    parent, key = None, None
    inner = held
    while isinstance(inner, dict | list) and inner and (parent is None or draw(st.integers(0, 3))):
        parent, key = inner, draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        inner = parent[key]
    if parent is None:
        held = draw(Junk)
    elif way == "key" and isinstance(parent, dict):
        value = parent.pop(key)
        if draw(st.booleans()):
            parent[draw(st.text(max_size=6))] = value
    else:
        parent[key] = draw(Junk)
    new = json.dumps(held).encode("utf-8", "surrogatepass")
    return new if whole else b"\n".join([*lines[:at], new, *lines[at + 1 :]])


@contextmanager
def watched() -> Iterator[None]:
    def hangs(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"no end after {WATCH} seconds")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(WATCH)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", READERS)
def test_what_is_nearly_right_is_refused_in_words_or_read_rightly(
    tmp_path: Path, whole: bool, counts: Counter[str], name: str
) -> None:
    reader, good, case = READERS[name], tmp_path / "good", tmp_path / "case"
    good.mkdir()
    reader.make(good)
    data = (good / reader.name).read_bytes()
    first = reader.read(good / reader.name)
    assert reader.right(good / reader.name, first, first)
    (good / reader.name).write_bytes(data)

    @settings(max_examples=600 if whole else 20, deadline=None, database=None, derandomize=True,
              phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(mutated(data))
    def check(torn: bytes) -> None:
        shutil.rmtree(case, ignore_errors=True)
        shutil.copytree(good, case)
        path = case / reader.name
        path.write_bytes(torn)
        counts["generated inputs"] += 1
        with watched():
            try:
                found = reader.read(path)
            except TraitbenchError as error:
                assert str(error).strip() and "Traceback" not in str(error)
                counts[f"refused: {name}"] += 1
                return
        path.write_bytes(torn)
        assert reader.right(path, found, first), f"{name}: another result than the file holds"
        counts[f"read rightly: {name}"] += 1

    check()
