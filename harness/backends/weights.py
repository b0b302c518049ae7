"""Where a model's files are: a local folder, a GGUF file unpacked (one of a wheel's too), or a hub id in reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from traitbench.backends import hub
from traitbench.backends.fingerprints import fingerprint, joined
from traitbench.backends.models import ModelSpec
from traitbench.backends.unpacking import unpacked
from traitbench.backends.wheels import gguf_of
from traitbench.errors import BadData
from traitbench.types import Record

__all__ = ["Weights", "known_as", "locate", "unchanged"]


class Weights(Record):
    """What `from_pretrained` is given, and what names these weights in an identity."""

    path: str
    """A local folder or a hub id."""
    revision: str | None = None
    """The commit to load, for a hub id."""
    fingerprint: str
    """A hash over every byte of the files: of a folder, of a GGUF file, of a model of the hub. The same files have the
    same name in a folder and on the hub."""
    files: dict[str, str] = {}
    """Of a model of the hub: name of a file -> its sha256."""
    offline: bool = False
    """Load from the hub's local cache only, since the hub cannot be reached."""


def locate(spec: ModelSpec, safetensors: bool = True) -> Weights:
    """Find the weights of `spec`; BadData or MissingExtra says what to type where that fails.

    Of a model of the hub safetensors are expected, unless another format is meant to be read.
    """
    if spec.source.startswith("embedded:"):
        name = spec.source.removeprefix("embedded:")
        return _of_gguf(gguf_of(name), f"{name}-{spec.revision}")
    place = Path(spec.source)
    if place.is_dir():
        return Weights(path=spec.source, fingerprint=fingerprint(place))
    return _of_gguf(place, place.stem) if place.is_absolute() else _on_hub(spec, safetensors)


def _of_gguf(file: Path, name: str) -> Weights:
    """The model of a GGUF file, unpacked."""
    folder, held = unpacked(file, name)
    return Weights(path=str(folder), fingerprint=held)


def _on_hub(spec: ModelSpec, safetensors: bool) -> Weights:
    """The model of a hub id, at the commit that its revision means now."""
    found = hub.find(spec.source, spec.revision, safetensors)
    hub.check(spec.source, found.commit, found.files)
    name = joined(found.files)
    return Weights(
        path=spec.source, revision=found.commit, fingerprint=name, files=found.files, offline=found.offline
    )  # fmt: skip


def known_as(spec: ModelSpec, weights: Weights) -> dict[str, Any]:
    """What names a model in an identity: label, source and weights. What is local counts by its contents alone."""
    local = not spec.source.startswith("embedded:") and weights.revision is None
    return {
        "model": spec.label, "source": spec.label if local else spec.source, "weights": weights.fingerprint,
        **({"revision": weights.revision} if weights.revision else {}),
    }  # fmt: skip


def unchanged(spec: ModelSpec, weights: Weights) -> None:
    """Check after loading that what was loaded is what `locate` named; BadData where it was changed or is damaged."""
    if weights.revision is not None:
        hub.check(spec.source, weights.revision, weights.files)
    if Path(spec.source).is_dir() and fingerprint(Path(spec.source)) != weights.fingerprint:
        raise BadData(f"{spec.source} was changed while the model was loaded; run again when it is written")
