"""OpenAI's and Anthropic's models on Azure: where calls go, what they carry, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from llm_edge import ConfigError, EdgeClient, NotFound
from llm_edge.errors import ContentBlocked, Throttled
from llm_edge.message import Body, Headers, Request
from llm_edge.providers.azure import root_of
from llm_edge.testing import Provider, answer, json_body, raw, status, stream
from tests.conftest import Colour

from .exchanges import THEIRS

Edges = Callable[..., EdgeClient]
V1 = {"kind": "azure", "api_key": "k"}
DATED = {**V1, "api_version": "2024-10-21"}


def test_the_v1_surface_is_openais_own_at_another_address(colour: Colour, edges: Edges, provider: Provider) -> None:
    edge = edges(providers={"azure": {**V1, "base_url": provider.url}})
    assert colour.chat(edge, "azure/my-gpt", "hi").text == "Hello!"
    assert provider.last.path == "/openai/v1/chat/completions"
    assert provider.last.query == {}
    assert provider.last.json["model"] == "my-gpt"
    assert provider.last.headers["api-key"] == "k"
    assert "authorization" not in provider.last.headers


def test_a_dated_version_speaks_to_deployments_by_path(colour: Colour, edges: Edges, provider: Provider) -> None:
    edge = edges(providers={"azure": {**DATED, "base_url": provider.url}})
    colour.chat(edge, "azure/my gpt".replace(" ", "-"), "hi")
    assert provider.last.path == "/openai/deployments/my-gpt/chat/completions"
    assert provider.last.query == {"api-version": "2024-10-21"}
    colour.embed(edge, "azure/my-ada", "hi")
    assert provider.last.path == "/openai/deployments/my-ada/embeddings"
    assert provider.last.headers["api-key"] == "k"


def test_responses_name_the_deployment_in_their_body_on_both_surfaces(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    for settings, path, query in (
        (DATED, "/openai/responses", {"api-version": "2024-10-21"}),
        (V1, "/openai/v1/responses", {}),
    ):
        edge = edges(
            providers={"azure": {**settings, "base_url": provider.url}}, routes={"r": {"targets": ["azure/my-gpt"]}}
        )
        client = colour.openai(edge, "http://127.0.0.1:9/v1")
        assert colour.finish(client.responses.create(model="r", input="hi")).output_text == "Hello!"
        assert (provider.last.path, provider.last.query) == (path, query)
        assert provider.last.json["model"] == "my-gpt"


@pytest.mark.parametrize(
    "copied",
    [
        "https://r.openai.azure.com",
        "https://r.openai.azure.com/",
        "https://r.openai.azure.com/openai",
        "https://r.openai.azure.com/openai/v1/",
        "https://r.openai.azure.com/openai/deployments/gpt",
        "https://r.openai.azure.com/openai/deployments",
    ],
)
def test_an_address_may_be_copied_with_or_without_its_path(copied: str) -> None:
    assert root_of(copied) == "https://r.openai.azure.com"


def test_a_gateway_of_ones_own_may_stand_under_any_path() -> None:
    assert root_of("https://gate.example.com/openai-prod") == "https://gate.example.com/openai-prod"


def wire_of(edge: EdgeClient, model: str, **facts: Any) -> Any:
    """How the configured provider writes a chat request down."""
    request = Request(body=Body(b'{"messages":[]}'), model=model, headers=Headers(), **facts)
    target = edge._house.targets.of(request)[0]  # type: ignore[misc]  # what it would send, without sending it
    return edge._house.targets.adapter(target).encode(request, target)


def test_a_resource_or_azures_own_variables_are_an_address(edges: Edges) -> None:
    named = edges(providers={"azure": {"resource": "res", "api_key": "k"}})
    assert wire_of(named, "azure/m").url == "https://res.openai.azure.com/openai/v1/chat/completions"
    env = {"AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com/", "AZURE_OPENAI_API_KEY": "from-env"}
    wire = wire_of(edges(env=env), "azure/m")
    assert wire.url == "https://res.openai.azure.com/openai/v1/chat/completions"
    assert wire.headers["api-key"] == "from-env"
    dated = edges(env={**env, "OPENAI_API_VERSION": "2024-10-21"})
    assert wire_of(dated, "azure/m").url.endswith("/openai/deployments/m/chat/completions?api-version=2024-10-21")
    both = edges(env=env, providers={"azure": {"resource": "mine"}})
    assert wire_of(both, "azure/m").url.startswith("https://mine.openai.azure.com/")


def test_a_key_from_a_variable_goes_to_no_address_of_ones_own(edges: Edges) -> None:
    env = {"AZURE_OPENAI_API_KEY": "canary"}
    edge = edges(env=env, providers={"azure": {"base_url": "https://elsewhere.example.com"}})
    assert "canary" not in str(dict(wire_of(edge, "azure/m").headers))


@pytest.mark.parametrize(
    ("settings", "env", "words"),
    [
        ({}, {}, "providers.azure has no address; set `resource`"),
        ({"base_url": "https://a.test", "resource": "r"}, {}, "resource stands beside base_url"),
        ({"resource": "r", "api_version": "v2"}, {}, "api_version is no version of Azure's; write a date"),
        ({"resource": "r"}, {"OPENAI_API_VERSION": "bad version"}, "the variable OPENAI_API_VERSION is not a version"),
        ({"resource": "https://r.openai.azure.com"}, {}, "Write the bare name"),
        ({"resource": "r", "project": "p"}, {}, "providers.azure.project means nothing to a provider of the kind"),
        ({"resource": "r", "idempotency_header": "once"}, {}, "idempotency_header means nothing"),
        ({"resource": "r", "client_secret": "s"}, {}, "Set tenant_id"),
        ({"resource": "r", "tenant_id": "t"}, {}, "Set client_secret"),
    ],
)
def test_settings_that_cannot_work_are_told_with_their_fix(
    settings: dict[str, Any], env: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError) as told:
        EdgeClient(providers={"azure": settings}, env=env)
    assert words in str(told.value)


def test_a_cloud_nobody_configured_is_told_when_it_is_asked(colour: Colour, edges: Edges) -> None:
    edge = edges(env={"AZURE_OPENAI_API_KEY": "k"})
    with pytest.raises(ConfigError, match="the variable AZURE_OPENAI_ENDPOINT"):
        colour.chat(edge, "azure/m", "hi")


def test_other_providers_take_no_settings_of_clouds() -> None:
    with pytest.raises(ConfigError, match=r"providers\.openai\.resource means nothing to a provider of the kind"):
        EdgeClient(providers={"openai": {"resource": "r"}}, env={})


# ---------------------------------------------------------------- what comes back


def test_a_choice_the_filter_emptied_gets_an_empty_message(colour: Colour, edges: Edges, provider: Provider) -> None:
    filtered = {"index": 0, "finish_reason": "content_filter", "content_filter_results": {"hate": {"filtered": True}}}
    provider.script(json_body({"id": "c", "model": "m", "object": "chat.completion", "choices": [filtered]}))
    edge = edges(providers={"azure": {**V1, "base_url": provider.url}}, routes={"r": {"targets": ["azure/m"]}})
    client = colour.openai(edge, "http://127.0.0.1:9/v1")
    choice = colour.finish(client.chat.completions.create(model="r", messages=[])).choices[0]
    assert (choice.finish_reason, choice.message.content, choice.message.role) == ("content_filter", None, "assistant")


def test_an_answer_that_lacks_nothing_passes_as_it_came(colour: Colour, edges: Edges, provider: Provider) -> None:
    edge = edges(providers={"azure": {**V1, "base_url": provider.url}}, routes={"r": {"targets": ["azure/m"]}})
    text = (
        b'{ "choices": [ {"index":0, "message": {"role":"assistant","content":"hi"}, "finish_reason":"stop",'
        b' "content_filter_results": {"hate": {"filtered":false}}} ], "model":"m", "prompt_filter_results": [] }'
    )
    provider.script(raw(text, content_type="application/json"))
    client = colour.openai(edge, "http://127.0.0.1:9/v1")
    got = colour.finish(client.chat.completions.with_raw_response.create(model="r", messages=[]))
    assert got.content == text


FRAMES = (
    b'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"a"},"finish_reason":null,'
    b'"content_filter_results":{}}],"created":9,"id":"c1","model":"gpt","object":"chat.completion.chunk"}\n\n'
    b'data: {"choices":[{"index":0,"delta":null,"finish_reason":null,"content_filter_offsets":{"check_offset":1}}],'
    b'"created":0,"id":"","model":"","object":""}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"created":9,"id":"c1","model":"gpt",'
    b'"object":"chat.completion.chunk"}\n\n'
    b"data: [DONE]\n\n"
)


def test_a_stream_that_begins_with_the_filters_word_is_whole(colour: Colour, edges: Edges, provider: Provider) -> None:
    provider.script(raw(FRAMES, content_type="text/event-stream"))
    edge = edges(providers={"azure": {**V1, "base_url": provider.url}})
    reply = colour.chat(edge, "azure/m", "hi", stream=True)
    chunks = colour.items(reply)
    assert "".join(chunk.text for chunk in chunks) == "a"


def test_the_anthropic_sdk_reads_such_a_stream(colour: Colour, edges: Edges, provider: Provider) -> None:
    import anthropic

    provider.script(raw(FRAMES, content_type="text/event-stream"))
    edge = edges(providers={"azure": {**V1, "base_url": provider.url}}, routes={"r": {"targets": ["azure/m"]}})
    kind: Any = anthropic.Anthropic if colour.name == "sync" else anthropic.AsyncAnthropic
    client = kind(api_key="k", base_url="http://127.0.0.1:9", http_client=colour.http_client(edge))
    colour.opened.append(client)
    question: Any = [{"role": "user", "content": "hi"}]
    events = colour.items(
        colour.finish(client.messages.create(model="r", max_tokens=9, messages=question, stream=True))
    )
    assert events[0].message.id
    assert events[0].message.model
    assert "".join(event.delta.text for event in events if event.type == "content_block_delta") == "a"
    assert events[-1].type == "message_stop"


@pytest.mark.parametrize(
    ("code", "body", "kind"),
    [
        (404, {"error": {"code": "DeploymentNotFound", "message": "no such deployment"}}, NotFound),
        (429, {"error": {"code": "429", "message": "slow"}}, Throttled),
        (429, {"error": {"code": "NoCapacity", "message": "slow"}}, Throttled),
        (
            400,
            {
                "error": {
                    "message": "filtered", "type": None, "param": "prompt", "code": "content_filter", "status": 400,
                    "innererror": {"code": "ResponsibleAIPolicyViolation"},
                }
            },
            ContentBlocked,
        ),
    ],
)  # fmt: skip
def test_azures_errors_are_the_trees(
    colour: Colour, edges: Edges, provider: Provider, code: int, body: Any, kind: type[Exception]
) -> None:
    provider.script(raw(json.dumps(body).encode(), status=code, content_type="application/json"))
    edge = edges(providers={"azure": {**V1, "base_url": provider.url}}, retry={"attempts": 1})
    with pytest.raises(kind):
        colour.chat(edge, "azure/m", "hi")


def test_the_recorded_exchanges_are_understood() -> None:
    recorded = [each for each in THEIRS if each.name.startswith("recorded/azure/")]
    for each in recorded:
        response = each.response()
        if "error" in each.name:
            assert each.dialect.failure(response).response is response
        else:
            assert response.body is not None
            assert each.dialect.fault(response.body.json) is None
    assert all(each.dialect.name.startswith("openai.") for each in recorded)


# ---------------------------------------------------------------- the SDKs of this cloud, unmodified


def test_azures_own_sdk_client_passes_and_is_cached(colour: Colour, edges: Edges, provider: Provider) -> None:
    import openai

    kind: Any = openai.AzureOpenAI if colour.name == "sync" else openai.AsyncAzureOpenAI
    client = kind(
        api_key="own-key",
        azure_endpoint=provider.url,
        api_version="2024-10-21",
        http_client=colour.http_client(edges()),
    )
    colour.opened.append(client)
    for _ in range(2):
        reply = colour.finish(client.chat.completions.create(model="dep", messages=[{"role": "user", "content": "x"}]))
        assert reply.choices[0].message.content == "Hello!"
    (call,) = provider.asked(1)
    assert (call.path, call.key) == ("/openai/deployments/dep/chat/completions", "own-key")


def test_the_azure_client_may_be_led_elsewhere(colour: Colour, edges: Edges, provider: Provider) -> None:
    import openai

    edge = edges(
        providers={"claude": {"kind": "anthropic", "base_url": provider.url, "api_key": "k"}},
        routes={"dep": {"targets": ["claude/claude-sonnet-5-5"]}},
    )
    kind: Any = openai.AzureOpenAI if colour.name == "sync" else openai.AsyncAzureOpenAI
    client = kind(
        api_key="own-key", azure_endpoint="http://127.0.0.1:9", api_version="2024-10-21",
        http_client=colour.http_client(edge),
    )  # fmt: skip
    colour.opened.append(client)
    provider.script(stream("A ", "door."))
    chunks = colour.items(
        colour.finish(
            client.chat.completions.create(model="dep", messages=[{"role": "user", "content": "x"}], stream=True)
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "A door."
    assert provider.last.key == "k"


# ---------------------------------------------------------------- Claude on Azure


def test_claude_in_the_foundry_speaks_anthropics_own(colour: Colour, edges: Edges, provider: Provider) -> None:
    provider.script(answer("A door."))
    edge = edges(providers={"foundry": {"kind": "azure-anthropic", "base_url": provider.url, "api_key": "k"}})
    assert colour.chat(edge, "foundry/claude-sonnet-5-5", "hi").text == "A door."
    assert provider.last.path == "/anthropic/v1/messages"
    assert provider.last.headers["x-api-key"] == "k"
    assert provider.last.headers["anthropic-version"] == "2023-06-01"
    assert provider.last.json["model"] == "claude-sonnet-5-5"


def test_the_foundry_is_found_by_its_own_variables(edges: Edges) -> None:
    env = {"ANTHROPIC_FOUNDRY_RESOURCE": "res", "ANTHROPIC_FOUNDRY_API_KEY": "k"}
    wire = wire_of(edges(env=env), "azure-anthropic/claude-sonnet-5-5", dialect="anthropic.messages")
    assert wire.url == "https://res.services.ai.azure.com/anthropic/v1/messages"
    assert wire.headers["x-api-key"] == "k"
    whole = {"ANTHROPIC_FOUNDRY_BASE_URL": "https://gate.test/anthropic/", "ANTHROPIC_FOUNDRY_API_KEY": "k"}
    wire = wire_of(edges(env=whole), "azure-anthropic/c", dialect="anthropic.messages")
    assert wire.url == "https://gate.test/anthropic/v1/messages"


def test_a_throttled_deployment_is_waited_for_as_long_as_it_asks(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    provider.script(status(429).headers({"retry-after": "0"}), answer("after all"))
    edge = edges(providers={"azure": {**V1, "base_url": provider.url}}, retry={"base": 0.0})
    assert colour.chat(edge, "azure/m", "hi").text == "after all"
