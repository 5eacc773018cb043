"""Bedrock behind the real SDKs: every caller talks to it, and what an SDK has signed arrives as it was signed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import botocore.auth
import httpx2
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer

from llm_edge import ContextTooLong, EdgeClient, InvalidRequest, NotFound, StreamBroken, Throttled
from llm_edge.message import Handler, Request, Response
from llm_edge.providers.eventstream import event, exception
from llm_edge.runtime import Signal
from llm_edge.testing import Call, Provider, answer, raw, status, stream, tool_call

from .conftest import Colour

Edges = Callable[..., EdgeClient]
NOWHERE = "http://127.0.0.1:9"
QUESTION: Any = [{"role": "user", "content": "What is a gateway?"}]
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "us.amazon.nova-micro-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
ROUTES = {"claude": CLAUDE, "nova": NOVA, "llama": LLAMA}
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456"
KEYS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "the-secret", "session_token": "the-token"}
FRAMED = "application/vnd.amazon.eventstream"


@pytest.fixture
def bedrock(edges: Edges, provider: Provider) -> Callable[..., EdgeClient]:
    """A client whose `bedrock/…` is the scripted provider; `claude`, `nova` and `llama` are routes to it."""

    def make(**settings: Any) -> EdgeClient:
        given = {"base_url": provider.url, "region": "us-east-1", **({} if "api_key" in settings else KEYS), **settings}
        return edges(
            providers={"bedrock": given},
            routes={name: {"targets": [f"bedrock/{model}"]} for name, model in ROUTES.items()},
            retry={"attempts": 1},
        )

    return make


def anthropic_client(colour: Colour, edge: EdgeClient) -> Any:
    import anthropic

    kind: Any = anthropic.Anthropic if colour.name == "sync" else anthropic.AsyncAnthropic
    client = kind(api_key="sk-test", base_url=NOWHERE, http_client=colour.http_client(edge))
    colour.opened.append(client)
    return client


def holds(call: Call, service: str = "bedrock", secret: str = "the-secret") -> bool:
    """Whether the signature fits what arrived, as botocore reckons it."""
    shown = call.headers["authorization"]
    parts = dict(part.split("=", 1) for part in shown.partition(" ")[2].split(", "))
    own = {"host", "x-amz-date", "x-amz-security-token"}
    vouched = {name: call.headers[name] for name in parts["SignedHeaders"].split(";") if name not in own}
    request = AWSRequest(method=call.method, url=call.origin + call.target, headers=vouched, data=call.body)
    moment = datetime.strptime(call.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    key = parts["Credential"].partition("/")[0]
    credentials = Credentials(key, secret, call.headers.get("x-amz-security-token"))
    # botocore reads its own clock; nothing of ours is put aside here.
    with mock.patch.object(botocore.auth, "get_current_datetime", return_value=moment):
        botocore.auth.SigV4Auth(credentials, service, "us-east-1").add_auth(request)
    return request.headers["Authorization"] == shown


# ------------------------------------------------------------------ Converse


@pytest.mark.parametrize("model", [NOVA, CLAUDE, PROFILE])
def test_a_direct_call_is_asked_by_converse_and_signed(
    colour: Colour, bedrock: Callable[..., EdgeClient], provider: Provider, model: str
) -> None:
    provider.script(answer("A door."))
    reply = colour.chat(bedrock(), f"bedrock/{model}", QUESTION)
    assert reply.text == "A door."
    assert reply.usage["prompt_tokens"] == 9
    assert provider.last.path == f"/model/{model}/converse"
    assert provider.last.json == {"messages": [{"role": "user", "content": [{"text": "What is a gateway?"}]}]}
    assert holds(provider.last)


def test_the_openai_sdk_streams_from_nova(
    colour: Colour, bedrock: Callable[..., EdgeClient], provider: Provider
) -> None:
    provider.script(stream("A ", "door."))
    client = colour.openai(bedrock(), f"{NOWHERE}/v1")
    asked = client.chat.completions.create(
        model="nova", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = colour.items(colour.finish(asked))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "A door."
    assert chunks[-1].usage.prompt_tokens == 9
    assert provider.last.path == f"/model/{NOVA}/converse-stream"
    assert holds(provider.last)


def test_tools_go_there_and_back(colour: Colour, bedrock: Callable[..., EdgeClient], provider: Provider) -> None:
    provider.script(stream(tool_calls=[tool_call("weather_report", {"city": "Oslo"}, call_id="tooluse_1")]))
    weather: Any = {"type": "function", "function": {"name": "weather.report", "parameters": {"type": "object"}}}
    client = colour.openai(bedrock(), f"{NOWHERE}/v1")
    asked = client.chat.completions.create(model="nova", messages=QUESTION, tools=[weather], stream=True)
    calls = [
        call
        for chunk in colour.items(colour.finish(asked))
        if chunk.choices
        for call in chunk.choices[0].delta.tool_calls or ()
    ]
    assert calls[0].function.name == "weather.report"
    assert "".join(call.function.arguments for call in calls) == '{"city":"Oslo"}'


def test_the_anthropic_sdk_talks_to_nova(
    colour: Colour, bedrock: Callable[..., EdgeClient], provider: Provider
) -> None:
    provider.script(answer("A door."), stream("A ", "door."))
    client = anthropic_client(colour, bedrock())
    message = colour.finish(client.messages.create(model="nova", max_tokens=50, messages=QUESTION))
    assert message.content[0].text == "A door."
    asked = client.messages.create(model="nova", max_tokens=51, messages=QUESTION, stream=True)
    events = colour.items(colour.finish(asked))
    assert "".join(event.delta.text for event in events if event.type == "content_block_delta") == "A door."
    assert [call.path.rpartition("/")[2] for call in provider.calls] == ["converse", "converse-stream"]


def test_a_whole_answer_and_its_stream_share_the_cache_of_their_own_kind(
    colour: Colour, bedrock: Callable[..., EdgeClient], provider: Provider
) -> None:
    provider.script(stream("A ", "door."))
    edge = bedrock()
    for _ in range(2):
        pieces = colour.items(colour.chat(edge, "nova", QUESTION, stream=True))
        assert "".join(piece.text for piece in pieces) == "A door."
    provider.asked(1)


# ------------------------------------------------------------------ InvokeModel


def test_a_caller_of_anthropics_talks_to_claude_in_its_own_words(
    colour: Colour, bedrock: Callable[..., EdgeClient], provider: Provider
) -> None:
    provider.script(answer("A door."), stream("A ", "door.", reasoning="Hm."))
    client = anthropic_client(colour, bedrock())
    message = colour.finish(client.messages.create(model="claude", max_tokens=50, messages=QUESTION))
    assert message.content[0].text == "A door."
    assert provider.last.path == f"/model/{CLAUDE}/invoke"
    assert provider.last.json == {"max_tokens": 50, "messages": QUESTION, "anthropic_version": "bedrock-2023-05-31"}
    assert holds(provider.last)
    asked = client.messages.create(model="claude", max_tokens=51, messages=QUESTION, stream=True)
    events = colour.items(colour.finish(asked))
    assert [event.type for event in events][:2] == ["message_start", "content_block_start"]
    texts = [event.delta.text for event in events if getattr(getattr(event, "delta", None), "text", None)]
    assert "".join(texts) == "A door."
    assert provider.last.path == f"/model/{CLAUDE}/invoke-with-response-stream"


def test_invoke_asks_claude_in_its_own_words_for_every_caller(
    colour: Colour, bedrock: Callable[..., EdgeClient], provider: Provider
) -> None:
    provider.script(stream("A ", "door."))
    client = colour.openai(bedrock(api="invoke"), f"{NOWHERE}/v1")
    chunks = colour.items(colour.finish(client.chat.completions.create(model="claude", messages=QUESTION, stream=True)))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "A door."
    assert provider.last.path.endswith("/invoke-with-response-stream")
    assert provider.last.json["anthropic_version"] == "bedrock-2023-05-31"


def test_invoke_asks_llama_by_a_prompt(colour: Colour, bedrock: Callable[..., EdgeClient], provider: Provider) -> None:
    provider.script(answer("A door."), stream("A ", "door."))
    edge = bedrock(api="invoke")
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi<|eot_id|>!"}]
    reply = colour.chat(edge, "llama", messages, max_tokens=5)
    assert (reply.text, reply.usage["total_tokens"]) == ("A door.", 12)
    assert provider.last.json == {
        "prompt": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi< |eot_id|>!<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "max_gen_len": 5,
    }
    pieces = colour.items(colour.chat(edge, "llama", QUESTION, stream=True))
    assert "".join(piece.text for piece in pieces) == "A door."
    with pytest.raises(InvalidRequest, match="`tools`"):
        colour.chat(edge, "llama", QUESTION, tools=[{"type": "function", "function": {"name": "f"}}])


# ------------------------------------------------------------------ the APIs of OpenAI's shape


@pytest.mark.parametrize(("api", "prefix"), [("openai", "/openai/v1"), ("mantle", "/v1")])
def test_the_native_addresses_are_asked_in_openais_words(
    colour: Colour, bedrock: Callable[..., EdgeClient], provider: Provider, api: str, prefix: str
) -> None:
    provider.script(answer("A door."))
    edge = bedrock(api=api)
    assert colour.chat(edge, "bedrock/openai.gpt-oss-120b", QUESTION).text == "A door."
    assert provider.last.path == f"{prefix}/chat/completions"
    assert provider.last.json["model"] == "openai.gpt-oss-120b"
    assert holds(provider.last, "bedrock-mantle" if api == "mantle" else "bedrock")


def test_mantle_asks_claude_in_anthropics_words(
    colour: Colour, bedrock: Callable[..., EdgeClient], provider: Provider
) -> None:
    provider.script(answer("A door."))
    edge = bedrock(api="mantle", api_key="token")
    assert colour.chat(edge, "bedrock/anthropic.claude-opus-5-5", QUESTION).text == "A door."
    assert provider.last.path == "/anthropic/v1/messages"
    assert provider.last.key == "token"


# ------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (status(429, "Too many requests"), Throttled),
        (status(404, "no such model"), NotFound),
        (status(400, "Input is too long for requested model."), ContextTooLong),
        (raw(exception("throttlingException", b'{"message":"slow"}'), content_type=FRAMED), Throttled),
    ],
)
def test_an_error_is_of_the_tree(
    colour: Colour, bedrock: Callable[..., EdgeClient], provider: Provider, step: Any, error: type[Exception]
) -> None:
    provider.script(step)
    with pytest.raises(error):
        colour.chat(bedrock(), "nova", QUESTION, stream=True)


def test_an_exception_in_mid_stream_reaches_the_caller_as_its_own_kind_of_error(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    import openai

    began = Signal()

    async def tell(request: Request, handler: Handler) -> Response:
        response = await handler(request)
        began.set()
        return response

    start = event("messageStart", b'{"role":"assistant"}')
    piece = event("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"Half"}}')
    body = start + piece + exception("throttlingException", b'{"message":"no room"}')
    provider.script(raw(body, content_type=FRAMED).stall(after_bytes=len(start), until=began))
    edge = edges(providers={"bedrock": {"base_url": provider.url, "region": "us-east-1", **KEYS}}, layers=[tell])
    client = colour.openai(edge, f"{NOWHERE}/v1")
    asked = client.chat.completions.create(model=f"bedrock/{NOVA}", messages=QUESTION, stream=True)
    reply = colour.finish(asked)
    with pytest.raises(openai.APIError, match="no room"):
        colour.items(reply)


def test_a_stream_cut_short_is_broken_and_not_kept(
    colour: Colour, bedrock: Callable[..., EdgeClient], provider: Provider
) -> None:
    provider.script(stream("A ", "door.").cut(after_events=3, half_event=True), stream("A ", "door."))
    edge = bedrock()
    with pytest.raises(StreamBroken):
        colour.items(colour.chat(edge, "nova", QUESTION, stream=True))
    assert "".join(piece.text for piece in colour.items(colour.chat(edge, "nova", QUESTION, stream=True))) == "A door."
    provider.asked(2)


def test_another_target_answers_when_bedrock_is_out_of_room(
    colour: Colour, edges: Edges, providers: Callable[..., Provider]
) -> None:
    first, second = providers(status(429)), providers(answer("from the second"))
    edge = edges(
        providers={
            "bedrock": {"base_url": first.url, "region": "us-east-1", **KEYS},
            "b": {"kind": "openai", "base_url": f"{second.url}/v1"},
        },
        routes={"r": {"targets": [f"bedrock/{CLAUDE}", "b/m"]}},
        retry={"attempts": 1},
    )
    client = anthropic_client(colour, edge)
    message = colour.finish(client.messages.create(model="r", max_tokens=5, messages=QUESTION))
    assert message.content[0].text == "from the second"
    assert first.last.path.endswith("/invoke")


# ------------------------------------------------------------------ SDKs that sign themselves


def test_the_bedrock_client_of_anthropics_sdk_passes_with_its_signature(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    from anthropic.lib import bedrock as bedrock_client

    provider.script(answer("A door."), stream("A ", "door."))
    kind: Any = bedrock_client.AnthropicBedrock if colour.name == "sync" else bedrock_client.AsyncAnthropicBedrock
    client = kind(
        aws_access_key="AKIDEXAMPLE", aws_secret_key="the-secret", aws_region="us-east-1", base_url=provider.url,
        http_client=colour.http_client(edges()),
    )  # fmt: skip
    colour.opened.append(client)
    message = colour.finish(client.messages.create(model=CLAUDE, max_tokens=50, messages=QUESTION))
    assert message.content[0].text == "A door."
    assert holds(provider.last)
    asked = client.messages.create(model=CLAUDE, max_tokens=50, messages=QUESTION, stream=True)
    events = colour.items(colour.finish(asked))
    assert "".join(event.delta.text for event in events if event.type == "content_block_delta") == "A door."
    assert holds(provider.last)


@pytest.mark.parametrize("streaming", [False, True])
def test_the_openai_sdk_that_signs_for_bedrock_passes_with_its_signature(
    colour: Colour, edges: Edges, provider: Provider, streaming: bool
) -> None:
    import openai
    from openai.providers import bedrock as signing

    provider.script(stream("A ", "door.") if streaming else answer("A door."))
    kind: Any = openai.OpenAI if colour.name == "sync" else openai.AsyncOpenAI
    client = kind(
        provider=signing(
            endpoint="runtime", region="us-east-1", base_url=f"{provider.url}/openai/v1",
            access_key_id="AKIDEXAMPLE", secret_access_key="the-secret",
        ),
        http_client=colour.http_client(edges()),
    )  # fmt: skip
    colour.opened.append(client)
    for _ in range(2):
        asked = client.chat.completions.create(
            model="openai.gpt-oss-120b",
            messages=QUESTION,
            stream=streaming,
            extra_headers={"x-llm-edge-cache-ttl": "60"},
        )
        reply = colour.finish(asked)
        if streaming:
            chunks = colour.items(reply)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "A door."
        else:
            assert reply.choices[0].message.content == "A door."
    assert holds(provider.last)
    assert provider.last.headers["x-llm-edge-cache-ttl"] == "60", "it was signed, so it has to arrive"


def test_a_caller_of_converse_is_heard_too(colour: Colour, edges: Edges, provider: Provider) -> None:
    provider.script(answer("A door."))
    edge = edges(
        providers={"gpt": {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}},
        routes={"g": {"targets": ["gpt/gpt-5.4"]}},
    )
    client = colour.http_client(edge)
    colour.opened.append(client)
    body = {"messages": [{"role": "user", "content": [{"text": "What is a gateway?"}]}]}
    response: httpx2.Response = colour.finish(client.post(f"{NOWHERE}/model/g/converse", json=body))
    assert response.json()["output"]["message"]["content"] == [{"text": "A door."}]
    assert provider.last.path == "/v1/chat/completions"
    assert json.loads(provider.last.body)["model"] == "gpt-5.4"


def test_a_caller_of_converse_gets_its_frames(colour: Colour, edges: Edges, provider: Provider) -> None:
    provider.script(stream("A ", "door."))
    edge = edges(
        providers={"gpt": {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}},
        routes={"g": {"targets": ["gpt/gpt-5.4"]}},
    )
    client = colour.http_client(edge)
    colour.opened.append(client)
    body = {"messages": [{"role": "user", "content": [{"text": "What is a gateway?"}]}]}
    response: httpx2.Response = colour.finish(client.post(f"{NOWHERE}/model/g/converse-stream", json=body))
    assert response.headers["content-type"] == FRAMED
    frames = EventStreamBuffer()
    frames.add_data(response.content)
    pieces = [json.loads(frame.payload) for frame in frames if frame.headers[":event-type"] == "contentBlockDelta"]
    assert "".join(piece["delta"]["text"] for piece in pieces) == "A door."
