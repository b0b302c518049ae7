"""`.eval_results` of the hub: the library that reads them finds the ranked numbers, and no trait level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import eval_result_entries_to_yaml, parse_eval_result_entries

from traitbench.cli.commands import main
from traitbench.export.eval_results import eval_results
from traitbench.runs.finished import rescore

ROOT = Path(__file__).resolve().parents[2]


def published(name: str) -> Path:
    """The published run of this name on the IPIP-NEO-120."""
    return next(
        path for path in sorted((ROOT / "results" / "published").glob(f"{name}+*/results_*.json"))
        if list(path.parent.glob("samples_ipip_neo_120_*"))
    )  # fmt: skip


def test_ranked_effects_are_read_back_and_levels_are_not_there(tmp_path: Path, capsys: Any) -> None:
    path = published("smollm2@prompting")
    words = ["export", str(path), "--format", "hf", "--dataset_id", "org/bench", "--to", str(tmp_path)]
    assert main(words) == 0
    place = Path(capsys.readouterr().out.strip())
    assert place == tmp_path / path.parent.name / ".eval_results" / "personality.yaml"
    held = yaml.safe_load(place.read_text("utf-8"))
    entries = parse_eval_result_entries(held)
    assert eval_result_entries_to_yaml(entries) == held
    results = rescore(path)
    rows = results.entry("ipip_neo_120", "").rows
    # The choice mode of this run is not interpretable, so its effect is not ranked and does not go out.
    assert rows["choice"].contenders[0].unranked
    (entry,) = entries
    assert entry.task_id == "ipip_neo_120_statement_effect" and entry.dataset_id == "org/bench"
    assert entry.value == rows["statement"].metrics["effect"]
    assert "higher is better" in entry.notes and "nats a token" in entry.notes and entry.date.endswith("Z")
    levels = {value for line in results.results.values() for value in line.values() if isinstance(value, float)}
    assert entry.value not in levels


def test_what_has_no_better_end_is_refused(tmp_path: Path, capsys: Any) -> None:
    path = published("smollm2@none")
    assert main(["export", str(path), "--format", "hf", "--dataset_id", "org/bench", "--to", str(tmp_path)]) == 1
    assert "neither good nor bad" in capsys.readouterr().err and not list(tmp_path.rglob("*.yaml"))
    assert main(["export", str(path), "--format", "hf", "--to", str(tmp_path)]) == 2
    assert "--dataset_id" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "bench", "org/", "/bench", "a/b/c", "org/be nch"])
def test_a_data_set_has_an_owner_and_a_name(name: str, tmp_path: Path) -> None:
    from traitbench.errors import TraitbenchUsage

    with pytest.raises(TraitbenchUsage, match="ORG/NAME"):
        eval_results(published("smollm2@residual"), tmp_path, name)
