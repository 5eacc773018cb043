"""Gemini, Claude and others on Vertex AI: where calls go and what they carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llm_edge import ConfigError, EdgeClient, InvalidRequest
from llm_edge.providers.dialects import describe, recognise
from llm_edge.providers.vertex import NEWER, OLDER, host_of
from llm_edge.testing import Provider, answer, stream
from tests.conftest import Colour

Edges = Callable[..., EdgeClient]
# A token of one's own in place of google-auth's, which has tests of its own.
TOKEN = {"headers": {"authorization": "Bearer own"}}
PLACE = {"kind": "vertex", "project": "p1", "location": "europe-west4", **TOKEN}
BELOW = "/v1beta1/projects/p1/locations/europe-west4"
QUESTION: Any = [{"role": "user", "content": "hi"}]
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def edge(edges: Edges, provider: Provider) -> EdgeClient:
    return edges(
        providers={"vertex": {**PLACE, "base_url": provider.url}},
        routes={
            "claude": {"targets": ["vertex/claude-haiku-4-5@20251001"]},
            "gemini": {"targets": ["vertex/gemini-3.8-flash"]},
        },
    )


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us-central1", "us-central1-aiplatform.googleapis.com"),
    ],
)
def test_each_location_has_its_host(location: str, host: str) -> None:
    assert host_of(location) == host


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-3.8-flash", f"{BELOW}/publishers/google/models/gemini-3.8-flash:generateContent"),
        ("google/gemini-3.8-flash", f"{BELOW}/publishers/google/models/gemini-3.8-flash:generateContent"),
        ("endpoints/1234", f"{BELOW}/endpoints/1234:generateContent"),
        ("claude-haiku-4-5@20251001", f"{BELOW}/publishers/anthropic/models/claude-haiku-4-5@20251001:rawPredict"),
        ("anthropic/claude-sonnet-5-5", f"{BELOW}/publishers/anthropic/models/claude-sonnet-5-5:rawPredict"),
        ("meta/llama-4-scout", f"{BELOW}/endpoints/openapi/chat/completions"),
    ],
)
def test_a_models_publisher_decides_the_path(
    colour: Colour, edge: EdgeClient, provider: Provider, model: str, path: str
) -> None:
    assert colour.chat(edge, f"vertex/{model}", "hi").text == "Hello!"
    assert provider.last.path == path
    assert provider.last.headers["authorization"] == "Bearer own"


def test_claude_is_told_the_version_in_the_body_and_the_model_outside(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    provider.script(answer("A door."), stream("A ", "door."))
    assert colour.chat(edge, "claude", "hi").text == "A door."
    assert provider.last.json["anthropic_version"] == OLDER
    assert "model" not in provider.last.json
    assert "anthropic-version" not in provider.last.headers
    chunks = colour.items(colour.chat(edge, "claude", "something else", stream=True))
    assert "".join(chunk.text for chunk in chunks) == "A door."
    assert provider.last.path.endswith("/claude-haiku-4-5@20251001:streamRawPredict")
    assert provider.last.json["stream"] is True


def test_a_caller_of_the_newer_version_is_told_so_to_google(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    import anthropic

    kind: Any = anthropic.Anthropic if colour.name == "sync" else anthropic.AsyncAnthropic
    client = kind(api_key="k", base_url=NOWHERE, http_client=colour.http_client(edge))
    colour.opened.append(client)
    message = colour.finish(
        client.messages.create(
            model="claude", max_tokens=9, messages=QUESTION, extra_headers={"anthropic-beta": "context-1m"}
        )
    )
    assert message.content[0].text == "Hello!"
    assert provider.last.json["anthropic_version"] == NEWER
    assert provider.last.headers["anthropic-beta"] == "context-1m"
    assert "x-api-key" not in provider.last.headers


def test_the_openai_sdk_streams_from_gemini_on_vertex(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(stream("A ", "door."))
    client = colour.openai(edge, f"{NOWHERE}/v1")
    chunks = colour.items(colour.finish(client.chat.completions.create(model="gemini", messages=QUESTION, stream=True)))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "A door."
    assert provider.last.path.endswith("/publishers/google/models/gemini-3.8-flash:streamGenerateContent")
    assert provider.last.query == {"alt": "sse"}


def test_a_key_is_the_express_mode_and_has_googles_own_models(colour: Colour, edges: Edges, provider: Provider) -> None:
    edge = edges(
        env={"GOOGLE_CLOUD_PROJECT": "not-asked"}, providers={"vertex": {"api_key": "k", "base_url": provider.url}}
    )
    assert colour.chat(edge, "vertex/gemini-3.8-flash", "hi").text == "Hello!"
    assert provider.last.path == "/v1beta1/publishers/google/models/gemini-3.8-flash:generateContent"
    assert provider.last.headers["x-goog-api-key"] == "k"
    with pytest.raises(InvalidRequest, match="set `project` in place of `api_key` for claude-sonnet-5-5"):
        colour.chat(edge, "vertex/claude-sonnet-5-5", "hi")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"project": "p", "region": "europe-west4"}, "a region of Google's is set as `location`"),
        ({"project": "p", "region": "us-east-1"}, "region means nothing to a provider of the kind 'vertex'; write `l"),
        ({}, "providers.vertex has no project; set `project`, or the variable GOOGLE_CLOUD_PROJECT"),
        ({"project": "p", "api_version": "2024-10-21"}, "api_version is no version of Vertex AI's"),
        ({"project": "p", "api_key": "k"}, "project stands beside api_key"),
        ({"project": "p/q"}, "Write the bare name"),
        ({"project": "p", "resource": "r"}, "resource means nothing"),
        ({"project": "p", "credentials_file": "/nowhere/at/all.json"}, "there is no such file"),
    ],
)
def test_settings_that_cannot_work_are_told_with_their_fix(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as told:
        EdgeClient(providers={"vertex": settings}, env={})
    assert words in str(told.value)


def test_project_and_location_come_from_the_variables_the_sdks_read(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    env = {"GOOGLE_CLOUD_PROJECT": "p2", "GOOGLE_CLOUD_LOCATION": "us"}
    edge = edges(env=env, providers={"vertex": {"base_url": provider.url, "api_version": "v1", **TOKEN}})
    colour.chat(edge, "vertex/gemini-3.8-flash", "hi")
    assert provider.last.path.startswith("/v1/projects/p2/locations/us/")


# ---------------------------------------------------------------- the SDK of this cloud, unmodified

RAW = "/v1/projects/p/locations/r/publishers/anthropic/models/claude-haiku-4-5@20251001:streamRawPredict"


def test_claudes_calls_on_vertex_are_known_by_their_path() -> None:
    dialect = recognise("POST", RAW)
    assert dialect is not None
    assert dialect.name == "anthropic.messages"
    assert describe(dialect, RAW, {"stream": True}) == ("claude-haiku-4-5@20251001", True)
    counting = RAW.replace("claude-haiku-4-5@20251001:streamR", "count-tokens:r")
    assert recognise("POST", counting) is None


def vertex_client(colour: Colour, edge: EdgeClient, url: str) -> Any:
    from anthropic.lib.vertex import AnthropicVertex, AsyncAnthropicVertex

    kind: Any = AnthropicVertex if colour.name == "sync" else AsyncAnthropicVertex
    client = kind(
        project_id="p", region="r", access_token="own", base_url=f"{url}/v1", http_client=colour.http_client(edge)
    )
    colour.opened.append(client)
    return client


def test_anthropics_client_for_vertex_passes_and_is_cached(colour: Colour, edges: Edges, provider: Provider) -> None:
    client = vertex_client(colour, edges(), provider.url)
    for _ in range(2):
        message = colour.finish(client.messages.create(model="claude-sonnet-5-5", max_tokens=9, messages=QUESTION))
        assert message.content[0].text == "Hello!"
    (call,) = provider.asked(1)
    assert call.path == "/v1/projects/p/locations/r/publishers/anthropic/models/claude-sonnet-5-5:rawPredict"
    assert call.key == "own"
    assert call.json["anthropic_version"]


def test_that_client_may_be_led_to_anthropic_itself(colour: Colour, edges: Edges, provider: Provider) -> None:
    edge = edges(
        providers={"direct": {"kind": "anthropic", "base_url": provider.url, "api_key": "k"}},
        routes={"claude-sonnet-5-5": {"targets": ["direct/claude-sonnet-5-5"]}},
    )
    provider.script(stream("A ", "door."))
    client = vertex_client(colour, edge, NOWHERE)
    events = colour.items(
        colour.finish(client.messages.create(model="claude-sonnet-5-5", max_tokens=9, messages=QUESTION, stream=True))
    )
    assert "".join(event.delta.text for event in events if event.type == "content_block_delta") == "A door."
    assert (provider.last.path, provider.last.key) == ("/v1/messages", "k")
    assert "anthropic_version" not in provider.last.json
    assert provider.last.json["model"] == "claude-sonnet-5-5"


@pytest.mark.parametrize("name", ["vertex", "cloud"])
def test_many_texts_go_one_by_one_where_vertex_takes_one(
    colour: Colour, edges: Edges, provider: Provider, name: str
) -> None:
    edge = edges(providers={name: {**PLACE, "base_url": provider.url}})
    assert len(colour.embed(edge, f"{name}/gemini-embedding-2", ["one", "two"]).vectors) == 2
    assert [call.json["content"]["parts"][0]["text"] for call in provider.asked(2)] == ["one", "two"]


def test_one_text_is_embedded(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    assert len(colour.embed(edge, "vertex/gemini-embedding-2", "one").vectors) == 1
    assert provider.last.path == f"{BELOW}/publishers/google/models/gemini-embedding-2:embedContent"
