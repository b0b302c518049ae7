"""Entries for the register of Inspect evals fit its schema, say what is true, and point at tasks that run."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from traitbench import inventories
from traitbench.cli.commands import main
from traitbench.errors import TraitbenchUsage
from traitbench.export.inspect_register import files

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((Path(__file__).parent / "schemas" / "inspect_evals-register-0.28.0.json").read_text("utf-8"))
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SOURCE = f"https://github.com/owner/name/tree/{COMMIT}"


def test_each_public_inventory_has_an_entry_that_fits(tmp_path: Path) -> None:
    public = {name for name in inventories.names() if not inventories.load(name, texts=False).restricted}
    made = files(SOURCE)
    assert set(made) == {f"register/traitbench_{name}/eval.yaml" for name in public}
    for name in public:
        text = made[f"register/traitbench_{name}/eval.yaml"]
        entry = yaml.safe_load(text)
        assert "id" not in entry, "the register takes it from the folder"
        jsonschema.validate({**entry, "id": f"traitbench_{name}"}, SCHEMA)
        (task,) = entry["tasks"]
        items = inventories.load(name).items
        assert task["name"] == name and task["dataset_samples"] == 2 * len(items)
        tree = ast.parse((ROOT / task["task_path"]).read_text("utf-8"))
        (node,) = [part for part in tree.body if isinstance(part, ast.FunctionDef) and part.name == name]
        (decorator,) = node.decorator_list
        assert isinstance(decorator, ast.Name) and decorator.id == "task"
        assert f"/owner/name/blob/{COMMIT}/{task['task_path']}#L{decorator.lineno}\n" in text.splitlines(True)[0]
        assert entry["source"]["repository_url"] == "https://github.com/owner/name"
        assert entry["source"]["repository_commit"] == COMMIT
        assert str(len(items)) in entry["description"] and len(entry["description"].split()) <= 80


@pytest.mark.parametrize(
    "source", ["", "https://github.com/owner/name", "https://github.com/owner/name/tree/main", SOURCE[:-1], "x" * 40]
)
def test_a_source_that_is_no_repository_at_a_commit_is_refused(source: str) -> None:
    with pytest.raises(TraitbenchUsage, match="/OWNER/NAME/tree/COMMIT"):
        files(source)


def test_the_command_prints_their_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path))
    for _ in range(2):
        assert main(["export", "--path", "inspect-register", "--source", SOURCE]) == 0
        folder = Path(capsys.readouterr().out.strip())
        assert {str(place.relative_to(folder)) for place in folder.rglob("*.yaml")} == set(files(SOURCE))
    assert main(["export", "--path", "inspect-register"]) == 2
    assert "--source (missing)" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("elsewhere")
def test_a_task_runs_by_its_path_as_the_register_has_users_run_it(tmp_path: Path) -> None:
    inspect_ai: Any = pytest.importorskip("inspect_ai")
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    def reply(*_: Any) -> Any:
        output = ModelOutput.from_content("mockllm", "A")
        output.usage = ModelUsage()
        return output

    path = yaml.safe_load(next(iter(files(SOURCE).values())))["tasks"][0]["task_path"]
    (log,) = inspect_ai.eval(
        f"{ROOT / path}@mini_ipip", model=get_model("mockllm/model", custom_outputs=reply), limit=1,
        log_dir=str(tmp_path / "logs"), display="none",
    )  # fmt: skip
    assert log.status == "success" and log.samples[0].scores["level"].metadata["raw"] == 1
