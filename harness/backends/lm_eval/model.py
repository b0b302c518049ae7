"""A model of lm-eval's, asked so that prompt and answer are the tokens that the backend hf would take.

lm-eval splits prompt and answer as texts: white space at the prompt's end, such as the line break that most chat
templates write, becomes a part of the answer. So where a model scores tokens and has a tokenizer of transformers, it is
given tokens (way `tokens`). Other models are given texts (way `text`), and those of chat servers turns (way `turns`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

from traitbench.backends.lm_eval.kinds import answered, instance, quiet, served, unlogged
from traitbench.backends.lm_eval.servers import NoText, failure, guard
from traitbench.backends.lm_eval.spoken import Spoken
from traitbench.backends.loading import ends
from traitbench.backends.packing import Item
from traitbench.backends.rendering import TOLD, Renderer, Tokens
from traitbench.errors import BadData, TraitbenchError, UnsupportedControl, first_line
from traitbench.types import Choose, Message, Write, prompt_hash

__all__ = ["Model"]

Way = Literal["tokens", "text", "turns"]

_END = "<|endoftext|>"
"""Where to stop a reply of a model whose end of a turn is not known: chat servers end replies themselves."""
_PROBE = (Message(role="system", content="Be brief."), Message(role="user", content="Who are you?"))


class Model:
    """An `LM` of lm-eval's, with its chat template and its tokeniser."""

    def __init__(self, name: str, lm: Any, chat_template: bool | None, together: int = 1) -> None:
        """Decide on the way and the template; `chat_template` None: where there is one that can be used.

        `together` requests are kept at a time, which is what a failure can lose.

        BadData where a template was asked for and there is none, or asked away and the model takes nothing else.
        """
        self.name, self.lm, self.way, self._together = name, lm, _way(name, lm), together
        if served(type(lm)):
            guard(name, lm)
        if self.way == "turns" and chat_template is False:
            raise BadData(f"lm-eval's model {name} takes turns alone; leave --apply_chat_template out")
        if self.way == "text" and chat_template is None:
            chat_template = False
        with unlogged():
            self.renderer = None if self.way == "turns" else Renderer(_Words(name, lm), chat_template)
        if self.chat and self.way == "tokens":
            # What lm-eval would else put in front of a prompt that begins as its template wants.
            lm.add_bos_token = False
        elif self.way == "tokens" and getattr(lm, "add_bos_token", None) is False:
            lm.add_bos_token = True
        self._end = _END
        self._spoken: Spoken | None = None
        if self.way == "tokens" and self.renderer is not None:
            self._spoken = _without_habits(lm, self.renderer)
            if self.renderer.end:
                self._end = str(self.renderer.tokenizer.decode(list(self.renderer.end)))

    @property
    def chat(self) -> bool:
        """Whether prompts are turns, or made by a template."""
        return self.renderer is None or self.renderer.chat

    def rows(self, item: Item) -> Collection[Tokens]:
        """What is computed behind a prompt: each answer, or once what several have before their last token."""
        return {answer[:-1] for answer in item.answers} if getattr(self.lm, "logits_cache", False) else item.answers

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the text of a prompt: a template by what it writes too, which arguments or a date may change."""
        if self.renderer is None:
            return {"way": self.way, "chat_template": True}
        shown = prompt_hash(self.render(_PROBE, ""))[:16] if self.chat else None
        return {"way": self.way, **self.renderer.identity, "template_shows": shown}

    def render(self, conversation: Sequence[Message], cue: str) -> str:
        """Return the text that the model is shown; of turns each behind its role."""
        if self.renderer is None:
            return "\n\n".join(f"{turn.role}: {turn.content}" for turn in conversation)
        with unlogged():
            return self.renderer.render(conversation, cue)

    def refuse_cut(self, ids: Tokens, more: int) -> None:
        """Raise BadData where a prompt and `more` tokens behind it do not fit: lm-eval would cut the prompt."""
        longest = getattr(self.lm, "max_length", None)
        if isinstance(longest, int) and len(ids) + more >= longest:
            raise BadData(
                f"a prompt of {len(ids)} tokens and {more} to come do not fit into the {longest} positions of "
                f"lm-eval's model {self.name}, which would cut the prompt; shorten the control or the item, or give "
                "--model_args max_length a larger value"
            )

    def scored(self, rows: Sequence[tuple[str, Tokens, Tokens]]) -> list[float]:
        """Log-likelihood in nats of the second tokens behind the first, a row each; the text is the prompt's."""
        asked = [((prompt, ""), list(before), list(answer)) for prompt, before, answer in rows]
        with self._told():
            return self._checked(self.lm._loglikelihood_tokens(asked), len(asked))

    def likely(self, rows: Sequence[tuple[str, str]]) -> list[float]:
        """Log-likelihood in nats of texts behind prompts, split by lm-eval; BadData where it would split elsewhere."""
        if spaced := next((prompt for prompt, _ in rows if prompt != prompt.rstrip()), None):
            raise BadData(
                f"lm-eval's model {self.name} is given texts, and takes the white space at a prompt's end "
                f"({spaced[-20:]!r}) for a part of the answer; use --apply_chat_template false"
            )
        with self._told():
            return self._checked(self.lm.loglikelihood([instance("loglikelihood", *row) for row in rows]), len(rows))

    def replies(self, prompts: Sequence[Any], request: Write, seed: int | None) -> list[str | None]:
        """Write to each prompt, as `request` says; `seed` is of a sampled reply, which is written alone.

        None where a server gave no text.
        """
        settings: dict[str, Any] = {
            "until": [self._end], "max_gen_toks": request.max_tokens, "temperature": request.temperature,
            "do_sample": request.temperature > 0,
        }  # fmt: skip
        if seed is not None:
            settings |= _sampling(self.lm, seed)
        with self._told(), _seeded(self.lm, seed):
            found = self.lm.generate_until([instance("generate_until", prompt, dict(settings)) for prompt in prompts])
        if len(found) != len(prompts):
            raise BadData(f"lm-eval's model {self.name} gave {len(found)} replies to {len(prompts)} prompts")
        return [None if isinstance(text, NoText) else text or "" for text in found]

    def written(self, conversation: Sequence[Message], prompt: str, more: int) -> Any:
        """The prompt as `generate_until` takes it, for `more` tokens; BadData where it would be tokenised otherwise."""
        if self.renderer is None:
            return self.lm.apply_chat_template([turn.model_dump() for turn in conversation])
        if self.way == "tokens":
            ids = self.renderer.encode(prompt)
            self.refuse_cut(ids, more)
            if tuple(self.lm.tok_encode(prompt)) != ids:
                raise BadData(
                    f"lm-eval's model {self.name} begins or ends a prompt with other tokens when it writes than when "
                    "it chooses; use --scoring choice,statement, or --backend hf"
                )
        return prompt

    def said(self, prompt: str, text: str, most: int) -> tuple[int | None, bool]:
        """Tokens of a reply, and whether it came to an end within `most`.

        Only of models of transformers are its tokens known; else they are those of the text, and where a model has no
        tokenizer None, and taken to have ended.
        """
        if self.way != "tokens" or self.renderer is None:
            return None, True
        if self._spoken is not None and (known := self._spoken.of(self.renderer.encode(prompt))) is not None:
            return known
        size = len(self.renderer.tokenizer(text, add_special_tokens=False)["input_ids"])
        return size, size < most

    def length(self, prompt: str, text: str) -> int:
        """Tokens of a text behind a prompt, as the model's own tokeniser counts them."""
        with self._told():
            return len(self.lm.tok_encode(prompt + text)) - len(self.lm.tok_encode(prompt))

    def _checked(self, found: Sequence[Any], many: int) -> list[float]:
        logs = [float(each[0]) for each in found]
        if len(logs) != many or not all(map(math.isfinite, logs)):
            raise BadData(
                f"lm-eval's model {self.name} gave {len(logs)} log-likelihoods for {many} texts, or one that is no "
                "number; use --scoring generate"
            )
        return logs

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what failed; a server that does not answer is Unreachable. No bar of lm-eval's is drawn."""
        try:
            with quiet(), unlogged() if served(type(self.lm)) else nullcontext():
                yield
        except TraitbenchError:
            raise
        except NotImplementedError as error:
            raise UnsupportedControl(
                f"lm-eval's model {self.name} has no log-likelihoods: {first_line(error)}; use --scoring generate"
            ) from error
        except Exception as error:
            if (known := failure(self.name, error, self._together)) is not None:
                raise known from error
            told = f"lm-eval's model {self.name} failed: {type(error).__name__}: {first_line(error)}"
            raise BadData(f"{told}; see what lm-eval says of --model {self.name}") from error


class _Words:
    """lm-eval's model as a tokenizer, as far as a Renderer asks one: the template is applied by lm-eval itself."""

    def __init__(self, name: str, lm: Any) -> None:
        self._lm, self._name, self._inner = lm, name, _tokenizer(lm)
        self.name_or_path = f"lm-eval's model {name}"
        try:
            self.chat_template = lm.chat_template(True)
        except (AttributeError, NotImplementedError):
            self.chat_template = None
        if self._inner is not None:
            _tell(self._inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __call__(self, text: str, add_special_tokens: bool) -> Any:
        return self._inner(text, add_special_tokens=add_special_tokens)

    def apply_chat_template(self, turns: list[dict[str, Any]], add_generation_prompt: bool, **_: Any) -> str:
        """Render turns. lm-eval takes the end off a last turn that it does not ask behind, so that one is not its."""
        if not add_generation_prompt and self._inner is not None:
            return str(self._inner.apply_chat_template(turns, tokenize=False, add_generation_prompt=False))
        text = self._lm.apply_chat_template(turns, add_generation_prompt=add_generation_prompt)
        if not isinstance(text, str):
            raise BadData(
                f"lm-eval's model {self._name} does not apply its template itself; expected --model_args "
                "tokenizer_backend=huggingface,tokenizer=ORG/NAME, or --apply_chat_template false"
            )
        return text


def _way(name: str, lm: Any) -> Way:
    from lm_eval.api.model import TemplateLM

    if served(type(lm)) and Choose not in answered(name):
        return "turns"
    scores = isinstance(lm, TemplateLM) and lm.backend == "causal"
    return "tokens" if scores and _tokenizer(lm) is not None else "text"


def _without_habits(lm: Any, renderer: Renderer) -> Spoken | None:
    """Take a checkpoint's sampling defaults away, as the backend hf does, and end replies where a turn ends.

    lm-eval itself would go on behind a turn's end that the checkpoint does not name, and leave what follows in. None
    for what is no model of transformers.
    """
    from transformers import GenerationConfig, PreTrainedModel

    inner = getattr(lm, "model", None)
    if not isinstance(inner, PreTrainedModel):
        return None
    stops = renderer.stops(ends(inner.generation_config, renderer.tokenizer))
    inner.generation_config = GenerationConfig(eos_token_id=stops or None)
    return Spoken(lm, stops)


def _tokenizer(lm: Any) -> Any:
    """The tokenizer, if it is one of transformers."""
    from transformers import PreTrainedTokenizerBase

    if "tokenizer" not in vars(lm) and not isinstance(getattr(type(lm), "tokenizer", None), property):
        return None
    found = lm.tokenizer
    return found if isinstance(found, PreTrainedTokenizerBase) else None


def _tell(tokenizer: Any) -> None:
    """Tell templates what the backend hf tells them, a fixed date among it, where lm-eval tells them nothing else."""
    apply = tokenizer.apply_chat_template

    def told(turns: Any, **given: Any) -> Any:
        return apply(turns, **{**TOLD, **{name: value for name, value in given.items() if value is not None}})

    tokenizer.apply_chat_template = told


def _sampling(lm: Any, seed: int) -> dict[str, Any]:
    """Settings of a sampled reply that lm-eval's kinds take and others do not."""
    from lm_eval.models.huggingface import HFLM

    if isinstance(lm, HFLM):
        return {"top_k": 0, "top_p": 1.0}
    return {"seed": seed} if "vllm" in type(lm).__module__ else {}


@contextmanager
def _seeded(lm: Any, seed: int | None) -> Iterator[None]:
    """Seed a reply: in the request to a server, else torch's generator for the block."""
    if seed is None:
        yield
    elif served(type(lm)):
        before, lm._seed = lm._seed, seed
        try:
            yield
        finally:
            lm._seed = before
    else:
        import torch

        device = getattr(lm, "device", None)
        cuda = [device] if isinstance(device, torch.device) and device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed)
            yield
