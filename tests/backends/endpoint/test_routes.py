"""Which route a server gets, and that each comes to the probabilities that the model has by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from asked import answers
from faulty_server import Model, Server, rendered, served, split

from traitbench.backends.endpoint import Endpoint
from traitbench.errors import BadData, Unreachable
from traitbench.types import Choose, Continue, Control, Message, Request, Write

Connect = Callable[..., Endpoint]
Items = Callable[..., list[Request]]


def asked(backend: Endpoint, requests: list[Request]) -> list[Any]:
    found = answers(backend, requests)
    assert sorted(found) == list(range(len(requests)))
    return [found[i] for i in range(len(requests))]


def by_hand(model: Model, context: str, request: Choose) -> list[float]:
    """The log of the summed probability of each option's spellings."""
    return [math.log(sum(math.exp(model.loglik(context, text)) for text in option)) for option in request.options]


def chat_context(request: Request, control: Control | None = None) -> str:
    return rendered([turn.model_dump() for turn in request.conversation(control)])


ROUTES = {
    ("vllm", None): ("token_ids", "prompt_logprobs", True),
    ("vllm", False): ("token_ids", "prompt_logprobs", True),
    ("old_vllm", None): ("prompt_logprobs", "prompt_logprobs", True),
    ("plain", None): ("top", None, False),
    ("plain", False): ("echo", "echo", False),
    ("chat", None): ("top", None, False),
    ("mute", None): (None, None, False),
}


EXACT = [key for key, (route, *_) in ROUTES.items() if route not in (None, "top")]


@pytest.mark.parametrize(("kind", "chat"), ROUTES)
def test_each_kind_of_server_gets_its_route(connect: Connect, kind: str, chat: bool | None) -> None:
    with served(kind) as server:
        routes = connect(server, chat).routes
    assert (routes.choose, routes.loglik, routes.tokenizer) == ROUTES[kind, chat]
    assert routes.chat == (chat is not False) and routes.system_role and routes.limit == "max_tokens"


@pytest.mark.parametrize(("kind", "chat"), EXACT)
def test_exact_routes_come_to_the_models_own_probabilities(
    connect: Connect, items: Items, kind: str, chat: bool | None
) -> None:
    requests = items("choice", "statement")
    with served(kind) as server:
        backend = connect(server, chat)
        found = asked(backend, requests)
        for request, response in zip(requests, found, strict=True):
            plain = "\n\n".join(m.content for m in request.messages) + "\nAnswer:"
            context = plain if chat is False else chat_context(request)
            if isinstance(request, Choose):
                assert response.option_logprobs == pytest.approx(by_hand(server.model, context, request), abs=1e-9)
                assert response.option_bounds is None
            else:
                assert isinstance(request, Continue)
                text = f" {request.text}" if chat is False else request.text
                assert response.loglik == pytest.approx(server.model.loglik(context, text), abs=1e-9)
                assert response.tokens == len(split(text))
            assert response.status == "valid" and response.billed[0] > 0


def test_the_routes_agree_where_the_likeliest_tokens_tell_enough(connect: Connect, items: Items) -> None:
    requests = items("choice")
    with served("vllm") as whole, served("chat", whole.model) as part:
        exact, bounded = asked(connect(whole), requests), asked(connect(part), requests)
    for one, other in zip(exact, bounded, strict=True):
        assert all(least <= true + 1e-9 for least, true in zip(other.option_logprobs, one.option_logprobs, strict=True))
        assert all(true <= most + 1e-9 for most, true in zip(other.option_bounds, one.option_logprobs, strict=True))
        assert other.option_bounds != other.option_logprobs, "a spelling in two tokens is never shown"


def test_the_likeliest_tokens_of_plain_text(connect: Connect, items: Items) -> None:
    requests = items("choice", limit=3)
    with served("plain") as server:
        for request, found in zip(requests, asked(connect(server, False, route="top"), requests), strict=True):
            context = "\n\n".join(m.content for m in request.messages) + "\nAnswer:"
            assert isinstance(request, Choose)
            for true, least, most in zip(
                by_hand(server.model, context, request), found.option_logprobs, found.option_bounds, strict=True
            ):
                assert least <= true <= most < least + 0.01


def test_an_echoed_spelling_that_melts_into_the_prompt_is_taken_from_the_likeliest(
    connect: Connect, items: Items
) -> None:
    """Behind "Answer" without a colon the bare letter is no token of its own: AnswerA."""
    request = items("choice", limit=1)[0].model_copy(update={"cue": "Answer"})
    assert isinstance(request, Choose)
    context = "\n\n".join(m.content for m in request.messages) + "\nAnswer"
    with served("plain") as server:
        found = asked(connect(server, False), [request])[0]
        assert found.option_logprobs == pytest.approx(by_hand(server.model, context, request), abs=1e-9)
        assert found.option_bounds == pytest.approx(found.option_logprobs), "all bare letters are among them"
        flat = Model(flat=True)
    with served("plain", flat) as server:
        found = asked(connect(server, False), [request])[0]
        want = by_hand(flat, context, request)
    triples = list(zip(found.option_logprobs, want, found.option_bounds, strict=True))
    assert all(least - 1e-9 <= true <= most + 1e-9 for least, true, most in triples)
    assert any(most > least + 0.1 for least, _, most in triples)


def test_a_control_is_in_the_turns(connect: Connect, items: Items) -> None:
    (request,) = items("choice", limit=1)
    assert isinstance(request, Choose)
    control = Control(messages=(Message(role="system", content="You are shy."),))
    with served("vllm") as server:
        backend = connect(server)
        with backend.under(control):
            found = asked(backend, [request])[0]
            assert backend.prompt(request).startswith("system: You are shy.\n\nuser: How well")
        want = by_hand(server.model, chat_context(request, control), request)
        assert found.option_logprobs == pytest.approx(want, abs=1e-9)
        assert found.option_logprobs != pytest.approx(asked(backend, [request])[0].option_logprobs)


def test_a_template_without_a_system_role_gets_the_text_in_the_users_turn(connect: Connect, items: Items) -> None:
    (request,) = items("choice", limit=1)
    control = Control(messages=(Message(role="system", content="You are shy."),))
    with served("chat") as server:
        server.system_role = False
        backend = connect(server)
        assert not backend.routes.system_role
        with backend.under(control):
            asked(backend, [request])
        (turn,) = server.seen[-1][1]["messages"]
        assert turn["role"] == "user" and turn["content"].startswith("You are shy.\n\nHow well")


@pytest.mark.parametrize(("limit_name", "most", "top"), [("max_completion_tokens", 20, 20), ("max_tokens", 5, 5)])
def test_names_and_limits_that_servers_differ_in(
    connect: Connect, items: Items, limit_name: str, most: int, top: int
) -> None:
    with served("chat") as server:
        server.limit_name, server.most = limit_name, most
        backend = connect(server)
        assert (backend.routes.limit, backend.routes.top) == (limit_name, top)
        assert all(response.option_bounds for response in asked(backend, items("choice", limit=2)))
        assert all(response.text for response in asked(backend, items("generate", limit=2)))


def test_written_replies(connect: Connect, items: Items) -> None:
    (request,) = items("generate", limit=1)
    assert isinstance(request, Write)
    warm = request.model_copy(update={"temperature": 0.7, "max_tokens": 9})
    with served("vllm") as server:
        found = asked(connect(server), [warm])[0]
        body = server.seen[-1][1]
        assert found.text == server.model.top(chat_context(request), 1)[0][0] and found.tokens == 1
        assert found.status == "valid"
        assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.7, 9, request.seed)
        assert body["top_p"] == 1 and body["top_k"] == 0 and body["repetition_penalty"] == 1
        assert asked(connect(server, False), [request])[0].status == "truncated"
    with served("chat") as server:
        asked(connect(server), [request])
        assert not {"top_k", "chat_template_kwargs"} & set(server.seen[-1][1]), "vendors refuse what they do not know"


LACKING = {
    ("mute", "choice"): "gives no probabilities of answer options, which choice needs .*; use --scoring generate",
    ("mute", "statement"): "gives no log-likelihood of a text, which statement needs .*; use --scoring generate",
    ("chat", "statement"): "gives no log-likelihood of a text, .*does not tokenise .*; use --scoring choice",
}


@pytest.mark.parametrize(("kind", "mode"), LACKING)
def test_what_a_server_cannot_answer_is_refused_before_an_item_is_asked(
    connect: Connect, items: Items, kind: str, mode: str
) -> None:
    with served(kind) as server:
        backend = connect(server)
        before = len(server.seen)
        with pytest.raises(BadData, match=LACKING[kind, mode]):
            list(backend.run(items("generate", mode)))
        assert len(server.seen) == before


def test_a_route_can_be_asked_for(connect: Connect) -> None:
    with served("vllm") as server:
        assert connect(server, route="top").routes.choose == "top"
        assert connect(server, route="prompt_logprobs").routes.choose == "prompt_logprobs"
        assert connect(server, False, route="echo").routes.choose == "echo"
    with served("chat") as server, pytest.raises(BadData, match="does not have the route token_ids: it does not tok"):
        connect(server, route="token_ids")


def test_the_identity_names_server_model_and_route(connect: Connect) -> None:
    with served("vllm") as server:
        one, other = connect(server).identity, connect(server, route="top").identity
    assert one["server"] == server.url.removeprefix("http://") and one["model"] == "fake"
    assert one["choose"] == "token_ids" and one != other


def test_a_fault_while_the_server_is_tried_does_not_change_the_route(connect: Connect) -> None:
    ways = ("500", "429", "drop", "broken", "nologprobs")

    def faulty(number: int, path: str, body: dict[str, Any]) -> str | None:
        return ways[number // 2 % len(ways)] if number % 2 == 0 else None

    with served("vllm", fault=faulty) as server:
        assert connect(server, concurrency=1).routes.choose == "token_ids"
    with served("vllm", fault=lambda n, path, body: "500" if "tokenize" in path else None) as server:
        with pytest.raises(Unreachable, match=r"500: fault 500, the key is \(3 tries\)"):
            connect(server, retries=2)


BAD = {
    "401": (r"refuses the key \(401\); set the environment variable TRAITBENCH_API_KEY", {}),
    "404": (
        r"refuses the model 'faek' \(404: .*\); it has fake, other; expected --model endpoint:NAME",
        {"name": "faek"},
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_will_not_pass_names_the_setting(connect: Connect, what: str) -> None:
    with served("vllm") as server:
        server.key = "sk-right" if what == "401" else None
        with pytest.raises(BadData, match=BAD[what][0]) as found:
            connect(server, **BAD[what][1])
        assert "Bearer" not in str(found.value) and len(server.seen) == 1, "it is not tried again"


def test_a_server_that_is_not_there(connect: Connect) -> None:
    server = Server()
    server.close()
    with pytest.raises(Unreachable, match=r"cannot ask 127.0.0.1:\d+/v1: ConnectError.*--model_args base_url") as found:
        connect(server, retries=1)
    assert found.value.exit_code == 3
