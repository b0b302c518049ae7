"""Settings that cannot work are refused before anything is asked, and a key is never repeated."""

from __future__ import annotations

import math
from typing import Any

import pytest

from traitbench.backends.backend import Options
from traitbench.backends.endpoint import Endpoint
from traitbench.backends.endpoint.client import _retry_after, _said
from traitbench.backends.endpoint.settings import UNDECIDING, Settings, key_of, settings_of
from traitbench.backends.models import resolve
from traitbench.errors import BadData, TraitbenchError, UnknownName
from traitbench.types import Response

URL = "http://localhost:8000/v1"
SECRET = "sk-abc-123"


def checked(**arguments: Any) -> Settings:
    return settings_of(Options(arguments={"base_url": URL, **arguments}))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"api_key": SECRET}, r"api_key: a key is not taken .*environment variable TRAITBENCH_API_KEY"),
    ({"token": SECRET}, r"token: a key is not taken"),
    ({"Authorization": SECRET}, r"Authorization: a key is not taken"),
    ({"key_env": SECRET}, r"key_env: no environment variable of that name is set; .*not the key itself"),
    ({"key_env": "sk_abc_123"}, r"key_env: no environment variable of that name is set"),
    ({"base_url": f"http://me:{SECRET}@host/v1"}, r"holds a user name or a password"),
    ({"base_url": f"https://host/v1?key={SECRET}"}, r"holds a query"),
    ({"base_url": "localhost:8000"}, r"no address of a server; expected one such as http://localhost:8000/v1"),
    ({"base_url": "http://"}, r"no address of a server"),
    ({"base_url": "http://host:99999/v1"}, r"no address of a server"),
    ({"base_url": "http://[::1/v1"}, r"no address of a server"),
    ({"base_url": "http://host/v1/chat/completions"}, r"ends in /completions, which is added here"),
    ({"base_url": 7}, r"base_url: Input should be a valid string"),
    ({"concurency": 4}, r"unknown key of --model_args for endpoint 'concurency'; did you mean 'concurrency'"),
    ({"concurrency": 0}, r"concurrency=0: Input should be greater than or equal to 1"),
    ({"timeout": "soon"}, r"timeout=soon: Input should be a valid number"),
    ({"route": "best"}, r"route=best: Input should be 'auto', 'token_ids'"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_what_is_refused_names_the_setting_and_no_secret(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(TraitbenchError, match=said) as found:
        checked(**arguments)
    assert found.value.exit_code == 2
    assert "abc" not in str(found.value)


def test_an_address_is_needed() -> None:
    with pytest.raises(TraitbenchError, match=r"needs the server's address: --model_args base_url=http"):
        settings_of(Options())
    for options in (Options(batch_size=4), Options(device="cuda")):
        with pytest.raises(TraitbenchError, match=r"--(batch_size 4: .*concurrency=N|device cuda: .*leave it out)"):
            settings_of(options.model_copy(update={"arguments": {"base_url": URL}}))


@pytest.mark.parametrize(
    ("url", "server", "root"),
    [
        (f"{URL}/", "localhost:8000/v1", "http://localhost:8000"),
        ("https://host/proxy/v1", "host/proxy/v1", "https://host/proxy"),
        ("https://host/api", "host/api", "https://host/api"),
    ],
)
def test_addresses(url: str, server: str, root: str) -> None:
    found = checked(base_url=url)
    assert (found.server, found.root) == (server, root)


def test_where_a_key_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    assert key_of(checked()) is None
    monkeypatch.setenv("OPENAI_API_KEY", "sk-open")
    assert key_of(checked()) is None, "a vendor's key goes to no other server unasked"
    assert key_of(checked(base_url="https://api.openai.com/v1")) == "sk-open"
    assert key_of(checked(key_env="OPENAI_API_KEY")) == "sk-open"
    monkeypatch.setenv("TRAITBENCH_API_KEY", " sk-ours\n")
    assert key_of(checked()) == key_of(checked(base_url="https://api.openai.com/v1")) == "sk-ours"
    with pytest.raises(TraitbenchError, match="holds the key") as found:
        checked(base_url="http://host/sk-ours/v1")
    assert "sk-ours" not in str(found.value)
    monkeypatch.setenv("TRAITBENCH_API_KEY", "sk-a\nsk-b")
    with pytest.raises(BadData, match="the key in TRAITBENCH_API_KEY holds a blank") as bad:
        checked()
    assert "sk-a" not in str(bad.value)


def test_what_changes_no_answer_is_a_setting() -> None:
    assert set(Settings.model_fields) >= UNDECIDING
    assert set(Settings.model_fields) - UNDECIDING == {"base_url", "route", "top_logprobs"}


def test_names_of_models() -> None:
    spec = resolve("endpoint:meta-llama/Llama-3.1-8B-Instruct")
    assert (spec.backend, spec.source) == ("endpoint", "meta-llama/Llama-3.1-8B-Instruct")
    with pytest.raises(UnknownName):
        resolve("endpoint:")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("2", 2), ("0.5", 0.5), ("-3", 0), ("soon", None), ("nan", None), ("inf", math.inf),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)  # fmt: skip
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert _retry_after(value) == seconds


@pytest.mark.parametrize(
    ("body", "said"),
    [('{"error": {"message": "no  such\\nmodel", "code": 404}}', "no such model"),
     ('{"detail": "Not Found"}', "Not Found"),
     ("<html>gone</html>", "<html>gone</html>"), ('{"error": "busy"}', "busy"), ("[1]", "[1]"), ("x" * 999, "x" * 300)],
)  # fmt: skip
def test_messages_of_servers(body: str, said: str) -> None:
    assert _said(body) == said


def test_the_cost_is_of_all_answers() -> None:
    kept = [Response(billed=(100, 2)), Response(billed=(50, 1)), Response()]
    backend = object.__new__(Endpoint)
    backend.settings = checked(input_price=2, output_price=10)
    assert backend.cost(kept) == {"input_tokens": 150, "output_tokens": 3, "usd": pytest.approx(0.00033)}
    backend.settings = checked(input_price=2)
    assert backend.cost(kept) == {"input_tokens": 150, "output_tokens": 3, "usd": None}
