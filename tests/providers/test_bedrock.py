"""Bedrock's dialects: what a stream means, which failure an error is, and how requests leave."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llm_edge.errors import BadAnswer, InvalidRequest, ProviderFailed, StreamBroken
from llm_edge.message import Body, Headers, Request, Saved, Watcher
from llm_edge.providers.anthropic import MessagesWatcher
from llm_edge.providers.base import Adapter, Reframing, Target
from llm_edge.providers.bedrock import CONVERSE, ConverseWatcher
from llm_edge.providers.bedrock_adapter import MANTLE, OPENAI, Bedrock, Native, Unwrapped
from llm_edge.providers.bedrock_models import family, vendor
from llm_edge.providers.eventstream import CONTENT_TYPE, event, exception
from llm_edge.providers.llama import LLAMA, LlamaWatcher
from llm_edge.runtime import drive

from .exchanges import FRAMED, Exchange

WHOLE = [each for each in FRAMED if not each.expect.get("failure") and not each.expect.get("broken")]
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "us.amazon.nova-micro-v1:0"
LLAMA_3 = "us.meta.llama3-3-70b-instruct-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456"
HOST = "https://bedrock-runtime.us-east-1.amazonaws.com"
BEDROCK = Bedrock(base_url=HOST)


# ------------------------------------------------------------------ streams


def watched(chunks: Iterable[bytes]) -> dict[str, Any]:
    """All a watcher knows after these chunks and their end."""
    watcher = ConverseWatcher()
    for chunk in chunks:
        watcher.feed(chunk)
    early, broken = watcher.complete, watcher.end()
    return {
        "early": early,
        "complete": watcher.complete,
        "broken": type(broken),
        "failure": (type(watcher.failure), str(watcher.failure)),
        "events": watcher.events,
        "usage": watcher.usage,
        "finished": list(watcher.finished),
    }


@pytest.mark.parametrize("exchange", FRAMED, ids=str)
def test_a_stream_means_what_its_case_says(exchange: Exchange) -> None:
    expect, watcher = exchange.expect, ConverseWatcher()
    watcher.feed(exchange.content)
    broken = watcher.end()
    assert type(broken) is (StreamBroken if expect.get("broken") else type(None))
    if "failure" in expect:
        assert isinstance(watcher.failure, ProviderFailed)
        assert type(watcher.failure).__name__ == expect["failure"]
        assert watcher.failure.status == expect["status"]
        assert watcher.failure.response is not None
    else:
        assert watcher.failure is None
        assert watcher.complete is not bool(expect.get("broken"))
    if "finished" in expect:
        assert list(watcher.finished) == expect["finished"]
    if "usage" in expect:
        assert watcher.usage == expect["usage"]


@pytest.mark.parametrize("exchange", FRAMED, ids=str)
def test_a_stream_cut_into_single_bytes_means_the_same(exchange: Exchange) -> None:
    content = exchange.content
    assert watched(content[at : at + 1] for at in range(len(content))) == watched([content])


@pytest.mark.parametrize("exchange", WHOLE, ids=str)
def test_a_stream_cut_short_anywhere_is_broken_until_its_end_is_proven(exchange: Exchange) -> None:
    content, proven = exchange.content, False
    stop = content.index(b"messageStop")
    for at in range(len(content) + 1):
        seen = watched([content[:at]])
        assert seen["failure"][0] is type(None)
        assert (seen["broken"] is StreamBroken) is not seen["complete"]
        assert at > stop or not seen["complete"]
        proven = seen["complete"]
    assert proven


@given(data=st.data())
def test_random_cuts_do_not_matter(data: st.DataObject) -> None:
    content = data.draw(st.sampled_from(FRAMED)).content
    places = data.draw(st.lists(st.integers(0, len(content)), max_size=12))
    edges = sorted({0, len(content), *places})
    assert watched(content[a:b] for a, b in zip(edges, edges[1:], strict=False)) == watched([content])


def test_a_stream_that_is_garbled_is_a_bad_answer() -> None:
    watcher = ConverseWatcher()
    watcher.feed(event("messageStart", b"{}"))
    watcher.feed(b"<html>bad gateway</html>")
    assert isinstance(watcher.failure, BadAnswer)
    assert watcher.end() is None


def test_nothing_at_all_is_broken() -> None:
    assert "before its first event" in str(ConverseWatcher().end())


def test_what_follows_the_counts_is_not_heard() -> None:
    watcher = ConverseWatcher()
    watcher.feed(event("messageStop", b'{"stopReason":"end_turn"}') + event("metadata", b"{}"))
    assert watcher.complete
    watcher.feed(exception("throttlingException", b"{}") + b"rubbish")
    assert (watcher.events, watcher.failure) == (2, None)


# ------------------------------------------------------------------ whole answers


def test_an_answer_tells_its_text_calls_end_and_counts() -> None:
    answer = {
        "output": {
            "message": {
                "content": [
                    {"text": "See "},
                    {"citationsContent": {"content": [{"text": "this."}], "citations": []}},
                    {"toolUse": {"toolUseId": "t", "name": "w", "input": {"a": 1}}},
                    {"toolUse": {"toolUseId": "s", "name": "search", "input": {}, "type": "server_tool_use"}},
                ]
            }
        },
        "stopReason": "tool_use",
        "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
    }
    assert CONVERSE.text(answer) == "See this."
    assert [call["function"] for call in CONVERSE.tool_calls(answer)] == [{"name": "w", "arguments": '{"a":1}'}]
    assert CONVERSE.finished(answer) == ["tool_use"]
    assert CONVERSE.usage(answer) == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert CONVERSE.fault(answer) is None
    assert CONVERSE.usage({}) is None


# ------------------------------------------------------------------ requests


def asking(dialect: str, body: dict[str, Any], *, streaming: bool = False, **headers: str) -> Request:
    given = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return Request(dialect=dialect, body=Body(json=body), streaming=streaming, headers=given)


def target(model: str, key: str = "") -> Target:
    return Target(provider="bedrock", model=model, base_url=HOST, key=key)


@pytest.mark.parametrize(
    ("model", "escaped"),
    [
        (NOVA, "us.amazon.nova-micro-v1%3A0"),
        (PROFILE, PROFILE.replace(":", "%3A").replace("/", "%2F")),
        ("a b?c#d", "a%20b%3Fc%23d"),
    ],
)
@pytest.mark.parametrize(("streaming", "action"), [(False, "converse"), (True, "converse-stream")])
def test_the_model_stands_in_the_path_with_nothing_left_to_misread(
    model: str, escaped: str, streaming: bool, action: str
) -> None:
    request = asking("bedrock.converse", {"messages": []}, streaming=streaming)
    wire = BEDROCK.for_model(model).encode(request, target(model))
    assert wire.url == f"{HOST}/model/{escaped}/{action}"
    assert wire.headers["accept"] == (CONTENT_TYPE if streaming else "application/json")


@pytest.mark.parametrize("model", ["", ".", ".."])
def test_a_model_that_would_climb_up_the_path_is_refused(model: str) -> None:
    with pytest.raises(InvalidRequest, match="no model's name"):
        BEDROCK.for_model(model).encode(asking("bedrock.converse", {"messages": []}), target(model))


def test_claude_in_its_own_words_has_in_the_body_what_anthropic_has_elsewhere() -> None:
    body = {"model": "m", "stream": True, "max_tokens": 5, "messages": []}
    headers = {"anthropic_version": "2023-06-01", "anthropic_beta": "a, b", "x_api_key": "no"}
    request = asking("anthropic.messages", body, streaming=True, **headers)
    wire = BEDROCK.for_model(CLAUDE).encode(request, target(CLAUDE, "token"))
    assert wire.url.endswith("/invoke-with-response-stream")
    assert json.loads(wire.content) == {
        "max_tokens": 5,
        "messages": [],
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["a", "b"],
    }
    assert wire.headers["authorization"] == "Bearer token"
    assert not {"anthropic-version", "anthropic-beta", "x-api-key"} & set(wire.headers)


@pytest.mark.parametrize(
    ("model", "asked", "told"),
    [
        ("us.anthropic.claude-opus-4-7", "2026-10-21", "2026-10-21"),
        ("us.anthropic.claude-opus-4-7", "2023-06-01", "bedrock-2023-05-31"),
        (CLAUDE, "2026-10-21", "bedrock-2023-05-31"),
    ],
)
def test_the_version_is_the_callers_where_the_model_knows_it(model: str, asked: str, told: str) -> None:
    request = asking("anthropic.messages", {"messages": []}, anthropic_version=asked)
    assert json.loads(BEDROCK.for_model(model).encode(request, target(model)).content)["anthropic_version"] == told


@pytest.mark.parametrize(
    ("adapter", "model", "spoken"),
    [
        (BEDROCK, CLAUDE, {"bedrock.converse", "anthropic.messages"}),
        (BEDROCK, NOVA, {"bedrock.converse"}),
        (BEDROCK, PROFILE, {"bedrock.converse"}),
        (Bedrock(invoke=True), CLAUDE, {"anthropic.messages"}),
        (Bedrock(invoke=True), PROFILE, {"anthropic.messages"}),
        (Bedrock(invoke=True), LLAMA_3, {"bedrock.llama"}),
        (Bedrock(invoke=True), NOVA, {"bedrock.converse"}),
        (Native(row=OPENAI), "openai.gpt-oss-120b-1:0", {"openai.chat", "openai.responses"}),
        (Native(row=MANTLE), "openai.gpt-oss-120b", {"openai.chat", "openai.responses"}),
        (Native(row=MANTLE), "anthropic.claude-opus-5-5", {"anthropic.messages"}),
    ],
)
def test_what_is_spoken_depends_on_the_model(adapter: Bedrock | Native, model: str, spoken: set[str]) -> None:
    made: Adapter = adapter.for_model(model)
    asked = (CONVERSE.name, LLAMA.name, "anthropic.messages", "openai.chat", "openai.responses", "gemini.generate")
    assert {dialect for dialect in asked if made.speaks(dialect)} == spoken


def test_a_dialect_not_spoken_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match=r"openai\.embeddings"):
        BEDROCK.encode(asking("openai.embeddings", {}), target(NOVA))


@pytest.mark.parametrize(
    ("model", "whose"),
    [
        (CLAUDE, "anthropic"),
        ("anthropic.claude-opus-4-6-v1", "anthropic"),
        (f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{CLAUDE}", "anthropic"),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", "amazon"),
        (PROFILE, ""),
        ("global.openai.gpt-6-astra", "openai"),
        ("default.x", ""),
        ("somebody.new-model-v1:0", ""),
    ],
)
def test_an_id_says_whose_model_it_is(model: str, whose: str) -> None:
    assert vendor(model) == whose
    assert family(model).vendor == whose


# ------------------------------------------------------------------ InvokeModel's streams


def chunk(item: dict[str, Any]) -> bytes:
    inner = base64.b64encode(json.dumps(item).encode()).decode()
    return event("chunk", json.dumps({"bytes": inner, "p": "abcdef"}).encode())


MESSAGES: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 3, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hei"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 2}},
]
FRAMES = b"".join(map(chunk, MESSAGES))


def unwrapped(chunks: Sequence[bytes]) -> bytes:
    async def all_of() -> bytes:
        source, found = Unwrapped(Saved(chunks)), b""
        while True:
            try:
                found += await source.__anext__()
            except StopAsyncIteration:
                await source.aclose()
                return found

    return drive(all_of())


def seen(watcher: Watcher, data: bytes) -> Watcher:
    watcher.feed(data)
    assert watcher.end() is None
    return watcher


def test_claudes_events_come_out_of_their_frames() -> None:
    text = unwrapped([FRAMES])
    assert [json.loads(line[6:]) for line in text.split(b"\n") if line.startswith(b"data: ")] == MESSAGES
    watcher = seen(MessagesWatcher(), text)
    assert watcher.complete
    assert watcher.usage == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 333])
def test_frames_may_be_cut_anywhere(size: int) -> None:
    assert unwrapped([FRAMES[at : at + size] for at in range(0, len(FRAMES), size)]) == unwrapped([FRAMES])


def test_an_exception_among_the_frames_is_an_error_event() -> None:
    text = unwrapped([chunk(MESSAGES[0]) + exception("throttlingException", b'{"message":"slow down"}')])
    watcher = seen(MessagesWatcher(), text)
    assert type(watcher.failure).__name__ == "Throttled"
    assert "slow down" in str(watcher.failure)


def test_what_is_no_chunk_is_passed_over() -> None:
    odd = event("chunk", b'{"bytes":"*"}') + event("chunk", b"[]") + event("initial-response", b"{}")
    assert unwrapped([odd]) == b""


def test_garbage_before_the_first_event_is_a_bad_answer_and_after_it_a_cut() -> None:
    with pytest.raises(BadAnswer, match="garbled"):
        unwrapped([b"<html>no</html>"])
    assert unwrapped([chunk(MESSAGES[0]), b"<html>no</html>"]) == unwrapped([chunk(MESSAGES[0])])


def test_only_frames_of_models_own_words_are_unwrapped() -> None:
    adapter: Reframing = BEDROCK.for_model(CLAUDE)
    framed, plain = Headers({"content-type": CONTENT_TYPE}), Headers({"content-type": "application/json"})
    source = Saved([b""])
    assert adapter.reframed(framed, source, asking("bedrock.converse", {}))[1] is source
    assert adapter.reframed(plain, source, asking("anthropic.messages", {}))[1] is source
    headers, unframed = adapter.reframed(framed, source, asking("anthropic.messages", {}))
    assert headers["content-type"].startswith("text/event-stream")
    assert isinstance(unframed, Unwrapped)


def test_llamas_events_tell_their_end_and_their_counts() -> None:
    events = [
        {"generation": "Hei", "prompt_token_count": 5, "generation_token_count": 1, "stop_reason": None},
        {
            "generation": " du",
            "prompt_token_count": None,
            "generation_token_count": 2,
            "stop_reason": "length",
            "amazon-bedrock-invocationMetrics": {"inputTokenCount": 5, "outputTokenCount": 2},
        },
    ]
    watcher = seen(LlamaWatcher(), unwrapped([b"".join(map(chunk, events))]))
    assert watcher.complete
    assert list(watcher.finished) == ["length"]
    assert watcher.usage == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def test_llamas_answer_is_understood() -> None:
    answer = {"generation": "Hei", "prompt_token_count": 5, "generation_token_count": 1, "stop_reason": "stop"}
    assert LLAMA.fault(answer) is None
    assert (LLAMA.text(answer), LLAMA.finished(answer)) == ("Hei", ["stop"])
    assert LLAMA.usage(answer) == {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    assert LLAMA.usage({}) is None
    assert isinstance(LLAMA.fault({"outputs": []}), BadAnswer)
