"""`[guard]` end to end: real SDKs over real sockets; no provider, cache or second caller sees personal data."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from llm_edge import EdgeClient
from llm_edge.errors import Blocked, ConfigError
from llm_edge.testing import Provider, answer, raw, stream, tool_call

from .conftest import Colour

Edges = Callable[..., EdgeClient]
BOB, EVE = "bob@example.com", "eve@example.org"


@pytest.fixture
def make(edges: Edges, provider: Provider) -> Callable[..., EdgeClient]:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    claude = {"kind": "anthropic", "base_url": provider.url, "api_key": "k"}

    def made(pii: str = "redact", **sections: Any) -> EdgeClient:
        return edges(
            providers={"gpt": place, "claude": claude}, guard={"pii": pii, **sections.pop("guard", {})}, **sections
        )

    return made


def greet(name: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Greet {name}."}]


def test_an_sdk_gets_its_values_back_and_the_provider_never_sees_them(
    colour: Colour, make: Any, provider: Provider
) -> None:
    provider.script(answer("Dear [EMAIL_1]!"))
    client = colour.openai(make(), "http://127.0.0.1:9/v1")
    said = colour.finish(client.chat.completions.create(model="gpt/m", messages=greet(BOB)))
    assert said.choices[0].message.content == f"Dear {BOB}!"
    assert BOB not in provider.last.body.decode()
    assert provider.last.json["messages"][0]["content"] == "Greet [EMAIL_1]."


def test_a_streams_placeholder_cut_in_pieces_reaches_an_sdk_whole(
    colour: Colour, make: Any, provider: Provider
) -> None:
    provider.script(stream(*"Dear [EMAIL_1]!"))
    client = colour.openai(make(), "http://127.0.0.1:9/v1")
    chunks = colour.items(
        colour.finish(client.chat.completions.create(model="gpt/m", messages=greet(BOB), stream=True))
    )
    assert "".join([each.choices[0].delta.content or "" for each in chunks if each.choices]) == f"Dear {BOB}!"


@pytest.mark.parametrize("target", ["gpt/m", "claude/m"])
def test_anthropics_sdk_streams_tools_with_values(colour: Colour, make: Any, provider: Provider, target: str) -> None:
    import anthropic

    provider.script(stream("I write to [EMAIL_1].", tool_calls=[tool_call("send", {"to": "[EMAIL_1]"})]))
    kind: Any = anthropic.Anthropic if colour.name == "sync" else anthropic.AsyncAnthropic
    client = kind(api_key="k", base_url="http://127.0.0.1:9", http_client=colour.http_client(make()))
    colour.opened.append(client)
    tools = [{"name": "send", "input_schema": {"type": "object", "properties": {"to": {"type": "string"}}}}]
    asked = client.messages.create(model=target, max_tokens=99, messages=greet(BOB), tools=tools, stream=True)
    deltas = [each.delta for each in colour.items(colour.finish(asked)) if each.type == "content_block_delta"]
    assert "".join([each.text for each in deltas if each.type == "text_delta"]) == f"I write to {BOB}."
    arguments = "".join([each.partial_json for each in deltas if each.type == "input_json_delta"])
    assert arguments.replace(" ", "") == f'{{"to":"{BOB}"}}'
    assert BOB not in provider.last.body.decode()


def test_one_kept_answer_serves_callers_who_differ_in_personal_data_alone(
    colour: Colour, make: Any, provider: Provider
) -> None:
    provider.script(answer("Dear [EMAIL_1]!"))
    edge = make()
    first, second = colour.chat(edge, "gpt/m", f"Greet {BOB}."), colour.chat(edge, "gpt/m", f"Greet {EVE}.")
    assert (first.text, second.text, second.cache) == (f"Dear {BOB}!", f"Dear {EVE}!", "HIT")
    ask = edge.chat if colour.name == "sync" else edge.achat
    told = colour.items(colour.finish(ask("gpt/m", f"Greet {EVE}.", stream=True)))
    assert f"Dear {EVE}!" in "".join([str(each["choices"]) for each in told])
    assert len(provider.calls) == 1


def test_the_story_and_the_metrics_tell_how_many_of_which_kind(colour: Colour, make: Any, provider: Provider) -> None:
    provider.script(answer("Hi"))
    edge = make(telemetry={"metrics": True})
    story = colour.chat(edge, "gpt/m", f"Greet {BOB} and {EVE}, 4111 1111 1111 1111.").explain()
    (event,) = [each for each in story["events"] if each["layer"] == "guard"]
    assert (event["action"], event["found"]) == ("redact", {"email": 2, "card": 1})
    assert "guard: action=redact" in str(story)
    assert BOB not in str(dict(story))
    text = edge.metrics.text().decode()
    assert 'llm_edge_guard_findings_total{action="redact",kind="email"} 2.0' in text


def test_a_blocked_call_is_an_answer_an_sdk_does_not_ask_again(colour: Colour, make: Any, provider: Provider) -> None:
    client = colour.openai(make("block"), "http://127.0.0.1:9/v1")
    with pytest.raises(openai.BadRequestError, match="email: 1") as caught:
        colour.finish(client.chat.completions.create(model="gpt/m", messages=greet(BOB)))
    assert caught.value.code == "content_policy_violation"
    assert provider.calls == []


def test_what_the_apps_own_layers_add_is_guarded_too(colour: Colour, edges: Edges, provider: Provider) -> None:
    async def adds(request: Any, handler: Any) -> Any:
        asked = [*request.body.json["messages"], {"role": "user", "content": f"I am {BOB}."}]
        from dataclasses import replace

        return await handler(replace(request, body=request.body.with_fields(messages=asked)))

    provider.script(answer("Hi [EMAIL_1]"))
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    edge = edges(providers={"gpt": place}, guard={"pii": "redact"}, layers=[adds])
    assert colour.chat(edge, "gpt/m", "Hi").text == f"Hi {BOB}"
    assert BOB not in provider.last.body.decode()


def test_a_route_may_guard_alone_and_vectors_are_made_of_placeholders(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    routes = {"safe": {"targets": ["gpt/m"], "guard": {"pii": "redact"}}, "strict": {
        "targets": ["gpt/m"], "guard": {"pii": "block", "kinds": ["card"]}}}  # fmt: skip
    edge = edges(providers={"gpt": place}, routes=routes)
    colour.embed(edge, "safe", [f"I am {BOB}", "x"])
    assert provider.last.json["input"] == ["I am [EMAIL_1]", "x"]
    colour.chat(edge, "strict", f"Greet {BOB}.")
    assert BOB in provider.last.body.decode()
    with pytest.raises(Blocked):
        colour.chat(edge, "strict", "Pay by 4111 1111 1111 1111.")


ASKED = json.dumps({"model": "m", "messages": greet(BOB)}).encode()
UNREAD = {
    "no JSON": ("v1/chat/completions", ASKED[:-1], {}),
    "compressed": ("v1/chat/completions", gzip.compress(ASKED), {"content-encoding": "gzip"}),
    "a stream as one list": ("v1beta/models/m:streamGenerateContent?key=k", ASKED, {}),
}


@pytest.mark.parametrize(("path", "body", "headers"), UNREAD.values(), ids=UNREAD)
def test_a_call_to_a_model_that_cannot_be_read_does_not_pass(
    colour: Colour, make: Any, provider: Provider, path: str, body: bytes, headers: dict[str, str]
) -> None:
    for pii, status in (("redact", 400), ("block", 400), ("detect", 200)):
        provider.script(raw(b"{}"))
        client = colour.http_client(make(pii))
        refused = colour.finish(client.post(f"{provider.url}/{path}", content=body, headers=headers))
        assert refused.status_code == status
        assert provider.calls == [] or pii == "detect"


def test_a_kind_that_is_none_is_refused_at_start(edges: Edges) -> None:
    with pytest.raises(ConfigError, match=r"guard\.kinds"):
        edges(guard={"pii": "redact", "kinds": ["names"]})
    with pytest.raises(ConfigError, match=r"guard\.pii"):
        edges(guard={"pii": "hide"})
