"""Publish a run: its results, and its samples gzipped without what may not be passed on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from traitbench.runs import projected
from traitbench.runs.finished import computed, graded
from traitbench.runs.results import Results
from traitbench.runs.sealed import written
from traitbench.runs.side_effects import passed_on
from traitbench.samples import Sample, without_texts
from traitbench.store import read_json, write_json, write_lines

__all__ = ["cleared", "prompts_of", "publish"]


def publish(path: Path, to: Path) -> Path:
    """Publish the results file `path` below `to`, in a folder of the run's name; return the file made.

    Every number is computed again from the samples. Each prompt is kept once, by its hash and followed by the
    statements scored after it, in prompts_{task}_{date}.json.gz, which is carried over from a published run; of a
    restricted instrument only ids and hashes go out, and of persons no prompt and no answer. BadData where the run is
    damaged.
    """
    found = graded(path)
    results = computed(path, found)
    folder = to / path.resolve().parent.name
    stamp = path.stem.removeprefix("results_")
    digests = {}
    for task, rows in found.samples.items():
        restricted = found.tasks[task].restricted
        name = f"prompts_{task}_{stamp}.json.gz"
        # A prompt may hold a person's answers.
        closed = restricted or bool(results.persons)
        prompts = {} if closed else prompts_of(path, task, rows)
        if any(prompts.values()):
            write_json(folder / name, prompts)
        sent = [cleared(row, restricted) for row in rows]
        digests[task] = write_lines(folder / f"samples_{task}_{stamp}.jsonl.gz", sent)
    side_effects = passed_on(path, results.side_effects, folder)
    projected.passed_on(path, folder)
    results = results.model_copy(
        update={"controls": _without_answers(results), "samples_sha256": digests, "side_effects": side_effects}
    )
    write_json(folder / path.name, written(results))
    return folder / path.name


def prompts_of(path: Path, task: str, rows: Sequence[Sample]) -> dict[str, list[str]]:
    """Hash of a prompt -> the prompt and what was scored after it, of the samples or, in a published run, their file.

    Not for a restricted instrument, nor for a run that aims at persons: their prompts may not go out.
    """
    published = path.parent / f"prompts_{task}_{path.stem.removeprefix('results_')}.json.gz"
    carried = read_json(published) if published.is_file() else {}
    prompts: dict[str, list[str]] = {}
    for row in rows:
        kept = prompts.setdefault(row.prompt_hash, list(carried.get(row.prompt_hash, ())))
        kept += [text for text in row.arguments if text not in kept]
    return dict(sorted(prompts.items()))


def _without_answers(results: Results) -> dict[str, list[dict[str, str]]]:
    """The controls' messages, those made of a person's answers by their hash."""
    persons = {condition.name for condition in results.conditions if condition.person is not None}
    return {
        name: [{**message, "content": _hashed(message["content"])} for message in messages]
        if name in persons
        else messages
        for name, messages in results.controls.items()
    }


def _hashed(content: str) -> str:
    """The hash of a message; of a message that was published already, the one it has."""
    if re.fullmatch("sha256:[0-9a-f]{64}", content):
        return content
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


def cleared(row: Sample, restricted: bool) -> Sample:
    """Drop the prompt and, where the item is restricted, every quotation of it in a written reply."""
    words = re.findall(r"\w+", str(row.doc.get("text") or ""))
    if restricted and words and row.scoring == "generate":
        quoted = re.compile(r"\W+".join(map(re.escape, words)), re.IGNORECASE)
        cleared = [[quoted.sub("[item]", r) if isinstance(r, str) else r for r in reply] for reply in row.resps]
        row = row.model_copy(update={"resps": cleared})
    return without_texts(row)
