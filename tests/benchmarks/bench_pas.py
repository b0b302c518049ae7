"""Time to fit PAS to one person: its probes against scikit-learn's, and the whole against training with DPO.

Run with `python tests/benchmarks/bench_pas.py`. The person is one of PAPI where TRAITBENCH_DATA holds it, else drawn.
`pas_probes`: the probes of all heads against one LogisticRegression a head, both to tol 1e-9 on one core; fails where
coefficients differ. `pas_find`: the probes of all heads under 399 shuffles in three wordings, on one core.
`pas_person`: probes and directions from recorded contrast activations, read from disk, on one core, against one epoch
of TRL's DPO (LoRA, r=8) on a pair an answer, on all cores; `pas_person_alpha`: the same with the strength chosen on a
fold. Prints JSON lines and asserts nothing about time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

import numpy as np
import torch
from numpy.typing import NDArray
from timing import best

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.controls.interventions import head_shape
from traitbench.errors import TraitbenchError
from traitbench.methods.bench import Bench
from traitbench.methods.pas import PAS
from traitbench.methods.pas.chance import choose
from traitbench.methods.pas.contrasts import WORDINGS, Contrasts
from traitbench.methods.pas.goals import Goal
from traitbench.methods.pas.heads import NEUTRAL, Heads, classes, parted, select, sided
from traitbench.statistics.logistic import fit_logistic
from traitbench.targets.papi import load_persons, unkeyed
from traitbench.types import Choose, Person, Target

Array = NDArray[np.float64]
AGREE = 1e-4
"""How far coefficients may differ: scikit-learn's default solver itself stops at about half of that."""
TOL = 1e-9


def known_answers(number: int) -> tuple[dict[str, int], str]:
    """Raw answers to the 120 known items, and whose they are."""
    items = Bench().known_split()[0]
    try:
        persons = load_persons()
    except TraitbenchError:
        draw = random.Random(number)
        return {item.id: draw.choice((1, 2, 2, 3, 4, 4, 5)) for item in items}, f"drawn with seed {number}"
    raw = unkeyed(persons.answers)[number]
    found = {item.id: int(raw[item.number - 1]) for item in items if not np.isnan(raw[item.number - 1])}
    return found, f"PAPI {number + 1}"


def by_library(x: Array, y: Array) -> Array:
    """Coefficients (heads, head_dim + 1) by one LogisticRegression a head, the intercept last."""
    from sklearn.linear_model import LogisticRegression

    rows = []
    for one in x:
        model = LogisticRegression(C=1.0, tol=TOL, max_iter=10_000).fit(one, y)
        rows.append([*model.coef_[0], model.intercept_[0]])
    return np.array(rows)


def preferences(answers: dict[str, int], bench: Bench) -> list[dict[str, Any]]:
    """A pair an answer, as TRL takes them: the person's own symbol before the one on the other side of the scale."""
    items = [item for item in bench.known_split()[0] if item.id in answers]
    rows = []
    for item, request in zip(items, bench.requests(items, "choice"), strict=False):
        assert isinstance(request, Choose)
        symbols = {value: option[0] for value, option in zip(request.values, request.options, strict=True)}
        value = answers[item.id]
        other = 6 - value if value != 3 else random.Random(item.id).choice((1, 5))
        rows.append(
            {
                "prompt": [m.model_dump() for m in request.messages],
                "chosen": [{"role": "assistant", "content": symbols[value]}],
                "rejected": [{"role": "assistant", "content": symbols[other]}],
            }
        )
    return rows


def trained(rows: list[dict[str, Any]], backend: HuggingFace, folder: str) -> tuple[float, int]:
    """Seconds and steps of one epoch of DPO."""
    import datasets
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    settings = DPOConfig(
        output_dir=folder, num_train_epochs=1, learning_rate=1e-5, bf16=False, gradient_checkpointing=False,
        use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    trainer = DPOTrainer(
        model=backend.model, args=settings, train_dataset=datasets.Dataset.from_list(rows),
        processing_class=backend.tokenizer, peft_config=LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"),
    )  # fmt: skip
    start = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        trainer.train()
    return time.perf_counter() - start, int(trainer.state.global_step)


def main() -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--person", type=int, default=0, help="which one, counted from 0")
    parser.add_argument("--repeats", type=int, default=5, help="runs of what is short; the fastest counts")
    parser.add_argument("--no-dpo", action="store_true", help="leave out the training, which takes minutes")
    args = parser.parse_args()
    logging.disable(logging.INFO)
    backend = HuggingFace(resolve(args.model), device="cpu", dtype="float32")
    answers, who = known_answers(args.person)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(backend=backend, folder=Path(folder) / "controls", cache=Path(folder) / "cache")
        items = [i for i in bench.known_split()[0] if answers.get(i.id, 3) != 3]
        labels = sided([answers[i.id] for i in items], 3)
        assert NEUTRAL not in labels
        names, sides = [i.text_hash for i in items], [0] * len(items)
        inventory, heads = bench.inventory().id, head_shape(backend.model)
        start = time.perf_counter()
        texts = Contrasts().of(items, inventory, bench)
        shown = {
            "unit": "s", "person": who, "items": len(items), "heads": len(texts), "head_dim": heads[1],
            "contrasts": round(time.perf_counter() - start, 2),
        }  # fmt: skip

        train = parted(names, labels.tolist(), 0.6, 0)
        x = texts[:, train].reshape(len(texts), -1, heads[1]).astype(float)
        y = classes(labels)[train].ravel().astype(float)
        mine, theirs = fit_logistic(x, y, tol=TOL), by_library(x, y)
        apart = float(np.abs(np.column_stack([mine.weights, mine.intercepts]) - theirs).max())
        if not apart <= AGREE:
            print(f"coefficients differ by {apart:.2g}, more than {AGREE:g}", file=sys.stderr)
            return 1
        peer = best(lambda: by_library(x, y), min(args.repeats, 2))
        ours = best(lambda: fit_logistic(x, y, tol=TOL), args.repeats)
        line = {"name": "pas_probes", "ratio": round(peer / ours, 1), "ours": round(ours, 4), "peer": round(peer, 3)}
        name = f"scikit-learn LogisticRegression, tol {TOL:g}, one a head"
        print(json.dumps({**line, "peer_name": name, "apart": apart, "texts": len(y), **shown}), flush=True)

        goal = Goal(items, labels, [""] * len(items), inventory)
        settings: dict[str, Any] = {"keep": 24, "split": 0.6, "c": 1.0, "draws": 399}
        tested = best(lambda: choose(goal, WORDINGS, lambda wording: texts, "bench", **settings), 1)
        line = {"name": "pas_find", "ours": round(tested, 2), "shuffles": 399, "wordings": len(WORDINGS)}
        print(json.dumps({**line, **shown}), flush=True)

        def person() -> Heads:
            return select(Contrasts().of(items, inventory, bench), labels, names, sides)

        fitted = best(person, args.repeats)
        target = Target(person=Person(id="bench", inventory=inventory, answers=answers))
        torch.set_num_threads(os.cpu_count() or 1)
        chosen = best(lambda: PAS().fit(target, bench), 1)
        if args.no_dpo:
            print(json.dumps({"name": "pas_person", "ours": round(fitted, 4), "with_alpha": round(chosen, 2), **shown}))
            return 0
        rows = preferences(answers, bench)
        seconds, steps = trained(rows, backend, folder)
        peer_name = f"TRL DPO, one epoch of {len(rows)} pairs in {steps} steps, LoRA r=8, {os.cpu_count()} cores"
        for name, took in (("pas_person", fitted), ("pas_person_alpha", chosen)):
            line = {"name": name, "ratio": round(seconds / took, 1), "ours": round(took, 4), "peer": round(seconds, 1)}
            print(json.dumps({**line, "peer_name": peer_name, **shown}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
