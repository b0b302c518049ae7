"""Inventories are data: one JSON an instrument, loaded and checked here.

The public-domain instruments hold their item texts. The restricted ones (`restricted: true`) hold key, scale, facet
and a hash of each text; the texts come from a file of the user's own or from `traitbench data get`, and are accepted
only where their hash is the expected one or that of a known other wording.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from traitbench import data
from traitbench.errors import BadData, BadInventory, UnknownName, unknown
from traitbench.inventories.validation import Document, Finding, findings, read, structural, text_hash
from traitbench.types import DESIRABILITY, Record, Trait

__all__ = [
    "Alternative", "Finding", "Inventory", "Item", "ResponseScale", "Statement", "load", "names", "text_hash",
    "validate",
]  # fmt: skip

_FOLDER = Path(__file__).parent


class Item(Record):
    """One item of an inventory and its place in the key."""

    id: str
    number: int
    """Its place in the instrument, from 1."""
    text: str | None = None
    """As printed; None where the text is restricted and was not asked for."""
    scale: str
    """The letter in the instrument's own key."""
    trait: Trait
    """Full name of what the scale measures."""
    facet: str | None = None
    keyed: Literal[1, -1]
    number_300: int | None = None
    """IPIP-NEO-120: its number in the IPIP-NEO-300."""
    statement: str | None = None
    """The whole first-person sentence, where prefix and text do not make one."""
    text_hash: str = ""
    """`text_hash` of the text in use."""


class ResponseScale(Record):
    """The answer options: whole numbers from `min` to `max` with a label each."""

    min: int
    max: int
    labels: tuple[str, ...]

    def pomp(self, value: float) -> float:
        """Percent of maximum possible, 0 to 100 (Cohen et al. 1999)."""
        return 100 * (value - self.min) / (self.max - self.min)


class Statement(Record):
    """How an item becomes the model's own words."""

    prefix: str = ""
    lower: bool = False
    """Write the first letter of the item small."""


class Alternative(Record):
    """Another published wording of an item that is accepted."""

    hash: str
    note: str


class Inventory(Record):
    """An instrument: items, key and response scale."""

    id: str
    name: str = ""
    version: str = "1"
    licence: str = ""
    restricted: bool = False
    """The item texts may not be redistributed; the file holds hashes instead."""
    citation: str = ""
    source: str = ""
    """Where the item texts come from."""
    note: str = ""
    wording_of: str | None = None
    """Id of the inventory that this one is in other words, item by item: same numbers, traits and key. What is known of
    people who answered that one is not known of this."""
    instruction: str | None = None
    scales: dict[str, Trait]
    """Scale letter -> trait."""
    facets: dict[str, str] = Field(default_factory=dict)
    """Facet code -> name."""
    desirability: dict[Trait, Literal[1, 0, -1]] = Field(default_factory=dict)
    """Trait -> 1 where more of it is socially desirable, -1 where less is, 0 where neither; the Big Five and the Dark
    Triad are known."""
    response_scale: ResponseScale
    statement_rule: Statement = Field(default=Statement(), alias="statement")
    data: str | None = None
    """Name of the data set that holds restricted texts."""
    alternatives: dict[str, Alternative] = Field(default_factory=dict)
    """Item id -> another wording that is accepted."""
    wordings: dict[str, str] = Field(default_factory=dict)
    """Item id -> which other wording is in use; filled when texts are looked up."""
    items: tuple[Item, ...]

    @property
    def traits(self) -> tuple[Trait, ...]:
        """The measured traits, in the order of `scales`."""
        return tuple(dict.fromkeys(self.scales.values()))

    @property
    def desirable(self) -> dict[Trait, int]:
        """Which end of each measured trait is socially desirable, where that is known or declared."""
        known = {**DESIRABILITY, **self.desirability}
        return {trait: known[trait] for trait in self.traits if trait in known}

    def reverse(self, value: float) -> float:
        """Turn a raw answer to a minus-keyed item into its keyed value, or back: min + max - value."""
        return self.response_scale.min + self.response_scale.max - value

    def scale_items(self, trait: Trait) -> tuple[Item, ...]:
        """Return the items that measure `trait`; UnknownName for one that the inventory does not measure."""
        if trait not in self.traits:
            raise unknown(f"trait of {self.id}", trait, self.traits)
        return tuple(item for item in self.items if item.trait == trait)

    def statement(self, item: Item) -> str:
        """Return `item` as a first-person sentence, e.g. "I worry about things."; BadData without its text."""
        if item.statement:
            return item.statement
        if not item.text:
            raise BadData(f"item {item.id!r} of {self.id} was loaded without its text; load the inventory with texts")
        text = item.text.strip()
        if self.statement_rule.lower and not re.match(r"I\b|[A-Z]{2}", text):
            text = text[:1].lower() + text[1:]
        return self.statement_rule.prefix + text + ("" if text.endswith((".", "!", "?")) else ".")


def names(include: Iterable[str | Path] = ()) -> list[str]:
    """List the inventories that ship, and those in the folders of `include`."""
    return sorted({path.stem for path in (*_FOLDER.glob("*.json"), *_own(include))})


def load(name: str | Path, texts: bool = True, include: Sequence[str | Path] = ()) -> Inventory:
    """Load an inventory by name or by the path of a JSON file.

    `include` are folders with inventories of the user's own, `<folder>/<name>.json`. Case, `-` and `_` do not matter.
    With `texts=False` restricted texts are not looked up: the key is enough for scoring. UnknownName for a name that
    is nowhere, BadInventory for a file that cannot be trusted, BadData where a restricted text is missing or is not
    the instrument's.
    """
    source = read(_locate(name, include))
    if source.raw is None:
        raise BadInventory(_told(source, source.damage))
    inventory, problems = _build(source)
    errors = [finding for finding in problems if finding.level == "error"]
    if inventory is None or errors:
        raise BadInventory(_told(source, errors))
    return _with_texts(inventory) if texts and inventory.restricted else inventory


def validate(path_or_name: str | Path, include: Sequence[str | Path] = ()) -> list[Finding]:
    """Lint an inventory file; an empty list means that nothing is wrong with it.

    Errors are what `load` refuses; warnings are what makes its scores hard to interpret. UnknownName where there is
    no such file.
    """
    source = read(_locate(path_or_name, include))
    return list(source.damage) if source.raw is None else _build(source)[1]


def _build(source: Document) -> tuple[Inventory | None, list[Finding]]:
    """Make the record and the list of what is wrong; None where the record cannot be made."""
    try:
        inventory = Inventory.model_validate(_completed(source.raw or {}))
    except ValidationError as error:
        return None, [*structural(source, error, _KEYS), *findings(source)]
    return inventory, findings(source)


_KEYS = {
    "": (*(n for n in Inventory.model_fields if n not in ("statement_rule", "wordings")), "statement"),
    "items": tuple(n for n in Item.model_fields if n != "trait"),
    "response_scale": tuple(ResponseScale.model_fields),
    "statement": tuple(Statement.model_fields),
    "alternatives": tuple(Alternative.model_fields),
}
"""The keys of each part of a file, for suggestions."""


def _completed(raw: dict[str, Any]) -> dict[str, Any]:
    """Add what a file leaves to be derived: an item's trait, number and text hash."""
    scales, items = raw.get("scales"), raw.get("items")
    if not isinstance(scales, dict) or not isinstance(items, list):
        return raw
    done = []
    for number, item in enumerate(items, 1):
        if isinstance(item, dict):
            text = item.get("text")
            derived = {"number": number, "trait": str(scales.get(str(item.get("scale")), ""))}
            if isinstance(text, str):
                derived["text_hash"] = text_hash(text)
            item = {**derived, **item, "trait": derived["trait"]}
        done.append(item)
    return {**raw, "items": done}


def _told(source: Document, errors: Sequence[Finding]) -> str:
    """Say the first error, and how to see the others."""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{errors[0].where}: {errors[0].message}{more}; `traitbench validate {source.path}` lists everything"


def _locate(name: str | Path, include: Sequence[str | Path]) -> Path:
    """Find the file that `name` stands for."""
    if isinstance(name, Path) or name.endswith(".json") or "/" in name:
        path = Path(name).expanduser()
        if path.is_file():
            return path
        raise unknown("inventory", str(name), names(include), "(there is no such file)")
    wanted = _plain(name)
    shipped = [path for path in _FOLDER.glob("*.json") if _plain(path.stem) == wanted]
    own = [path for path in _own(include) if _plain(path.stem) == wanted]
    if shipped and own:
        raise BadInventory(f"{own[0]} has the name of an inventory that ships; rename the file, or give its whole path")
    if len(own) > 1:
        raise BadInventory(f"two files answer to {name!r}: {own[0]} and {own[1]}; give the path of the one you mean")
    for path in shipped + own:
        return path
    raise unknown("inventory", name, names(include), "(a path to a JSON file of your own is taken too)")


def _own(include: Iterable[str | Path]) -> Iterator[Path]:
    """Walk the user's own files; a folder that does not exist is an error, not an empty one."""
    for folder in map(Path, include):
        if not folder.is_dir():
            raise UnknownName(f"--include_path {folder} is no folder; expected one with inventories as <name>.json")
        yield from sorted(folder.glob("*.json"))


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _with_texts(inventory: Inventory) -> Inventory:
    """Fill in restricted texts, checking each against its hash."""
    if inventory.data is None:
        raise BadData(f"{inventory.id} is restricted and names no data set; add `data` to its file")
    found = data.texts(inventory.data)
    filled, wordings = [], {}
    for item in inventory.items:
        text = item.text or found.texts.get(item.id) or found.texts.get(str(item.number))
        if not text:
            raise BadData(f"{found.path} has no text for item {item.id!r} of {inventory.id}; get a whole copy")
        hashed, other = text_hash(text), inventory.alternatives.get(item.id)
        if other is not None and hashed == other.hash:
            wordings[item.id] = other.note
        elif item.text_hash and hashed != item.text_hash:
            raise BadData(
                f"{found.path}: the text of item {item.id!r} is not that of {inventory.id}: {text!r}; "
                f"correct it, or make your wording an inventory of its own (a copy of {inventory.id}.json with texts)"
            )
        filled.append(item.model_copy(update={"text": text, "text_hash": hashed}))
    return inventory.model_copy(update={"items": tuple(filled), "wordings": wordings})
