"""Tables on a terminal and in Markdown: whatever a run's texts hold."""

from __future__ import annotations

import io

from rich.console import Console

from traitbench.tables import Table, markdown, show

EVIL = "\x1b[2J\x1b]0;pwn\x07\x9b31m\x00model"


def test_what_steers_a_terminal_is_shown_as_a_mark() -> None:
    table = Table(title=f"Runs of {EVIL}\nand one more", columns=["a", EVIL], rows=[[EVIL, "1"]], notes=[EVIL])
    shown = io.StringIO()
    show([table], Console(file=shown, width=120))
    for text in (shown.getvalue(), markdown(table)):
        assert "[2J" in text and "model" in text
        assert not [sign for sign in text if sign != "\n" and (sign < " " or "\x7f" <= sign <= "\x9f")]
