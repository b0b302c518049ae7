"""Explicit tables of names: `name -> "module:attribute"`, imported when a name is asked for and never before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

from traitbench.errors import MissingExtra, unknown

__all__ = ["Catalog"]

T = TypeVar("T")


class Catalog(Mapping[str, str], Generic[T]):
    """A table of one kind of thing. Outside packages add to it by the entry-point group `traitbench.<kind>s`."""

    def __init__(self, kind: str, table: Mapping[str, str]) -> None:
        """Keep `table`; nothing is imported."""
        self.kind = kind
        self._table = dict(table)

    @property
    def shipped(self) -> list[str]:
        """The names of the table itself, without those of outside packages."""
        return sorted(self._table)

    def _all(self) -> dict[str, str]:
        outside = {e.name: e.value for e in entry_points(group=f"traitbench.{self.kind}s")}
        return {**outside, **self._table}

    def __getitem__(self, name: str) -> str:
        table = self._all()
        if name not in table:
            raise unknown(self.kind, name, table)
        return table[name]

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._all()))

    def __len__(self) -> int:
        return len(self._all())

    def load(self, name: str) -> T:
        """Import and return what `name` stands for.

        UnknownName with the nearest name if there is none, MissingExtra where its module cannot be imported.
        """
        module, _, attribute = self[name].partition(":")
        try:
            return cast(T, getattr(import_module(module), attribute))
        except (ImportError, AttributeError) as error:
            raise MissingExtra(
                f"the {self.kind} {name!r} stands for {self[name]}, which cannot be imported: {error}; install or "
                "mend the package it comes from"
            ) from error
