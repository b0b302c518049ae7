"""What --model_args says of one of lm-eval's models, checked before a folder is made; weights are found and named.

All arguments are lm-eval's own. A secret is never among them: `header=env:NAME` says which variable of the environment
holds it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from traitbench.backends.backend import Options
from traitbench.backends.fingerprints import fingerprint
from traitbench.backends.lm_eval.kinds import Kind, served
from traitbench.backends.models import SHORT_NAMES, ModelSpec, resolve
from traitbench.backends.weights import known_as, locate
from traitbench.errors import BadData, TraitbenchUsage, refuse_others
from traitbench.files import user_path
from traitbench.masking import from_environment, is_key, masked
from traitbench.types import digest

__all__ = ["UNDECIDING", "Given", "check", "found"]

_ELSEWHERE = {
    "batch_size": "write --batch_size N",
    "max_batch_size": "write --batch_size N",
    "device": "write --device NAME",
    "add_bos_token": "a template writes the first token itself, and to other prompts the tokenizer's own is added",
    "enable_thinking": "an answer is read from its first word on",
}
"""Arguments that are not taken, and why."""

UNDECIDING = frozenset({
    "num_concurrent", "timeout", "max_retries", "verify_certificate", "ca_cert_path", "auth_token", "api_key", "token",
})  # fmt: skip
"""Arguments that change no answer."""

_SERVED = {"num_concurrent": 0, "max_retries": 1, "timeout": 1, "seed": 0}
_NUMBERS = {"max_length": 1, "max_gen_toks": 1}
"""Whole numbers, of servers and of all kinds, and the least that each can be."""
_EXAMPLES = {"pretrained": "smollm2", "model": "NAME"}


class Given(NamedTuple):
    """What a model of lm-eval's is made with, and what names it."""

    arguments: dict[str, Any]
    """With secrets, and with weights by their place: for the constructor alone."""
    identity: dict[str, Any]
    """Model, weights and arguments without secrets; what is in files counts by its contents, not its place."""


def check(kind: Kind, options: Options) -> dict[str, Any]:
    """Refuse arguments that cannot work, and return them with secrets from the environment.

    Raises TraitbenchUsage or UnknownName; of what may be secret no error holds the value.
    """
    given = options.arguments
    for name, why in _ELSEWHERE.items():
        if name in given:
            raise TraitbenchUsage(f"--model_args {name}: {why}; leave it out")
    if served(kind):
        refuse_others("key of --model_args for this model of lm-eval", given, _parameters(kind))
        if options.device is not None:
            raise TraitbenchUsage(f"--device {options.device}: the server has its own; leave it out")
    if options.device == "auto":
        raise TraitbenchUsage("--device auto: lm-eval spreads a model with --model_args parallelize=true; leave it out")
    for name, least in (_NUMBERS | _SERVED if served(kind) else _NUMBERS).items():
        value = given.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise TraitbenchUsage(f"--model_args {name}={masked(value)}: expected a whole number from {least} on")
    address = urlsplit(str(given.get("base_url") or ""))
    if masked(address.geturl()) != address.geturl() or address.query or address.fragment:
        raise TraitbenchUsage(
            "--model_args base_url: holds a user name, a password or a query, and addresses are kept in files; take it "
            "out, and put the key into the variable of the environment that lm-eval reads (OPENAI_API_KEY)"
        )
    filled: dict[str, Any] = {
        name: from_environment(name, value) if _secret(name, value) else value for name, value in given.items()
    }
    if "header" in filled:
        filled["header"] = _header(kind, filled["header"])
    _address(kind, given)
    for parameter in inspect.signature(kind).parameters.values():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and parameter.name not in given:
            example = f"{parameter.name}={_EXAMPLES.get(parameter.name, 'VALUE')}"
            raise TraitbenchUsage(f"this model of lm-eval needs --model_args {parameter.name}=..., e.g. {example}")
    return filled


def _header(kind: Kind, held: str) -> dict[str, str]:
    """The headers that a variable of the environment holds as JSON; TraitbenchUsage where they are not."""
    from lm_eval.models.api_models import TemplateAPI

    if getattr(kind, "header", None) is not TemplateAPI.header:
        raise TraitbenchUsage("--model_args header: this model of lm-eval writes its headers itself; leave it out")
    try:
        told = json.loads(held)
    except ValueError:
        told = None
    if not isinstance(told, dict) or not told or not all(isinstance(each, str) for each in told.values()):
        raise TraitbenchUsage(
            "--model_args header: the variable holds no headers; expected a JSON object of texts, e.g. "
            """export VARIABLE='{"Authorization": "Bearer ..."}'"""
        )
    return told


def _address(kind: Kind, given: Mapping[str, Any]) -> None:
    """Refuse a server without an address, or with one that is none, unless lm-eval knows the vendor's."""
    from lm_eval.models.openai_completions import LocalChatCompletion

    parameter = inspect.signature(kind).parameters.get("base_url")
    if parameter is None:
        return
    route = "chat/completions" if issubclass(kind, LocalChatCompletion) else "completions"
    route = f"/v1/{route}" if served(kind) and "sglang" not in kind.__module__ else ""
    needed = parameter.default is None and "litellm" not in kind.__module__
    told = str(given.get("base_url") or "")
    if (needed and not told) or (told and not told.startswith(("http://", "https://"))):
        raise TraitbenchUsage(
            f"this model of lm-eval needs the server's address: --model_args base_url=..., e.g. "
            f"base_url=http://localhost:8000{route}"
        )


def found(name: str, kind: Kind, spec: ModelSpec, options: Options) -> Given:
    """Find the weights that the arguments name. BadData or UnknownName where there are none.

    A short name, a folder or a hub id as `pretrained` is what it is for the other backends; of a server's model the
    name is all that is known.
    """
    arguments = check(kind, options)
    told = {key: value for key, value in options.arguments.items() if key not in UNDECIDING}
    named: dict[str, Any] = {"model": spec.label, "source": spec.label}
    if arguments.get("pretrained") and not served(kind):
        told.pop("pretrained")
        place, named = _weights(kind, arguments)
        arguments.update(place)
    told = {key: _contents(key, value) for key, value in told.items() if not _secret(key, value)}
    return Given(arguments, {"lm_eval_model": name, **named, "arguments": told})


def _weights(kind: Kind, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments that say where the weights are, and what names them."""
    told, foreign = str(arguments["pretrained"]), _foreign(kind, arguments)
    place = user_path(told)
    if foreign and place.exists() and told.lower() not in SHORT_NAMES:
        spec = ModelSpec(name=told, backend="lm_eval", source=str(place.resolve()), label=place.resolve().name)
        return {"pretrained": spec.source}, {"model": spec.label, "source": spec.label, "weights": _every(place)}
    spec = resolve(told)
    if spec.backend != "hf":
        raise BadData(f"pretrained={told}: no weights; expected a short name, a folder or a hub id")
    if arguments.get("revision"):
        spec = spec.model_copy(update={"revision": str(arguments["revision"])})
    weights = locate(spec, safetensors=not foreign)
    at = {"revision": weights.revision} if weights.revision else {}
    return {"pretrained": weights.path, **at}, known_as(spec, weights)


def _foreign(kind: Kind, arguments: Mapping[str, Any]) -> bool:
    """Tell whether the weights are in another format than safetensors: OpenVINO, ONNX, GGUF and the like."""
    from lm_eval.api.model import TemplateLM
    from lm_eval.models.huggingface import HFLM

    loads = getattr(kind, "_create_model", HFLM._create_model)
    onnx = "onnx" in kind.__module__ or "winml" in kind.__module__
    return "gguf_file" in arguments or onnx or not issubclass(kind, TemplateLM) or loads is not HFLM._create_model


def _every(place: Path) -> str:
    """Name a file or folder by all of its bytes."""
    if place.is_file():
        return fingerprint(place)
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return f"sha256:{digest({path.relative_to(place).as_posix(): fingerprint(path) for path in files})}"


def _contents(name: str, value: Any) -> Any:
    """A path by what is there; anything else, the name of a server's model among it, as it is."""
    place = user_path(value) if isinstance(value, str) and value and name != "model" else None
    return _every(place) if place is not None and place.exists() else value


def _secret(name: str, value: Any) -> bool:
    return is_key(name) and not isinstance(value, bool | None)


def _parameters(kind: Kind) -> set[str]:
    """What the constructors of a server's class take; what they do not, lm-eval would drop without a word."""
    taken = (inspect.signature(each.__init__).parameters for each in kind.__mro__[:-1])
    return {name for each in taken for name in each} - {"self", "args", "kwargs"}
