"""A training goes on from the last checkpoint that is whole, whatever a killed one left."""

from __future__ import annotations

from pathlib import Path

import pytest

from traitbench.methods.training.checkpoints import last_whole, seal

FILES = ("adapter_model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json")


def written(places: Path, step: int, sealed: bool = True) -> Path:
    place = places / f"checkpoint-{step}"
    place.mkdir(parents=True)
    for name in FILES:
        (place / name).write_bytes(name.encode() * step)
    if sealed:
        seal(place)
    return place


def test_the_last_of_whole_ones_counts_by_its_number(tmp_path: Path) -> None:
    assert last_whole(tmp_path / "none", True, pytest.fail) is None
    for step in (2, 10, 9):
        written(tmp_path, step)
    assert last_whole(tmp_path, True, pytest.fail) == tmp_path / "checkpoint-10"


@pytest.mark.parametrize("lost", FILES)
def test_one_that_is_half_written_or_half_removed_is_passed_over_and_removed(tmp_path: Path, lost: str) -> None:
    before, unsealed, torn = written(tmp_path, 3), written(tmp_path, 9, sealed=False), written(tmp_path, 6)
    (torn / lost).unlink()
    short = written(tmp_path, 7)
    (short / lost).write_bytes(b"")
    told: list[str] = []
    assert last_whole(tmp_path, False, told.append) == before and unsealed.exists()
    assert [line.partition(" was changed")[0] for line in told] == [str(short)]
    assert last_whole(tmp_path, True, told.append) == before
    assert sorted(place.name for place in tmp_path.iterdir()) == ["checkpoint-3"]
