"""How a question is put: alone, or with a few words that ask for an answer of one's own."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.tasks.administration import Administration
from traitbench.tasks.personality_bench.questions import Question
from traitbench.types import Doc, Message, Request, Write, digest

__all__ = ["MAX_TOKENS", "WORDINGS", "requests"]

MAX_TOKENS = 80
"""Of a written reply, where --gen_kwargs does not say otherwise."""
CUE = "Answer:"
WORDINGS = (
    "{question}",
    "{question}\n\nAnswer in a few sentences, in the first person.",
    "Here is a question for you. {question}\n\nSay it as you would to somebody you know.",
    "I would like to hear your own answer to this: {question}",
    "{question}\n\nThere is no right or wrong answer. Just tell me how it is with you.",
)
"""Our own; as many as a questionnaire has, since --templates N draws among them by number."""


def requests(task: str, questions: Sequence[Question], administration: Administration, seed: int) -> list[Request]:
    """Everything that one condition asks: wording by wording, question by question."""
    given = "max_tokens" in administration.model_fields_set
    return [
        Write(
            doc=Doc(
                task=task, scoring="generate", item=question.id, trait=question.trait, facet=question.facet, keyed=1,
                template=template, repeat=repeat,
            ),
            messages=(Message(role="user", content=WORDINGS[template].format(question=question.question)),),
            cue=CUE,
            seed=int(digest([seed, question.id, template, repeat]), 16) % 2**31,
            max_tokens=administration.max_tokens if given else MAX_TOKENS,
            temperature=administration.temperature, repetition_penalty=administration.repetition_penalty,
        )
        for template in administration.chosen_templates(seed)
        for repeat in range(administration.repeats)
        for question in questions
    ]  # fmt: skip
