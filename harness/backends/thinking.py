"""Blocks of reasoning that a chat template opens where the model's answer begins (DeepSeek-R1, Qwen3-Thinking).

What is scored behind such a prompt would be scored as a thought. So the block is closed, empty, before options and
statements, as Qwen3's own template does where it is told not to reason; a reply is written with the block open, and
keeps the opening tag, so that whoever reads it knows where the answer begins.
"""

from __future__ import annotations

import re

__all__ = ["CLOSED", "SWITCHED", "closed", "opened"]

_OPENS = re.compile(r"(?:<(?P<name>[\w:]*think(?:ing)?|reasoning)>|\[THINK\]|◁think▷)\s*\Z", re.I)

CLOSED = (
    "the chat template opens a block of reasoning: it is closed, empty, before options and statements, and replies are "
    "read behind theirs"
)
SWITCHED = "the chat template can let the model reason before it answers, and was told not to (enable_thinking=False)"


def opened(prompt: str) -> str:
    """The tag of the block that a prompt ends in; empty where it ends in none."""
    found = _OPENS.search(prompt[-64:])
    return found[0].strip() if found else ""


def closed(prompt: str) -> str:
    """The prompt with the block that it ends in closed; the same where it ends in none."""
    if not (tag := opened(prompt)):
        return prompt
    ends = {"[THINK]": "[/THINK]", "◁think▷": "◁/think▷"}.get(tag.upper() if tag[0] == "[" else tag, f"</{tag[1:]}")
    return f"{prompt.rstrip()}\n\n{ends}\n\n"
