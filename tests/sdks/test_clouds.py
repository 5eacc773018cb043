"""The SDKs' own clients for clouds, unmodified over an edge: their calls arrive as they were addressed and shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llm_edge import EdgeClient
from llm_edge.testing import Provider, answer, stream, tool_call

from .conftest import Sdks

Edges = Callable[..., EdgeClient]
QUESTION: Any = [{"role": "user", "content": "hi"}]
CLAUDE = "claude-opus-4-8"
KEYS: Any = {"aws_access_key": "AKIDEXAMPLE", "aws_secret_key": "s3cr3t", "aws_region": "us-east-1"}
KINDS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "Foundry by key": ("AnthropicFoundry", {"api_key": "k"}, "/anthropic/v1/messages", "k"),
    "Foundry by token": (
        "AnthropicFoundry",
        {"azure_ad_token_provider": lambda: "entra"},
        "/anthropic/v1/messages",
        "Bearer entra",
    ),
    "Bedrock's mantle by signature": ("AnthropicBedrockMantle", KEYS, "/anthropic/v1/messages", "AWS4-HMAC-SHA256"),
    "Bedrock's mantle by key": (
        "AnthropicBedrockMantle",
        {"api_key": "k", "aws_region": "us-east-1"},
        "/anthropic/v1/messages",
        "k",
    ),
    "Claude on AWS": (
        "AnthropicAWS",
        {**KEYS, "workspace_id": "w"},
        "/anthropic/v1/messages",
        "AWS4-HMAC-SHA256",
    ),
    "Claude on Google Cloud": (
        "AnthropicGoogleCloud",
        {"project": "p", "location": "global", "workspace_id": "w", "token_provider": lambda: "google"},
        "/anthropic/v1/messages",
        "Bearer google",
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_anthropics_clients_for_clouds_pass(sdks: Sdks, edges: Edges, provider: Provider, name: str) -> None:
    import anthropic

    kind, given, path, shown = KINDS[name]
    make: Any = getattr(anthropic, kind if sdks.sync else f"Async{kind}")
    http = sdks.colour.http_client(edges())
    client = sdks.opened(make(**given, base_url=f"{provider.url}/anthropic", http_client=http))
    provider.script(stream("A ", "door."), stream("A ", "door."))
    asked: Any = {"model": CLAUDE, "max_tokens": 9, "messages": QUESTION}
    message = sdks.colour.finish(client.messages.create(**asked))
    assert message.content[0].text == "A door."
    assert provider.last.path == path
    headers = provider.last.headers
    assert [value for value in headers.values() if value.startswith(shown)]
    asked["messages"] = [{"role": "user", "content": "another"}]
    events = sdks.colour.items(sdks.colour.finish(client.messages.create(**asked, stream=True)))
    assert "".join(event.delta.text for event in events if event.type == "content_block_delta") == "A door."
    provider.asked(2)


def test_the_openai_sdk_passes_to_vertex(sdks: Sdks, edges: Edges, provider: Provider) -> None:
    import openai
    from openai.providers import vertex

    kind: Any = openai.OpenAI if sdks.sync else openai.AsyncOpenAI
    place = vertex(
        project="p", location="global", base_url=f"{provider.url}/v1/publishers/openai/v1", token_provider=lambda: "own"
    )
    client = sdks.opened(kind(provider=place, http_client=sdks.colour.http_client(edges())))
    provider.script(answer("A door."))
    reply = sdks.colour.finish(client.responses.create(model="openai/gpt-oss", input="hi"))
    assert reply.output_text == "A door."
    assert provider.last.path == "/v1/publishers/openai/v1/responses"
    assert provider.last.headers["authorization"] == "Bearer own"


def google(sdks: Sdks, edge: EdgeClient, url: str) -> Any:
    """`client.models` of google-genai in Vertex mode, with credentials that need no server."""
    from google import genai
    from google.oauth2.credentials import Credentials

    make: Any = Credentials  # it has no types
    http: Any = sdks.opened(sdks.colour.http_client(edge))
    named: Any = {"httpx_client" if sdks.sync else "httpx_async_client": http}
    client = genai.Client(
        vertexai=True, project="p", location="europe-west4", credentials=make("own"),
        http_options=genai.types.HttpOptions(base_url=url, **named),
    )  # fmt: skip
    return client.models if sdks.sync else client.aio.models


BELOW = "/v1beta1/projects/p/locations/europe-west4/publishers/google/models"


def test_googles_sdk_in_vertex_mode_asks_and_is_answered_from_memory(
    sdks: Sdks, edges: Edges, provider: Provider
) -> None:
    provider.script(answer("A door.", tool_calls=[tool_call("w", {"city": "Oslo"})]))
    models = google(sdks, edges(), provider.url)
    for _ in range(2):
        reply = sdks.colour.finish(models.generate_content(model="gemini-3.8-flash", contents="hi"))
        assert reply.candidates[0].content.parts[0].text == "A door."
        assert reply.function_calls[0].args == {"city": "Oslo"}
    (call,) = provider.asked(1)
    assert call.path == f"{BELOW}/gemini-3.8-flash:generateContent"
    assert call.headers["authorization"] == "Bearer own"


def test_googles_sdk_in_vertex_mode_streams_and_counts(sdks: Sdks, edges: Edges, provider: Provider) -> None:
    provider.script(stream("A ", "door."))
    models = google(sdks, edges(), provider.url)
    got = sdks.colour.finish(models.generate_content_stream(model="gemini-3.8-flash", contents="hi"))
    assert "".join(each.text or "" for each in sdks.colour.items(got)) == "A door."
    assert provider.last.path == f"{BELOW}/gemini-3.8-flash:streamGenerateContent"
    assert sdks.colour.finish(models.count_tokens(model="gemini-3.8-flash", contents="hi")).total_tokens == 9
    assert provider.last.path == f"{BELOW}/gemini-3.8-flash:countTokens"


def test_googles_sdk_in_vertex_mode_may_be_led_to_another_vendor(sdks: Sdks, edges: Edges, provider: Provider) -> None:
    edge = edges(
        providers={"claude": {"kind": "anthropic", "base_url": provider.url, "api_key": "k"}},
        routes={"best": {"targets": [f"claude/{CLAUDE}"]}},
    )
    provider.script(answer("A door."))
    reply = sdks.colour.finish(google(sdks, edge, "http://127.0.0.1:9").generate_content(model="best", contents="hi"))
    assert reply.text == "A door."
    assert (provider.last.path, provider.last.key) == ("/v1/messages", "k")
    assert "own" not in str(provider.last.headers)
