"""What a model is shown: order of the turns, templates without a system role, no template, dates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from traitbench.backends.rendering import Renderer
from traitbench.errors import BadData
from traitbench.types import Choose, Control, Message

Make = Callable[..., Any]

GEMMA = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
)
SILENT = (
    "{% for m in messages %}{% if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endif %}{% endfor %}<assistant>"
)
DATED = (
    "{{ strftime_now('%d %b %Y') }}|{{ date_string }}|{{ enable_thinking }}"
    "{% for m in messages %}{{ m.content }}{% endfor %}"
)

PARTS = (
    "<s>{% for m in messages %}{{ m.role | capitalize }}:{% for part in m.content %}"
    "{% if part.type == 'image' %}<image>{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "<end>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
STRICT_PARTS = (
    "{% for m in messages %}{% if m.content is string %}{{ raise_exception('parts wanted') }}{% endif %}"
    "<{{ m.role }}>{{ m.content[0].text | trim }}{% endfor %}<assistant>"
)
EITHER = (
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}LIST{{ m.content[0].text }}"
    "{% endif %}{% endfor %}"
)
FIRST_WORDS = "{% for m in messages %}<{{ m.role }}>{{ m.content[:40] }}{% endfor %}<assistant>"

SYSTEM, USER = "system", "user"


def say(role: Any, content: str) -> Message:
    return Message(role=role, content=content)


def request(chooses: list[Choose], *, biography: str | None = None) -> Choose:
    return chooses[0].model_copy(update={"messages": (say(USER, "TASK"),), "biography": biography})


def test_biography_then_control_then_task(make_tokenizer: Make, chooses: list[Choose]) -> None:
    renderer = Renderer(make_tokenizer())
    asked = request(chooses, biography="BIO")
    system = renderer.render(asked.conversation(Control(messages=(say(SYSTEM, "CONTROL"),))))
    assert system == (
        "<|im_start|>system\nBIO\n\nCONTROL<|im_end|>\n<|im_start|>user\nTASK<|im_end|>\n<|im_start|>assistant\n"
    )
    user = renderer.render(asked.conversation(Control(messages=(say(USER, "CONTROL"),))))
    assert user == (
        "<|im_start|>system\nBIO<|im_end|>\n<|im_start|>user\nCONTROL\n\nTASK<|im_end|>\n<|im_start|>assistant\n"
    )
    assert renderer.encode(user)[0] == renderer.tokenizer.convert_tokens_to_ids("<|im_start|>")


@pytest.mark.parametrize("template", [GEMMA, SILENT])
def test_without_a_system_role_the_text_stands_before_the_first_user_turn(
    template: str, make_tokenizer: Make, chooses: list[Choose]
) -> None:
    renderer = Renderer(make_tokenizer(template))
    assert not renderer.system_role
    asked = request(chooses, biography="BIO")
    assert (
        renderer.render(asked.conversation(Control(messages=(say(SYSTEM, "C"),))))
        == "<user>BIO\n\nC\n\nTASK<assistant>"
    )
    mixed = Control(messages=(say(USER, "C"), say("assistant", "YES"), say(SYSTEM, "S")))
    assert renderer.render(asked.conversation(mixed)) == "<user>BIO\n\nC<assistant>YES<user>S\n\nTASK<assistant>"


def test_without_a_template_the_texts_are_joined_and_the_cue_follows(
    make_tokenizer: Make, chooses: list[Choose]
) -> None:
    renderer = Renderer(make_tokenizer(None))
    asked = request(chooses)
    prompt = renderer.render(asked.conversation(Control(messages=(say(SYSTEM, "CONTROL"),))), asked.cue)
    assert prompt == "CONTROL\n\nTASK\nAnswer:"
    assert renderer.encode(prompt)[0] == renderer.tokenizer.bos_token_id
    assert renderer.continuation("I worry.") == " I worry."
    assert Renderer(make_tokenizer()).continuation("I worry.") == "I worry."
    assert Renderer(make_tokenizer(), chat_template=False).identity["template_hash"] is None


def test_a_template_that_wants_parts_gets_parts(make_tokenizer: Make, chooses: list[Choose]) -> None:
    renderer = Renderer(make_tokenizer(PARTS))
    assert renderer.system_role and renderer.identity["content_parts"] is True
    asked = request(chooses, biography="BIO")
    prompt = renderer.render(asked.conversation(Control(messages=(say(SYSTEM, "CONTROL"),))))
    assert prompt == "<s>System:BIO\n\nCONTROL<end>\nUser:TASK<end>\nAssistant:"
    for item in chooses:
        assert item.messages[0].content in renderer.render(item.conversation(None))
    strict = Renderer(make_tokenizer(STRICT_PARTS))
    assert strict.render([say(USER, "  X\n"), say("assistant", "Y")]) == "<user>X<assistant>Y<assistant>"


@pytest.mark.parametrize("template", [None, EITHER, GEMMA, SILENT, DATED])
def test_a_template_that_takes_text_gets_text_and_its_identity_is_as_ever(
    template: str | None, make_tokenizer: Make
) -> None:
    renderer = Renderer(make_tokenizer(template) if template else make_tokenizer())
    assert "LIST" not in renderer.render([say(USER, "X")])
    assert sorted(renderer.identity) == ["chat_template", "date", "system_role", "template_hash"]


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% for m in messages %}<{{ m.role }}>{% endfor %}", "its prompt holds no word of it"),
        ("{{ raise_exception('tools only') }}", "given as text, tools only; given as a list of parts, tools only"),
    ],
)
def test_a_template_that_shows_nothing_is_refused_at_once(template: str, told: str, make_tokenizer: Make) -> None:
    with pytest.raises(BadData, match=f"{told}.*pass chat_template=False"):
        Renderer(make_tokenizer(template))
    assert Renderer(make_tokenizer(template), chat_template=False).render([say(USER, "X")]) == "X"


def test_words_that_a_template_leaves_out_are_an_error(make_tokenizer: Make) -> None:
    renderer = Renderer(make_tokenizer(FIRST_WORDS))
    assert renderer.render([say(USER, "I love the crowd.")]) == "<user>I love the crowd.<assistant>"
    with pytest.raises(BadData, match=r"leaves out words of the user turn 'I love .*expected all of them"):
        renderer.render([say(USER, "I love the crowd. " * 3)])
    dropping = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    with pytest.raises(BadData, match="leaves out words of the assistant turn 'YES'"):
        Renderer(make_tokenizer(dropping)).render([say(USER, "X"), say("assistant", "YES"), say(USER, "Z")])


def test_the_date_is_fixed_and_thinking_is_off(make_tokenizer: Make) -> None:
    renderer = Renderer(make_tokenizer(DATED))
    assert renderer.render([say(USER, "X")]) == "26 Jul 2024|26 Jul 2024|FalseX"
    assert renderer.identity["date"] == "2024-07-26"


def test_a_refusal_of_the_template_is_a_clear_error(make_tokenizer: Make) -> None:
    with pytest.raises(BadData, match="refuses turns of the roles assistant, user: roles must alternate"):
        Renderer(make_tokenizer(GEMMA)).render([say("assistant", "A"), say(USER, "B")])


def test_an_answer_is_tokenised_as_it_follows_the_prompt(make_tokenizer: Make) -> None:
    renderer = Renderer(make_tokenizer(None))
    ids = renderer.encode("the crow")
    assert renderer.tokenizer.decode(renderer.answer("the crow", ids, " and")) == " and"
    # "d" merges with the prompt's last word, so it is tokenised alone.
    merged = renderer.answer("the crow", ids, "d")
    assert renderer.encode("the crowd")[: len(ids)] != ids
    assert renderer.tokenizer.decode(merged) == "d"
    with pytest.raises(BadData, match="no tokens"):
        renderer.answer("the crow", ids, "")
