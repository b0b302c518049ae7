"""Characters as targets are named on the command line."""

from __future__ import annotations

import pytest

from traitbench.errors import TraitbenchUsage, UnknownName
from traitbench.targets import cast, characters
from traitbench.types import Target


def test_targets_name_characters() -> None:
    shipped = [Target(character=name) for name in characters.names()]
    assert cast("characters") == shipped
    assert cast(None) == cast("all") == cast("openness=high") == cast("person:papi") == []
    assert [t.name for t in cast("character:ada@youth, mina")] == ["character:ada@youth", "character:mina"]
    with pytest.raises(UnknownName, match="did you mean 'bruno'"):
        cast("character:brunno")
    for wrong in ("character", "character:", "characters:mina", "character:mina,mina"):
        with pytest.raises(TraitbenchUsage, match=r"expected character|once"):
            cast(wrong)
