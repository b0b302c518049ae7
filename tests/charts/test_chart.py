"""File names, numbers and colours of figures."""

from __future__ import annotations

import pytest

from traitbench.charts.chart import Estimate, plain, signed, slug
from traitbench.charts.theme import DARK, LIGHT, Palette, contrast

HOSTILE = "<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ä/../b", "a-b"),
        (HOSTILE, "script-alert-1-script"),
        ("..", "figure"),
        ("日本", "figure"),
        ("x" * 200, "x" * 80),
    ],
)
def test_a_file_name_is_safe_whatever_the_text(text: str, expected: str) -> None:
    assert slug(text) == expected


def test_numbers_as_they_are_shown() -> None:
    assert [signed(v, 2) for v in (0.123, -0.456, -0.001, None)] == ["+0.12", "−0.46", "0.00", ""]
    assert [signed(v, 2, plus=False) for v in (0.123, -0.456)] == ["0.12", "−0.46"]
    assert [plain(v) for v in (-0.001, 1.005, None)] == ["0.00", "1.00", "–"]
    assert Estimate(1, -0.001, 2).text(1) == "1.0 [0.0, 2.0]"


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_are_legible(palette: Palette) -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005), "the grey of the WCAG's own examples"
    assert min(contrast(text, palette.ground) for text in (palette.ink, palette.muted)) >= 4.5
    assert min(contrast(palette.ink, cell) for cell in palette.diverging) >= 4.5, "numbers in cells"
    assert contrast(palette.muted, palette.missing) >= 4.5
    marks = (*palette.categories, *palette.verdicts, *palette.ordinal, palette.neutral)
    assert min(contrast(mark, palette.ground) for mark in marks) >= 3
