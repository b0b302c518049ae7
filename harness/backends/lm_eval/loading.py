"""A model, made by lm-eval as its own command makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traitbench.backends.backend import Options
from traitbench.backends.devices import device_of
from traitbench.backends.lm_eval.kinds import Kind, engine, quiet
from traitbench.errors import BadData, MissingExtra, TraitbenchError, first_line

__all__ = ["loaded"]

_BATCH = {"cpu": 8, "cuda": 32}
"""Rows a pass of lm-eval's models of transformers, where no batch size is given; its own default is one."""


def loaded(name: str, kind: Kind, arguments: Mapping[str, Any], options: Options) -> Any:
    """Make the model; BadData or MissingExtra where lm-eval cannot."""
    from lm_eval.models.huggingface import HFLM

    size: int | str | None = options.batch_size
    device = options.device
    if issubclass(kind, HFLM):
        device = device_of(device)
        size = size or _BATCH["cpu" if device == "cpu" else "cuda"]
    elif engine(kind):
        size = size or "auto"
    try:
        with quiet():
            # What is None is left to the class.
            return kind.create_from_arg_obj(dict(arguments), {"batch_size": size, "device": device})
    except TraitbenchError:
        raise
    except ImportError as error:
        raise MissingExtra(
            f"lm-eval's model {name} needs a package that is not installed: {first_line(error)}"
        ) from error
    except Exception as error:
        raise BadData(
            f"lm-eval's model {name} cannot be made: {type(error).__name__}: {first_line(error)}; expected "
            f"--model_args as `lm_eval run --model {name}` takes them"
        ) from error
