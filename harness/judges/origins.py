"""Whether two models are one, or made of one: by what they and their bases are called, and by the bytes of weights.

Names are all that is known of a model that is not here, and one model has many: a short name, an id on the hub, a
server's way of writing it. What a file or a server's name does not say, such as the base of a fine-tune under a name of
its own, cannot be told.
"""

from __future__ import annotations

import re
from pathlib import Path

from traitbench.backends.fingerprints import fingerprint, sha256
from traitbench.backends.models import SHORT_NAMES, ModelSpec
from traitbench.backends.wheels import WHEELS
from traitbench.judges.families import told

__all__ = ["one_model"]

_BESIDE = re.compile(
    r"(?<![a-z0-9])(?:meta|instruct|chat|it|hf|base|pt|sft|dpo|thinking|latest|gguf|awq|gptq|bnb|mlx"
    r"|i?q\d(?:_[a-z0-9]+)*|(?:bf|fp|f|int|nf)\d+|\d+bit|\d{4}-\d\d-\d\d|\d{8}|\d{4})(?![a-z0-9])"
)
"""What stands in the name of a model and in none of its base: who trained it on, for what, when, in which format."""
_TOKEN = re.compile(r"[a-z]+|\d+(?:\.\d+)*[a-z]*")
_SIZE = re.compile(r"\d+(?:\.\d+)?[bm]")
_CACHED = re.compile(r"models--.+?--([^/]+)")
"""A folder of the hub's cache, in which the last part of a path is a commit."""
_EMBEDDED = "embedded:"


def one_model(one: ModelSpec, other: ModelSpec) -> str:
    """The name of `one` under which both are one model, or one was made of the other or both of a third; else empty."""
    for name in _names(one):
        for second in _names(other):
            if name.lower() == second.lower() or _same(_tokens(name), _tokens(second)):
                return name
    return one.label if _copied(one, other) else ""


def _names(spec: ModelSpec) -> list[str]:
    """What a model and its base are called; empty for a scripted respondent, which no model is."""
    if spec.backend == "scripted":
        return []
    place = spec.place
    if place.startswith(_EMBEDDED):
        place = WHEELS[place.removeprefix(_EMBEDDED)].origin
    origins = (
        told(spec, "config.json").get("_name_or_path"),
        told(spec, "adapter_config.json").get("base_model_name_or_path"),
    )
    return [place, *(str(origin) for origin in origins if origin)]


def _tokens(name: str) -> tuple[str, ...]:
    """The words and numbers that name a base: of "Qwen/Qwen2.5-7B-Instruct" qwen, 2.5, 7b.

    A short name stands for its model. Folders and files are often called after nothing, so that their names count only
    where they hold a size.
    """
    whole = name.strip().lower().rstrip("/")
    cached = _CACHED.search(whole)
    last = cached[1] if cached else whole.rpartition("/")[2]
    bare = _BESIDE.sub("", last.partition("@")[0].replace(":", "-")).strip("-_. ")
    here = not cached and whole.startswith(("/", ".", "~"))
    if not here and bare in SHORT_NAMES:
        meant = SHORT_NAMES[bare]
        meant = WHEELS[bare].origin if meant.startswith(_EMBEDDED) else meant
        bare = _BESIDE.sub("", meant.lower().rpartition("/")[2])
    found = tuple(_TOKEN.findall(bare))
    return () if here and not _sized(found) else found


def _sized(tokens: tuple[str, ...]) -> bool:
    return any(_SIZE.fullmatch(token) for token in tokens)


def _same(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether both name one base, or one goes on where the other, with its size, ends: x-7b and x-7b-mine."""
    short, long = sorted((one, other), key=len)
    return bool(short) and (short == long or (_sized(short) and long[: len(short)] == short))


def _copied(one: ModelSpec, other: ModelSpec) -> bool:
    """Whether two folders, or two files, hold the same weights under whatever names."""
    a, b = Path(one.place), Path(other.place)
    if a.is_dir() and b.is_dir():
        return fingerprint(a) == fingerprint(b)
    both = [one.place, other.place]
    if not all(place.startswith(_EMBEDDED) or (Path(place).is_absolute() and Path(place).is_file()) for place in both):
        return False
    return len({
        WHEELS[place.removeprefix(_EMBEDDED)].sha256 if place.startswith(_EMBEDDED) else sha256(Path(place))
        for place in both
    }) == 1  # fmt: skip
