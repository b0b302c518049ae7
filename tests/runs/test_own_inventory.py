"""An inventory of one's own that was edited after a run: its answers are scored with the key they were asked with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from said import Say

from traitbench import inventories

SOURCE = json.loads((Path(inventories.__file__).parent / "mini_ipip.json").read_text("utf-8"))
for each in SOURCE["items"]:
    each.pop("text_hash", None)


def edited(change: Callable[[dict[str, Any]], Any]) -> str:
    held = json.loads(json.dumps(SOURCE)) | {"id": "mine"}
    change(held)
    return json.dumps(held)


def swap(held: dict[str, Any]) -> None:
    first, second = held["items"][:2]
    first["scale"], second["scale"] = second["scale"], first["scale"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda held: held["items"][3].update(keyed=-held["items"][3]["keyed"]), "keyed of item 'mini_4' was"),
        (swap, "trait of item 'mini_1' was extraversion, and is agreeableness"),
        (lambda held: held["response_scale"].update(max=6, labels=[*held["response_scale"]["labels"], "More"]),
         "the response scale was 1 to 5, and is 1 to 6"),
        (lambda held: held["response_scale"].update(min=0, max=4), "the response scale was 1 to 5, and is 0 to 4"),
        (lambda held: held["response_scale"]["labels"].reverse(), "the label '.*' of the response scale was not shown"),
        (lambda held: held["response_scale"]["labels"].__setitem__(2, "Halfway"),
         "the label 'Halfway' of the response scale was not shown, or in another place"),
        (lambda held: held["items"][0].update(text="Sing at dawn."), r"the text of item 'mini_1' \(its sha256\) was"),
        (lambda held: held["items"].pop(), "the item 'mini_20' was asked, and is not there"),
        (lambda held: held["items"].append({**held["items"][0], "id": "new", "number": 21, "text": "Sing at dawn."}),
         "the item 'new' was not there, and is in it"),
        (lambda held: held.update(version="2"), "its version was 1, and is 2"),
    ],
)  # fmt: skip
def test_an_edited_inventory_scores_no_older_run(
    say: Say, tmp_path: Path, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text(edited(lambda held: None))
    assert say("run --model scripted:person --tasks mine --include_path . -o out --bootstrap_iters 20").code == 0
    (folder,) = (tmp_path / "out").iterdir()
    assert say(f"score '{folder}'").code == 0
    mine.write_text(edited(change))
    for verb in ("score", "report", "compare"):
        found = say(f"{verb} '{folder}'" + (f" '{folder}'" if verb == "compare" else ""))
        assert found.code == 1 and found.out == ""
        assert re.search(said, found.err) and "another id" in found.err, found.err
    mine.write_text(edited(lambda held: held.update(note="as it was")))
    assert say(f"score '{folder}'").code == 0
