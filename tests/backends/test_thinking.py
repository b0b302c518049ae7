"""Templates that let a model reason first: what is scored stands behind the reasoning, and the results say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from said import Say
from tiny_models import CHATML, CONFIGS, saved

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.thinking import CLOSED, SWITCHED, closed, opened
from traitbench.statistics.replies import parse_reply
from traitbench.types import Choose, Continue, Control, Doc, Message, Write

BEGINS = "<|im_start|>assistant\n"
R1 = CHATML.replace("assistant\n", "assistant\n<think>\n")
BARE = CHATML.replace("assistant\n", "assistant\n<think>")
EMPTY = CHATML.replace("assistant\n", "assistant\n<think>\n\n</think>\n\n")
QWEN3 = CHATML.replace("{% endif %}", "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}")

DOC = Doc(task="quiz", scoring="choice", item="q1", trait="warmth", facet=None, keyed=1)
ASK = {"doc": DOC, "messages": (Message(role="user", content="Do you worry?"),)}
CHOOSE = Choose(**ASK, options=(("A",), ("B",)), values=(1, 2))
CONTINUE = Continue(**ASK, text="I make plans.")
WRITE = Write(**ASK, max_tokens=5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], HuggingFace]:
    """The same untrained model with a template of its own."""
    held: dict[str, HuggingFace] = {}

    def load(template: str) -> HuggingFace:
        if template not in held:
            folder = saved(tmp_path_factory.mktemp("model"), CONFIGS["llama"](), template)
            held[template] = HuggingFace(resolve(str(folder)), device="cpu")
        return held[template]

    return load


def test_the_templates_differ() -> None:
    assert len({CHATML, R1, BARE, EMPTY, QWEN3}) == 5


@pytest.mark.parametrize("template", [R1, BARE, QWEN3])
def test_options_and_statements_are_scored_behind_an_empty_block(
    template: str, made: Callable[[str], HuggingFace]
) -> None:
    ours, plain = made(template), made(EMPTY)
    for request in (CHOOSE, CONTINUE):
        assert ours.prompt(request) == plain.prompt(request)
        assert ours.prompt(request).endswith(f"{BEGINS}<think>\n\n</think>\n\n")
        assert list(ours.run([request])) == list(plain.run([request]))


@pytest.mark.parametrize("template", [R1, BARE])
def test_replies_are_written_in_the_open_block_and_keep_its_tag(
    template: str, made: Callable[[str], HuggingFace]
) -> None:
    ours = made(template)
    assert ours.prompt(WRITE).rstrip().endswith("<think>")
    (batch,) = ours.run([WRITE])
    text = batch[0].text or ""
    assert text.startswith("<think>") and text.count("<think>") == 1
    labels, values = (("A", "Yes"), ("B", "No")), (1, 2)
    assert parse_reply("<think>A", labels, values, truncated=True) == ("truncated", None)
    assert parse_reply("<think>\nA? No.\n</think>\n\nB", labels, values) == ("valid", 2)
    ours.check_lengths([WRITE, CHOOSE, CONTINUE], Control())
    assert ours.work([CHOOSE, WRITE], Control()) is not None


def test_identity_and_notes_say_what_was_done(made: Callable[[str], HuggingFace]) -> None:
    told = {name: (made(t).identity.get("thinking"), made(t).notes) for name, t in
            {"plain": CHATML, "r1": R1, "empty": EMPTY, "qwen3": QWEN3}.items()}  # fmt: skip
    assert told == {
        "plain": (None, ()), "r1": ("closed", (CLOSED,)), "empty": (None, ()), "qwen3": (None, (SWITCHED,)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "whole"),
    [
        ("user: hi\nassistant: <think>\n", "user: hi\nassistant: <think>\n\n</think>\n\n"),
        ("a <thinking>", "a <thinking>\n\n</thinking>\n\n"),
        ("a <seed:think>", "a <seed:think>\n\n</seed:think>\n\n"),
        ("a <reasoning> \n", "a <reasoning>\n\n</reasoning>\n\n"),
        ("a [THINK]", "a [THINK]\n\n[/THINK]\n\n"),
        ("a ◁think▷", "a ◁think▷\n\n◁/think▷\n\n"),
        ("a <think></think>", "a <think></think>"),
        ("I think", "I think"),
        ("<think> is a tag", "<think> is a tag"),
    ],
)
def test_what_a_prompt_opens_is_closed(prompt: str, whole: str) -> None:
    assert closed(prompt) == whole and closed(whole) == whole
    assert bool(opened(prompt)) == (prompt != whole)


def test_a_run_says_so(tmp_path: Path, say: Say) -> None:
    folder = saved(tmp_path / "model", CONFIGS["llama"](), R1)
    done = say(
        f"run --model '{folder}' --method none --tasks mini_ipip --limit 2 --device cpu -o out "
        "--scoring choice,statement,generate --format json"
    )
    assert done.code == 0, done.err
    assert CLOSED in json.loads(done.out)["warnings"]
    rows = [json.loads(line) for line in next(Path("out").rglob("samples_*.jsonl")).read_text().splitlines()]
    ends = {row["scoring"]: row["arguments"][0] for row in rows}
    assert "</think>" in str(ends["choice"]) and "</think>" in str(ends["statement"])
    assert "</think>" not in str(ends["generate"])
