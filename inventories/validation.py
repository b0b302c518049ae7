"""What can be wrong with an inventory file: reading it, and the lint behind `traitbench validate`."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from traitbench.files import parsed, read_text
from traitbench.types import TRAITS, Record, is_name, named

__all__ = ["Document", "Finding", "findings", "read", "structural", "text_hash"]

_BALANCE = 1 / 3
"""A scale whose smaller key half has a smaller share of its items than this is called unbalanced."""


class Finding(Record):
    """One thing that is wrong with an inventory file."""

    level: Literal["error", "warning"]
    where: str
    """File, line where known, and item."""
    message: str


class Document(Record):
    """A file as read."""

    path: Path
    text: str = ""
    raw: dict[str, Any] | None = None
    """The object in the file; None where it holds none."""
    damage: tuple[Finding, ...] = ()
    """Why `raw` is None."""
    twice: tuple[str, ...] = ()
    """Keys that stand twice in one object; JSON keeps the last and says nothing."""

    def where(self, item: str | None = None, occurrence: int = 0) -> str:
        """Write the place as `file:line, item 'id'`; `occurrence` counts the items with that id."""
        if item is None:
            return str(self.path)
        places = list(re.finditer(r'"id"\s*:\s*' + re.escape(json.dumps(item, ensure_ascii=False)), self.text))
        line = f":{self.text.count(chr(10), 0, places[occurrence].start()) + 1}" if len(places) > occurrence else ""
        return f"{self.path}{line}, item {item!r}"


def text_hash(text: str) -> str:
    """Hash an item text so that case, punctuation and spacing do not matter: sha256 over its letters a-z.

    A text without any of them (another script) is hashed as it stands, without case and white space.
    """
    letters = re.sub(r"[^a-z]", "", text.lower()) or re.sub(r"\s", "", text.casefold())
    return hashlib.sha256(letters.encode()).hexdigest()


def read(path: Path) -> Document:
    """Read a JSON file; `damage` tells by line where it is no JSON object."""

    def damaged(where: str, message: str, text: str = "") -> Document:
        return Document(path=path, text=text, damage=(Finding(level="error", where=where, message=message),))

    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        return damaged(str(path), f"cannot be read as UTF-8 text ({error})")
    twice: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(key for key, n in Counter(key for key, _ in found).items() if n > 1)
        return dict(found)

    try:
        raw = parsed(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        ended = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        kind = "the JSON ends too early (truncated file?)" if ended else "not valid JSON"
        return damaged(f"{path}:{error.lineno}", f"{kind}: {error.msg} at column {error.colno}", text)
    if not isinstance(raw, dict):
        return damaged(str(path), f"holds a {type(raw).__name__}; expected an object with id, scales and items", text)
    return Document(path=path, text=text, raw=raw, twice=tuple(twice))


def structural(source: Document, error: ValidationError, keys: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Turn what pydantic found into findings that name the item; `keys` are the known keys of each part."""
    found = []
    items = (source.raw or {}).get("items")
    for problem in error.errors(include_url=False):
        location = [part for part in problem["loc"] if part != "trait"]
        where, part = source.where(), str(location[0]) if len(location) > 1 else ""
        if part == "items" and isinstance(items, list) and isinstance(location[1], int):
            item = items[location[1]]
            name = item.get("id") if isinstance(item, dict) else None
            where = source.where(name) if isinstance(name, str) else f"{source.path}, item number {location[1] + 1}"
        name, given = ".".join(map(str, location)), problem["input"]
        last = str(location[-1]) if location else ""
        if problem["type"] == "missing":
            message = f"key {last!r} is missing"
        elif problem["type"] == "extra_forbidden":
            close = difflib.get_close_matches(last, keys.get(part, ()), n=1)
            message = f"unknown key {last!r}; " + (
                f"did you mean {close[0]!r}?" if close else f"known: {', '.join(keys.get(part, ()))}"
            )
        elif last == "keyed":
            message = f"keyed is {given!r}; expected 1 or -1"
        else:
            message = f"{name} is {given!r}: {problem['msg']}"
        found.append(Finding(level="error", where=where, message=message))
    return found


def findings(source: Document) -> list[Finding]:
    """Lint the content. It takes any JSON object: what has the wrong type is left to `structural`."""
    raw = source.raw or {}
    listed = raw.get("items")
    items = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    found: list[Finding] = []

    def say(level: Literal["error", "warning"], message: str, item: Any = None, occurrence: int = 0) -> None:
        where = source.where(item if isinstance(item, str) else None, occurrence)
        found.append(Finding(level=level, where=where, message=message))

    for key in dict.fromkeys(source.twice):
        say("error", f"key {key!r} stands twice in one object; JSON keeps only the last")
    for key, example in (("licence", "CC BY 4.0"), ("citation", "Author (year). Title. Journal.")):
        if not str(raw.get(key) or "").strip():
            say("error", f'{key} is missing; write e.g. "{key}": "{example}" or say that there is none')
    if raw.get("restricted") and not raw.get("data"):
        say("error", "restricted, but `data` does not name the data set that holds the texts")
    if "statement" not in raw:
        rule = '{"prefix": "I ", "lower": true}'
        say("warning", f'no `statement`: texts are used as they stand; for "Worry about things" write {rule}')
    if raw.get("id") and str(raw["id"]) != source.path.stem:
        say("warning", f"id {raw['id']!r} is not the file's name {source.path.stem!r}; results are filed under the id")
    if isinstance(raw.get("id"), str) and not is_name(raw["id"]):
        say("error", f"id {raw['id']!r} cannot be part of a file's name; expected letters, digits, _, . and -")
    first = raw.get("wording_of")
    if first is not None and (not isinstance(first, str) or not is_name(first) or first == raw.get("id")):
        say("error", f"wording_of is {first!r}; expected the id of another inventory, e.g. mini_ipip, or no such key")
    _response_scale(raw.get("response_scale"), say)
    _desirability(raw, say)
    _items(raw, items, say)
    _balance(raw, items, say)
    return found


Say = Callable[..., None]


def _response_scale(scale: Any, say: Say) -> None:
    """Range and labels of the answer options."""
    if not isinstance(scale, dict) or not isinstance(scale.get("min"), int) or not isinstance(scale.get("max"), int):
        return
    low, high, labels = scale["min"], scale["max"], scale.get("labels")
    if low >= high:
        say("error", f"response_scale: min {low} is not below max {high}")
    elif isinstance(labels, list):
        if len(labels) != high - low + 1:
            say("error", f"response_scale: {len(labels)} labels for {high - low + 1} options ({low} to {high})")
        if len({str(label).strip().lower() for label in labels}) < len(labels):
            say("error", "response_scale: two options have the same label")
        if not all(str(label).strip() for label in labels):
            say("error", "response_scale: a label is empty")


def _desirability(raw: Mapping[str, Any], say: Say) -> None:
    """Which end of a trait is desirable: of traits that are measured only."""
    scales, told = raw.get("scales"), raw.get("desirability")
    measured = list(map(str, scales.values())) if isinstance(scales, dict) else []
    for trait in told if isinstance(told, dict) else ():
        if trait not in measured:
            say("error", f"desirability names {trait!r}, which no scale measures; expected {', '.join(measured)}")


def _items(raw: Mapping[str, Any], items: Sequence[Mapping[str, Any]], say: Say) -> None:
    """Each item: its id, scale, facet and text."""
    scales = raw.get("scales") if isinstance(raw.get("scales"), dict) else {}
    facets = raw.get("facets") if isinstance(raw.get("facets"), dict) else {}
    if not items:
        say("error", "there are no items")
    for letter, trait in (scales or {}).items():
        _trait(letter, trait, scales or {}, say)
        if not any(item.get("scale") == letter for item in items):
            say("error", f"scale {letter!r} ({trait}) has no items")
    others = raw.get("alternatives")
    for other in others if isinstance(others, dict) else ():
        if all(item.get("id") != other for item in items):
            say("error", f"alternatives name item {other!r}, which does not exist")
    ids: Counter[str] = Counter()
    numbers: dict[int, Any] = {}
    texts: dict[str, Mapping[str, Any]] = {}
    for item in items:
        name = item.get("id")
        if isinstance(name, str) and not is_name(name):
            say("error", f"id {name!r} is no name; expected letters, digits, _, . and -", name)
        if ids[str(name)]:
            say("error", f"id {name!r} stands twice", name, ids[str(name)])
        ids[str(name)] += 1
        number = item.get("number")
        if isinstance(number, int) and number in numbers:
            say("error", f"number {number} is also that of item {numbers[number]!r}", name)
        elif isinstance(number, int):
            numbers[number] = name
        if "scale" in item and str(item["scale"]) not in (scales or {}):
            say("error", f"scale {item['scale']!r} is not among the scales ({', '.join(scales or {})})", name)
        if "trait" in item:
            say("error", "an item's trait comes from its scale; leave `trait` out", name)
        if item.get("facet") and facets and str(item["facet"]) not in facets:
            say("error", f"facet {item['facet']!r} is not among the facets", name)
        for level, message in _text(item, bool(raw.get("restricted")), texts):
            say(level, message, name, ids[str(name)] - 1)


def _trait(letter: str, trait: Any, scales: Mapping[str, Any], say: Say) -> None:
    """The name of what a scale measures: any, as long as it is a name and no other spelling of a known one."""
    if not isinstance(trait, str) or not is_name(trait):
        return say(
            "error",
            f"scale {letter!r} measures {trait!r}; expected a name of letters, digits, _, . and -, one of "
            f"{', '.join(TRAITS)} or your own, e.g. honesty_humility",
        )
    other = named(trait, [*TRAITS, *(name for name in scales.values() if isinstance(name, str))])
    if other not in (None, trait):
        return say("error", f"scale {letter!r} measures {trait!r}, another spelling of {other!r}; write {other!r}")
    if trait not in TRAITS and (close := difflib.get_close_matches(trait, TRAITS, n=1, cutoff=0.85)):
        say("warning", f"scale {letter!r} measures {trait!r}, a trait of its own; did you mean {close[0]!r}?")


def _text(
    item: Mapping[str, Any], restricted: bool, seen: dict[str, Mapping[str, Any]]
) -> Iterator[tuple[Literal["error", "warning"], str]]:
    """One item's text and hash; `seen` collects the items by hash."""
    text, hashed = item.get("text"), item.get("text_hash")
    if isinstance(text, str) and text.strip():
        if restricted:
            yield "warning", "the inventory is restricted, yet its file holds the item's text"
        if hashed and hashed != text_hash(text):
            yield "error", "text_hash is not that of the text; correct the text or leave the hash out"
        hashed = text_hash(text)
    elif not restricted:
        yield "error", "the text is empty"
        return
    elif not hashed:
        yield "error", "restricted, and without the text_hash that its text is checked against"
        return
    # The hash leaves out digits, but "Item 1" and "Item 2" are different texts.
    first = seen.setdefault(f"{hashed} {re.findall(r'[0-9]+', text or '')}", item)
    if first is not item:
        same = first.get("scale") == item.get("scale")
        yield "error" if same else "warning", f"the text is also that of item {first.get('id')!r}"


def _balance(raw: Mapping[str, Any], items: Sequence[Mapping[str, Any]], say: Say) -> None:
    """Plus and minus items of each scale: agreeing with everything must not look like a trait."""
    for letter, trait in raw["scales"].items() if isinstance(raw.get("scales"), dict) else ():
        keys = [item.get("keyed") for item in items if item.get("scale") == letter]
        plus, minus = keys.count(1), keys.count(-1)
        if not plus + minus:
            continue
        if plus + minus == 1:
            say("warning", f"scale {letter!r} ({trait}) has one item: too few for reliability and for an interval")
        if not minus or not plus:
            one = "plus" if plus else "minus"
            say("warning", f"scale {letter!r} ({trait}) is all-{one}: agreement cannot be told from the trait")
        elif min(plus, minus) / (plus + minus) < _BALANCE:
            say("warning", f"scale {letter!r} ({trait}) is unbalanced: {plus} plus and {minus} minus items")
