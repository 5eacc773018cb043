"""A caller of one dialect, a provider of another: the real SDK above, a scripted provider below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from llm_edge import EdgeClient, InvalidRequest, Overloaded
from llm_edge.message import Handler, Request, Response
from llm_edge.testing import Provider, answer, events, status, stream, tool_call

from .conftest import Colour

Edges = Callable[..., EdgeClient]
NOWHERE = "http://127.0.0.1:9"
QUESTION: Any = [{"role": "user", "content": "What is a gateway?"}]


@pytest.fixture
def claude(edges: Edges, provider: Provider) -> EdgeClient:
    """Calls for `c` go to a model that speaks Anthropic's Messages."""
    return edges(
        providers={"claude": {"kind": "anthropic", "base_url": provider.url, "api_key": "k"}},
        routes={"c": {"targets": ["claude/claude-sonnet-5-5"]}},
        retry={"attempts": 1},
    )


@pytest.fixture
def gpt(edges: Edges, provider: Provider) -> EdgeClient:
    """Calls for `g` go to a model that speaks OpenAI's chat."""
    return edges(
        providers={"gpt": {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}},
        routes={"g": {"targets": ["gpt/gpt-5.4"]}},
        retry={"attempts": 1},
    )


def anthropic_client(colour: Colour, edge: EdgeClient) -> Any:
    import anthropic

    kind: Any = anthropic.Anthropic if colour.name == "sync" else anthropic.AsyncAnthropic
    client = kind(api_key="sk-test", base_url=NOWHERE, http_client=colour.http_client(edge))
    colour.opened.append(client)
    return client


def test_the_openai_sdk_talks_to_claude(colour: Colour, claude: EdgeClient, provider: Provider) -> None:
    provider.script(answer("A door."))
    client = colour.openai(claude, f"{NOWHERE}/v1")
    reply = colour.finish(client.chat.completions.create(model="c", messages=QUESTION))
    assert reply.choices[0].message.content == "A door."
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.prompt_tokens == 9
    assert provider.last.path == "/v1/messages"
    assert provider.last.headers["x-api-key"] == "k"


def test_the_openai_sdk_streams_from_claude(colour: Colour, claude: EdgeClient, provider: Provider) -> None:
    provider.script(stream("A ", "door."))
    client = colour.openai(claude, f"{NOWHERE}/v1")
    chunks = colour.items(colour.finish(client.chat.completions.create(model="c", messages=QUESTION, stream=True)))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "A door."
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert len({chunk.id for chunk in chunks}) == 1


def test_tools_go_there_and_back(colour: Colour, claude: EdgeClient, provider: Provider) -> None:
    provider.script(answer(tool_calls=[tool_call("weather", {"city": "Oslo"}, call_id="toolu_1")]))
    weather: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    reply = colour.chat(claude, "c", QUESTION, tools=[weather])
    assert [call["function"]["name"] for call in reply.tool_calls] == ["weather"]
    assert reply["choices"][0]["finish_reason"] == "tool_calls"
    assert provider.last.json["tools"][0]["input_schema"] == {"type": "object"}


def test_the_anthropic_sdk_talks_to_gpt(colour: Colour, gpt: EdgeClient, provider: Provider) -> None:
    provider.script(answer("A door."))
    client = anthropic_client(colour, gpt)
    message = colour.finish(client.messages.create(model="g", max_tokens=50, messages=QUESTION))
    assert message.content[0].text == "A door."
    assert message.stop_reason == "end_turn"
    assert provider.last.path == "/v1/chat/completions"


def test_the_anthropic_sdk_streams_from_gpt(colour: Colour, gpt: EdgeClient, provider: Provider) -> None:
    provider.script(stream("A ", "door."))
    client = anthropic_client(colour, gpt)
    events = colour.items(
        colour.finish(client.messages.create(model="g", max_tokens=50, messages=QUESTION, stream=True))
    )
    assert "".join(event.delta.text for event in events if event.type == "content_block_delta") == "A door."
    assert events[-1].type == "message_stop"


def test_the_openai_responses_api_reaches_a_chat_server(colour: Colour, gpt: EdgeClient, provider: Provider) -> None:
    provider.script(answer("A door."))
    client = colour.openai(gpt, f"{NOWHERE}/v1")
    assert colour.finish(client.responses.create(model="g", input="What?")).output_text == "A door."


def test_a_model_that_only_the_responses_api_has_is_asked_there(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    edge = edges(providers={"openai": {"base_url": f"{provider.url}/v1", "api_key": "k"}}, retry={"attempts": 1})
    provider.script(answer("A door."), stream("A ", "door."), answer("A door."), answer("A door."))
    reply = colour.chat(edge, "openai/gpt-5.5-pro", QUESTION)
    assert (reply.text, reply["object"], provider.last.path) == ("A door.", "chat.completion", "/v1/responses")
    assert provider.last.json["store"] is False
    opened = colour.chat(edge, "openai/o3-deep-research", QUESTION, stream=True)
    assert "".join(chunk.text for chunk in colour.items(opened)) == "A door."
    assert provider.last.path == "/v1/responses"
    client = colour.openai(edge, f"{provider.url}/v1")  # who asks for it in the other API gets its own answer
    assert colour.finish(client.responses.create(model="openai/gpt-5.5-pro", input="What?")).output_text == "A door."
    colour.chat(edge, "openai/gpt-5.5", QUESTION)
    assert provider.last.path == "/v1/chat/completions"


def test_a_server_that_has_such_a_model_in_chat_is_asked_in_chat(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    edge = edges(providers={"proxy": {"base_url": f"{provider.url}/v1"}})
    provider.script(answer("A door."))
    assert colour.chat(edge, "proxy/gpt-5-pro", QUESTION).text == "A door."
    assert provider.last.path == "/v1/chat/completions"


def test_an_error_of_the_provider_is_told_in_the_callers_dialect(
    colour: Colour, claude: EdgeClient, provider: Provider
) -> None:
    provider.script(status(529, message="busy"))
    client = colour.openai(claude, f"{NOWHERE}/v1")
    with pytest.raises(openai.InternalServerError) as told:
        colour.finish(client.chat.completions.create(model="c", messages=QUESTION))
    assert told.value.status_code == 529
    assert told.value.body is not None
    assert set(told.value.body) >= {"message", "type", "code"}  # type: ignore[call-overload]  # the SDK's cargo
    provider.asked(1)


def test_the_providers_own_words_stay_with_the_error(colour: Colour, claude: EdgeClient, provider: Provider) -> None:
    provider.script(status(529, message="busy"))
    with pytest.raises(Overloaded) as told:
        colour.chat(claude, "c", QUESTION)
    assert told.value.foreign
    assert told.value.response is not None
    assert told.value.response.body is not None
    assert told.value.response.body.json["error"]["type"] == "overloaded_error"


def test_a_stream_that_is_cut_does_not_end_well(colour: Colour, claude: EdgeClient, provider: Provider) -> None:
    provider.script(stream("A ", "door.").cut(after_events=4))
    client = colour.openai(claude, f"{NOWHERE}/v1")
    with pytest.raises(openai.APIConnectionError):
        colour.items(colour.finish(client.chat.completions.create(model="c", messages=QUESTION, stream=True)))


def test_what_has_no_place_there_is_told(colour: Colour, claude: EdgeClient, provider: Provider) -> None:
    reply = colour.chat(claude, "c", QUESTION, seed=7)
    changes = [change for event in reply.explain()["events"] for change in event.get("changes", ())]
    assert [change for change in changes if "`seed`" in change]
    assert "seed" not in provider.last.json


def test_what_has_no_place_there_is_refused_when_the_app_wants_it_so(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    edge = edges(
        providers={"claude": {"kind": "anthropic", "base_url": provider.url, "api_key": "k"}},
        on_unsupported_param="reject",
    )
    with pytest.raises(InvalidRequest, match="`seed`"):
        colour.chat(edge, "claude/claude-sonnet-5-5", QUESTION, seed=7)
    provider.never_asked()


def test_what_a_stream_tells_and_its_caller_cannot_see_is_told(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    seen: list[Request] = []

    async def spy(request: Request, handler: Handler) -> Response:
        seen.append(request)
        return await handler(request)

    edge = edges(
        providers={"gemini": {"base_url": provider.url, "api_key": "k"}},
        routes={"g": {"targets": ["gemini/gemini-3.8-flash"]}}, layers=[spy],
    )  # fmt: skip
    picture = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    parts = [{"text": "Look: "}, picture]
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
    provider.script(events({"candidates": [candidate], "usageMetadata": {"promptTokenCount": 1}}))
    create = anthropic_client(colour, edge).messages.create
    heard = colour.items(colour.finish(create(model="g", max_tokens=50, messages=QUESTION, stream=True)))
    assert "".join(event.delta.text for event in heard if event.type == "content_block_delta") == "Look: "
    told: Any = seen[0].notes.explain()["events"]
    changes = [change for event in told for change in event.get("changes", ())]
    assert [change for change in changes if change.startswith("`choices[].message.images` was left out of the answer")]


def test_a_picture_of_megabytes_in_one_event_of_a_stream_arrives(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    edge = edges(providers={"gemini": {"base_url": provider.url, "api_key": "k"}})
    data = "iVBORw0KGgo" + "A" * (3 << 20)
    first = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Look: "}]}}]}
    parts = [{"inlineData": {"mimeType": "image/png", "data": data}}]
    last = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}
    provider.script(events(first, {**last, "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 9}}))
    reply = colour.chat(edge, "gemini/gemini-3.8-flash", QUESTION, stream=True)
    chunks = colour.items(reply)
    images = [image for chunk in chunks for choice in chunk["choices"] for image in choice["delta"].get("images", ())]
    assert [image["image_url"]["url"] for image in images] == [f"data:image/png;base64,{data}"]
    assert "".join(chunk.text for chunk in chunks) == "Look: "
    assert reply.usage["completion_tokens"] == 9


def test_a_translated_stream_is_kept_and_replayed(colour: Colour, claude: EdgeClient, provider: Provider) -> None:
    provider.script(stream("A ", "door."))
    first = colour.chat(claude, "c", QUESTION, stream=True)
    texts = [chunk.text for chunk in colour.items(first)]
    again = colour.chat(claude, "c", QUESTION, stream=True)
    assert [chunk.text for chunk in colour.items(again)] == texts
    assert again.cache == "HIT"
    provider.asked(1)


def test_who_refuses_what_others_leave_out_is_not_answered_with_what_they_kept(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    place = {"kind": "anthropic", "base_url": provider.url, "api_key": "k"}
    keys: dict[str, str] = {}
    for unsupported in ("warn", "drop", "reject"):
        edge = edges(providers={"claude": place}, on_unsupported_param=unsupported)
        provider.script(answer("hello"))
        keys[unsupported] = colour.chat(edge, "claude/claude-sonnet-5-5", "hi").explain()["cache"]["key"]
    assert keys["warn"] == keys["drop"] != keys["reject"]
