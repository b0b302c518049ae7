"""Characters are data: what someone knows and how they talk, as two text files each.

Four invented characters ship, one of them at two stages of life, and a description of either pole of each Big Five
trait in the same form. All were written for this project (CC0-1.0).
"""

from __future__ import annotations

import re
from pathlib import Path

from traitbench.errors import BadData, unknown
from traitbench.files import read_text, user_path
from traitbench.types import BIG_FIVE, Record

__all__ = ["LICENCE", "Character", "load", "names", "poles"]

LICENCE = "CC0-1.0"
"""Of the texts that ship."""

_FOLDER = Path(__file__).parent
_KNOWLEDGE, _STYLE = ".knowledge.txt", ".style.txt"
_FEWEST = 2
"""Paragraphs; one is trained on and one held out."""


class Character(Record):
    """Someone to speak as."""

    name: str
    """As written on the command line, e.g. ada@youth; of a trait pole the target, e.g. openness=high."""
    stage: str = ""
    """The stage of life: what follows the @."""
    knowledge: tuple[str, ...]
    """Paragraphs of facts, events and opinions, without line breaks."""
    style: str
    """How they talk."""
    licence: str

    @property
    def who(self) -> str:
        """The name without the stage."""
        return self.name.partition("@")[0]

    @property
    def pole(self) -> bool:
        """Whether this describes a pole of a trait, and no one in particular."""
        return self.name in poles()


def names() -> list[str]:
    """Name the characters that ship, the poles of traits left out."""
    found = {path.name.removesuffix(_KNOWLEDGE) for path in _FOLDER.glob(f"*{_KNOWLEDGE}")}
    return sorted(found - set(poles()))


def poles() -> list[str]:
    """Name the ten trait poles, each as its target is written: openness=high, openness=low, and so on."""
    return [f"{trait}={level}" for trait in BIG_FIVE for level in ("high", "low")]


def load(name_or_path: str | Path) -> Character:
    """Load a character that ships, a trait pole, or one of the user's own.

    A path DIR/NAME stands for the files DIR/NAME.knowledge.txt (paragraphs parted by empty lines) and
    DIR/NAME.style.txt. UnknownName where there is no such character; BadData where one of the two files is missing,
    cannot be read or is empty, or where the knowledge is a single paragraph.
    """
    shipped = str(name_or_path) in {*names(), *poles()}
    prefix = _FOLDER / name_or_path if shipped else user_path(name_or_path)
    files = [prefix.with_name(f"{prefix.name}{ending}") for ending in (_KNOWLEDGE, _STYLE)] if prefix.name else []
    missing = [file for file in files if not file.is_file()]
    if len(missing) == len(files):
        hint = f"(or give a path DIR/NAME, where DIR/NAME{_KNOWLEDGE} and DIR/NAME{_STYLE} exist)"
        raise unknown("character", str(name_or_path), names(), hint)
    if missing:
        raise BadData(
            f"{missing[0]} is missing; a character is two files: NAME{_KNOWLEDGE}, paragraphs of what they know, and "
            f"NAME{_STYLE}, how they talk"
        )
    knowledge, style = (_paragraphs(file) for file in files)
    if len(knowledge) < _FEWEST:
        raise BadData(
            f"{files[0]} holds one paragraph; expected at least {_FEWEST}, better a dozen, with an empty line between "
            "them, so that some can be held out"
        )
    return Character(
        name=prefix.name, stage=prefix.name.partition("@")[2], knowledge=tuple(knowledge), style=" ".join(style),
        licence=LICENCE if shipped else "that of the text's owner",
    )  # fmt: skip


def _paragraphs(file: Path) -> list[str]:
    try:
        text = read_text(file)
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"cannot read {file}: {error}; expected a text file in UTF-8") from None
    found = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]
    if not found:
        raise BadData(f"{file} is empty; expected paragraphs of text with an empty line between them")
    return found
