"""Which kinds of models lm-eval has, and what each can be asked. Classes are imported, no model is made."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from traitbench.errors import BadData, MissingExtra, UnsupportedControl, unknown
from traitbench.types import Choose, Continue, Write

__all__ = ["Kind", "answered", "engine", "installed", "instance", "kind_of", "quiet", "served", "unlogged"]

Kind = Any
"""A class of lm-eval's, a subclass of its `LM`."""

_OURS = "traitbench"
"""What `traitbench.lm_eval` registers there."""


def installed() -> str:
    """The version of lm-eval; MissingExtra where it is not installed."""
    if find_spec("lm_eval") is None:
        raise MissingExtra("lm-eval is not installed: pip install 'traitbench[lm-eval]'")
    return version("lm_eval")


def kind_of(name: str) -> Kind:
    """Find the class that lm-eval's `--model NAME` stands for.

    UnknownName with the nearest name where it has none, MissingExtra where its package is not installed,
    UnsupportedControl for the model that is made of this very package.
    """
    installed()
    if name.lower() == _OURS:
        raise _circle(name)
    import lm_eval.models  # noqa: F401  (fills the registry)
    from lm_eval.api.registry import model_registry

    if name not in model_registry:
        raise unknown("model of lm-eval", name, set(model_registry.keys()) - {_OURS}, "(write e.g. lm_eval:hf)")
    try:
        with quiet():
            kind = model_registry.get(name)
    except ImportError as error:
        raise MissingExtra(
            f"lm-eval's model {name} cannot be imported: {error}; install the package that it needs, or take lm_eval:hf"
        ) from error
    except Exception as error:
        # lm-eval 0.4.13 has names in its table whose modules register another class by them.
        raise BadData(
            f"lm-eval cannot load its model {name}: {error}; take another version of it, or lm_eval:hf"
        ) from error
    if kind.__module__.partition(".")[0] == _OURS:
        raise _circle(name)
    return kind


def served(kind: Kind) -> bool:
    """Tell whether models of this kind are behind a server that speaks OpenAI's protocol or the like."""
    from lm_eval.models.api_models import TemplateAPI

    return bool(issubclass(kind, TemplateAPI))


def engine(kind: Kind) -> bool:
    """Tell whether models of this kind order their work themselves, and want much of it at once: vLLM and SGLang."""
    module: str = kind.__module__
    return module.rpartition(".")[2].startswith(("vllm", "sglang_causal"))


@lru_cache
def answered(name: str) -> frozenset[type]:
    """The types of requests that models of lm-eval's `--model NAME` answer.

    Its classes for chat servers have a method for log-likelihoods that says at once that there are none. It is called
    without a model, which costs nothing: any other fails for want of one. A statement's log-likelihood is read per
    token, and kinds without a tokeniser tell no number of tokens.
    """
    kind = kind_of(name)
    try:
        with quiet():
            kind.loglikelihood(None, [instance("loglikelihood", "a", "b")])
    except NotImplementedError:
        return frozenset({Write})
    except Exception:
        pass
    return frozenset({Choose, Write, *((Continue,) if hasattr(kind, "tok_encode") else ())})


def instance(type: str, *arguments: Any) -> Any:
    """A request as lm-eval's models take it."""
    from lm_eval.api.instance import Instance

    return Instance(request_type=type, doc={}, arguments=arguments, idx=0, metadata=("traitbench", 0, 1))


@contextmanager
def quiet() -> Iterator[None]:
    """Draw no progress bar of lm-eval's, and keep what it prints off stdout, which is for data."""
    from tqdm.std import tqdm

    begin = tqdm.__init__

    def muted(self: Any, *given: Any, **settings: Any) -> None:
        begin(self, *given, **{**settings, "disable": True})

    tqdm.__init__ = muted
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        tqdm.__init__ = begin


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep back what lm-eval logs, where it is found out and told here: a server's answer may hold the key."""
    logger = logging.getLogger("lm_eval")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _circle(name: str) -> UnsupportedControl:
    return UnsupportedControl(
        f"lm_eval:{name} is a model of traitbench itself, made for lm-eval's command line, and would ask in a circle; "
        "name the model that it runs: --model smollm2, a hub id or a folder"
    )
