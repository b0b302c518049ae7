"""Models of the Hugging Face hub: which commit is meant, which files it has, and whether those at hand are these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from traitbench.backends.fingerprints import cache_folder, deciding, held, parts, sha256s
from traitbench.errors import BadData
from traitbench.store import read_json, write_json
from traitbench.types import digest

__all__ = ["Found", "check", "find"]

_TIMEOUT = 10.0
"""Seconds to wait for the hub; from_pretrained itself would retry for half a minute."""


class Found(NamedTuple):
    """A model of the hub at one commit."""

    commit: str
    files: dict[str, str]
    """Name -> sha256 of each file that decides an answer."""
    offline: bool = False
    """Whether it was found in the hub's local cache, since the hub cannot be reached."""


def find(name: str, revision: str | None, safetensors: bool) -> Found:
    """Ask the hub for the commit of `name` and its files before anything is loaded: failing is quick and has a reason.

    BadData where the hub refuses, or cannot be reached and nothing of the model lies in its local cache.
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    folder = "or give a local folder with config.json and *.safetensors"
    at = f"{name}@{revision}" if revision else name
    try:
        info = HfApi().model_info(name, revision=revision, timeout=_TIMEOUT, files_metadata=True)
        commit = str(info.sha)
        hf_hub_download(name, "config.json", revision=commit)
        files = _kept(name, commit) or _listed(name, commit, info.siblings or ())
    except GatedRepoError as error:
        raise BadData(
            f"{at} is gated: accept its licence at https://huggingface.co/{name}, type `hf auth login`, {folder}"
        ) from error
    except RevisionNotFoundError as error:
        raise BadData(f"{name} has no revision {revision!r}; see https://huggingface.co/{name}/commits/main") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise BadData(
            f"the hub has no model {name!r}, or it is private; expected org/name as in its address; "
            f"for a private one type `hf auth login`, {folder}; {_served(name)}"
        ) from error
    except Exception as error:
        # Which exceptions a missing network raises depends on the hub client's version.
        return _cached(name, revision, error)
    if safetensors and not any(str(file.rfilename).endswith(".safetensors") for file in info.siblings or ()):
        raise BadData(f"{at} has no *.safetensors; weights in .bin files are pickles and are not read; {folder}")
    return Found(commit, files)


def _served(name: str) -> str:
    """What to type where a name is that of a model behind a server, as Inspect writes it: openai/gpt-4o."""
    return f"a model behind a server is --model endpoint:{name.rpartition('/')[2]} --model_args base_url=URL"


def _cached(name: str, revision: str | None, reason: Exception) -> Found:
    """Fall back on what the hub client downloaded earlier."""
    from huggingface_hub import try_to_load_from_cache

    file = try_to_load_from_cache(name, "config.json", revision=revision)
    if not isinstance(file, str):
        told = f"{type(reason).__name__}: {str(reason).splitlines()[0] if str(reason) else ''}"
        raise BadData(
            f"cannot reach the hub for {name} and it is not in the local cache ({told}); check the network, "
            f"give a local folder with config.json and *.safetensors, or use --model smollm2; {_served(name)}"
        ) from reason
    folder = Path(file).parent
    return Found(folder.name, _kept(name, folder.name) or held(folder), offline=True)


def _listed(name: str, commit: str, siblings: Iterable[Any]) -> dict[str, str]:
    """The sha256 of each deciding file: of large ones as the hub keeps it, of small ones as they are downloaded.

    Kept for later, since a commit never changes and without the hub some files may not be at hand.
    """
    from huggingface_hub import hf_hub_download

    large = {str(file.rfilename): getattr(getattr(file, "lfs", None), "sha256", None) for file in siblings}
    wanted = {file for file in large if deciding(file)}
    for index in sorted(file for file in wanted if file.endswith(".safetensors.index.json")):
        wanted |= parts(Path(hf_hub_download(name, index, revision=commit))) & large.keys()
    small = sorted(file for file in wanted if large[file] is None)
    read = sha256s([Path(hf_hub_download(name, file, revision=commit)) for file in small])
    files = {file: str(large[file]) for file in wanted if large[file] is not None} | dict(zip(small, read, strict=True))
    # A cache that cannot be written costs time and nothing else.
    with suppress(BadData):
        write_json(_place(name, commit), files)
    return files


def _kept(name: str, commit: str) -> dict[str, str] | None:
    """What was listed before; None where nothing was."""
    with suppress(BadData, OSError):
        files = read_json(_place(name, commit))
        if isinstance(files, dict) and files and all(isinstance(value, str) for value in files.values()):
            return files
    return None


def _place(name: str, commit: str) -> Path:
    return cache_folder() / "hub" / f"{digest([name, commit])}.json"


def check(name: str, commit: str, files: Mapping[str, str]) -> None:
    """Hold the files in the hub's local cache against the listed ones; those that are not there yet are left out.

    BadData for one that was changed or is damaged.
    """
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(name, "config.json", revision=commit)
    if not isinstance(config, str):
        return
    here = {file: path for file in files if (path := Path(config).parent / file).is_file()}
    for (file, path), found in zip(here.items(), sha256s(list(here.values())), strict=True):
        if found != files[file]:
            raise BadData(
                f"{path.resolve()} is not {file} of {name} at {commit[:8]}: it was changed, or not downloaded whole; "
                "remove it and run again, which downloads it anew"
            )
