"""Stream watchers: what is over, what is broken, what it cost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llm_edge.errors import BadAnswer, CallError, ProviderFailed, StreamBroken
from llm_edge.message import Watcher
from llm_edge.providers import sse
from llm_edge.providers.anthropic import MessagesWatcher
from llm_edge.providers.gemini import GenerateWatcher
from llm_edge.providers.openai import ChatWatcher
from llm_edge.providers.responses import ResponsesWatcher
from llm_edge.providers.watch import EventWatcher

from .exchanges import STREAMS, WHOLE_STREAMS, Exchange


def watched(watcher: Watcher, chunks: Iterable[bytes]) -> dict[str, Any]:
    """All a watcher knows after these chunks and their end."""
    for chunk in chunks:
        watcher.feed(chunk)
    early = watcher.complete
    broken = watcher.end()
    failure = watcher.failure
    return {
        "early": early,
        "complete": watcher.complete,
        "broken": type(broken),
        "failure": (type(failure), str(failure)),
        "events": watcher.events,
        "usage": watcher.usage,
        "finished": list(watcher.finished),
        "model": watcher.model if isinstance(watcher, EventWatcher) else "",
    }


@pytest.mark.parametrize("exchange", STREAMS, ids=str)
def test_a_stream_means_what_its_case_says(exchange: Exchange) -> None:
    expect, watcher = exchange.expect, exchange.dialect.watcher()
    seen = watched(watcher, [exchange.content])
    assert seen["broken"] is (StreamBroken if expect.get("broken") else type(None))
    failure = watcher.failure
    if "failure" in expect:
        assert isinstance(failure, ProviderFailed)
        assert type(failure).__name__ == expect["failure"]
        assert failure.status == expect.get("status", failure.status)
        assert failure.response is not None
        assert failure.response.status == failure.status
    else:
        assert failure is None
        assert seen["complete"] is not bool(expect.get("broken"))
    if "finished" in expect:
        assert seen["finished"] == expect["finished"]
    if "usage" in expect:
        assert seen["usage"] == expect["usage"]
    if "model" in expect:
        assert seen["model"] == expect["model"]


@pytest.mark.parametrize("exchange", WHOLE_STREAMS, ids=str)
def test_a_whole_stream_is_complete_and_says_why_it_ended(exchange: Exchange) -> None:
    seen = watched(exchange.dialect.watcher(), [exchange.content])
    assert seen["complete"]
    assert seen["events"] > 0
    assert all(seen["finished"])
    if "recorded" in exchange.name:
        assert seen["usage"]["total_tokens"] > 0
        assert seen["model"]


@pytest.mark.parametrize("exchange", STREAMS, ids=str)
def test_a_stream_cut_into_single_bytes_means_the_same(exchange: Exchange) -> None:
    content = exchange.content
    whole = watched(exchange.dialect.watcher(), [content])
    drop = "early"  # whether the last event needs the end to be seen may differ, nothing else
    seen = watched(exchange.dialect.watcher(), (content[at : at + 1] for at in range(len(content))))
    assert {**seen, drop: None} == {**whole, drop: None}


@pytest.mark.parametrize("exchange", STREAMS, ids=str)
def test_a_stream_sent_event_by_event_means_the_same(exchange: Exchange) -> None:
    whole = watched(exchange.dialect.watcher(), [exchange.content])
    pieces = re.split(rb"(?<=\n\n)|(?<=\r\n\r\n)", exchange.content)
    assert watched(exchange.dialect.watcher(), pieces) == whole


@pytest.mark.parametrize("exchange", WHOLE_STREAMS, ids=str)
def test_a_stream_cut_short_anywhere_is_broken_until_its_end_is_proven(exchange: Exchange) -> None:
    content, proven = exchange.content, False
    for at in range(len(content) + 1):
        seen = watched(exchange.dialect.watcher(), [content[:at]])
        assert seen["failure"][0] is type(None)
        assert (seen["broken"] is StreamBroken) is not seen["complete"]
        assert seen["complete"] or not proven, "once proven, more bytes do not undo it"
        proven = seen["complete"]
        if proven:
            assert any(seen["finished"])
    assert proven


@given(data=st.data())
def test_random_cuts_do_not_matter(data: st.DataObject) -> None:
    exchange = data.draw(st.sampled_from(STREAMS))
    content = exchange.content
    places = data.draw(st.lists(st.integers(0, len(content)), max_size=12))
    edges = sorted({0, len(content), *places})
    chunks = [content[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    whole, seen = (watched(exchange.dialect.watcher(), each) for each in ([content], chunks))
    assert seen == whole


def test_an_error_that_comes_first_is_known_after_one_feed() -> None:
    for exchange in STREAMS:
        if exchange.name.endswith("_first"):
            watcher = exchange.dialect.watcher()
            watcher.feed(exchange.content)
            assert isinstance(watcher.failure, ProviderFailed)
            assert watcher.events == 1


def test_an_error_keeps_the_body_it_would_have_had_as_an_answer() -> None:
    watcher = ChatWatcher()
    watcher.feed(b'data: {"id":"c","choices":[],"error":{"message":"no","code":502}}\n\n')
    assert isinstance(watcher.failure, CallError)
    assert watcher.failure.response is not None
    assert watcher.failure.response.body is not None
    assert watcher.failure.response.body.json == {"error": {"message": "no", "code": 502}}


def test_nothing_at_all_is_broken() -> None:
    broken = ChatWatcher().end()
    assert isinstance(broken, StreamBroken)
    assert "before its first event" in str(broken)


@pytest.mark.parametrize("watcher", [ChatWatcher, MessagesWatcher, GenerateWatcher, ResponsesWatcher])
@pytest.mark.parametrize("name", [b"", b"event: content_block_delta\n", b"event: response.output_text.delta\n"])
@pytest.mark.parametrize("data", [b'{"type":"x",broken', b"null", b"<html>", b'["a"]', b"<html>{}"])
def test_an_event_that_is_no_json_object_is_a_bad_answer(watcher: type[EventWatcher], name: bytes, data: bytes) -> None:
    one = watcher()
    one.feed(name + b"data: " + data + b"\n\n")
    assert isinstance(one.failure, BadAnswer)


@pytest.mark.parametrize("watcher", [ChatWatcher, MessagesWatcher, ResponsesWatcher])
@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (b'{"message":"flat","code":429}', "Throttled", "flat"),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"nested"}}', "Overloaded", "nested"),
        (b"it broke", "Overloaded", "without a readable body"),
    ],
)
def test_an_event_called_error_is_one(watcher: type[EventWatcher], data: bytes, kind: str, said: str) -> None:
    one = watcher()
    one.feed(b"event: error\ndata: " + data + b"\n\n")
    assert type(one.failure).__name__ == kind
    assert said in str(one.failure)
    assert one.end() is None


@pytest.mark.parametrize("watcher", [ChatWatcher, MessagesWatcher, ResponsesWatcher, GenerateWatcher])
def test_a_bare_error_is_heard_in_every_dialect(watcher: type[EventWatcher]) -> None:
    one = watcher()
    one.feed(b': hi\n\n{\n  "error": {\n    "message": "busy",\n    "code": 503\n  }\n}\n')
    assert type(one.failure).__name__ == "Overloaded"


def test_answers_line_by_line_without_events_are_no_stream() -> None:
    watcher = ChatWatcher()
    watcher.feed(b'{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n')
    assert isinstance(watcher.end(), StreamBroken)


@pytest.mark.parametrize("watcher", [MessagesWatcher, ResponsesWatcher])
def test_a_done_after_the_end_of_another_dialect_is_no_trouble(watcher: type[EventWatcher]) -> None:
    one = watcher()
    one.feed(b"data: [DONE]\n\n")
    assert one.failure is None
    assert isinstance(one.end(), StreamBroken)


@pytest.mark.parametrize("nothing", [b": keep-alive\n\n", b"event: ping\n\n", b"data:\n\n"])
def test_comments_and_events_without_data_are_no_events(nothing: bytes) -> None:
    watcher = ChatWatcher()
    watcher.feed(nothing * 50)
    assert (watcher.events, watcher.failure) == (0, None)


SAID = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":%s}]}'


@pytest.mark.parametrize(
    ("stream", "broken", "events"),
    [
        (SAID % b"null" + b"\n\ndata: [DONE]", "", 2), (SAID % b'"stop"', "", 1),
        (SAID % b"null" + b'\n\ndata: {"id', "in the middle of an event", 1),
        (b'{"choices": [', "in the middle of an event", 0),
        (SAID % b"null" + b"\n\n", "without [DONE]", 1),
    ],
)  # fmt: skip
def test_a_last_event_counts_without_its_empty_line_if_it_is_all_there(stream: bytes, broken: str, events: int) -> None:
    watcher = ChatWatcher()
    watcher.feed(stream)
    end = watcher.end()
    assert broken in str(end)
    assert (end is None, watcher.complete, watcher.events) == (not broken, not broken, events)


def test_a_bare_error_without_a_line_break_is_heard_at_the_end() -> None:
    watcher = ChatWatcher()
    watcher.feed(b'{"error":{"message":"busy","code":503}}')
    assert watcher.end() is None
    assert type(watcher.failure).__name__ == "Overloaded"


def test_what_comes_after_the_end_is_not_heard() -> None:
    watcher = ChatWatcher()
    watcher.feed(b'data: [DONE]\n\ndata: {"error":{"message":"late"}}\n\n')
    watcher.feed(b'data: {"error":{"message":"later"}}\n\n')
    assert (watcher.events, watcher.failure, watcher.complete) == (1, None, True)


def test_the_end_is_known_before_the_bytes_are_over_where_the_dialect_has_one() -> None:
    early = {
        exchange.dialect.name: watched(exchange.dialect.watcher(), [exchange.content])["early"]
        for exchange in WHOLE_STREAMS
        if "loose" not in exchange.name and "no_done" not in exchange.name and "sdkfixture" not in exchange.name
    }
    assert early.pop("gemini.generate") is False  # usage and grounding may follow a finishReason
    assert all(early.values())


START = '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
PLAIN = START + '{%s},"finish_reason":null}]%s}'


@pytest.mark.parametrize(
    ("event", "wanted"),
    [
        (
            START + '{},"finish_reason":"stop"}]}',
            ["stop"],
        ),
        (
            START + '{},"finish_reason": "stop"}]}',
            ["stop"],
        ),
        (
            START + '{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":null}]}',
            ["stop", ""],
        ),
        (
            START + '{},"finish_reason":null},{"index":1,"delta":{},"finish_reason":null}]}',
            ["", ""],
        ),
        (PLAIN % ('"content":"\\"finish_reason\\":\\"stop\\""', ""), [""]),
        (PLAIN % ('"content":"x"', ',"usage":null'), [""]),
    ],
)
def test_a_finish_is_not_missed_behind_a_familiar_beginning(event: str, wanted: list[str]) -> None:
    watcher = ChatWatcher()
    for plain in [PLAIN % ('"content":"a"', "")] * 3:
        watcher.feed(f"data: {plain}\n\n".encode())
    watcher.feed(f"data: {event}\n\n".encode())
    assert list(watcher.finished) == wanted
    assert watcher.events == 4


def familiar() -> ChatWatcher:
    """A watcher that knows how the events of its stream begin."""
    watcher = ChatWatcher()
    for plain in [PLAIN % ('"content":"a"', "")] * 3:
        watcher.feed(f"data: {plain}\n\n".encode())
    return watcher


@pytest.mark.parametrize("last", ["priority", None])
def test_a_chat_is_billed_by_the_tier_it_was_served_in(last: str | None) -> None:
    watcher = ChatWatcher()
    for told, used in (("flex", None), (last, {"prompt_tokens": 7, "completion_tokens": 2})):
        watcher.feed(b"data: " + json.dumps({"choices": [], "service_tier": told, "usage": used}).encode() + b"\n\n")
    assert watcher.usage == {
        "prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9, "service_tier": last or "flex",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("used", "known"),
    [
        ({"prompt_tokens": -7, "completion_tokens": 2}, {"completion_tokens": 2, "total_tokens": 2}),
        ({"prompt_tokens": 0}, {"prompt_tokens": 0, "total_tokens": 0}), ({"prompt_tokens": -7}, None), ({}, None),
        (
            {"prompt_tokens": 7, "prompt_tokens_details": {"cached_tokens": 3}},
            {"prompt_tokens": 7, "total_tokens": 7, "cached_tokens": 3},
        ),
        (
            {"completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 3}},
            {"completion_tokens": 7, "total_tokens": 7, "reasoning_tokens": 3},
        ),
    ],
)  # fmt: skip
def test_of_a_chats_usage_only_what_can_be_counts(used: dict[str, Any], known: dict[str, int] | None) -> None:
    watcher = ChatWatcher()
    watcher.feed(b"data: " + json.dumps({"choices": [], "usage": used}).encode() + b"\n\n")
    assert watcher.usage == known


def test_an_error_behind_a_familiar_beginning_is_heard() -> None:
    watcher, event = familiar(), PLAIN % ('"content":"b"', ',"error":{"message":"no","code":503}')
    watcher.feed(f"data: {event}\n\n".encode())
    assert type(watcher.failure).__name__ == "Overloaded"


def test_an_event_that_came_with_a_familiar_one_is_not_missed() -> None:
    watcher, plain = familiar(), PLAIN % ('"content":"b"', "")
    used = '{"id":"c","choices":[],"usage": {"prompt_tokens": 1, "completion_tokens": 2}}'
    watcher.feed(f"data: {plain}\n\ndata: {used}\n\n".encode())
    assert watcher.usage == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert watcher.events == 5


def test_a_familiar_event_after_the_end_is_not_heard() -> None:
    watcher, plain = familiar(), PLAIN % ('"content":"b"', "")
    watcher.feed(b"data: [DONE]\n\n")
    watcher.feed(f"data: {plain}\n\n".encode())
    assert (watcher.events, watcher.complete) == (4, True)


@pytest.mark.parametrize(
    ("tail", "usage"),
    [
        (
            ',"usage":{"prompt_tokens":1,"completion_tokens":2}',
            {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        ),
        (',"usage":null', None),
        ("", None),
    ],
)
def test_usage_on_an_ordinary_event_is_heard(tail: str, usage: dict[str, int] | None) -> None:
    watcher = ChatWatcher()
    for plain in (PLAIN % ('"content":"a"', ""), PLAIN % ('"content":"a"', ""), PLAIN % ('"content":"b"', tail)):
        watcher.feed(f"data: {plain}\n\n".encode())
    assert watcher.usage == usage


def test_an_error_beside_ordinary_choices_is_heard() -> None:
    watcher = ChatWatcher()
    for plain in (PLAIN % ('"content":"a"', ""), PLAIN % ('"content":"b"', ',"error":{"message":"no","code":503}')):
        watcher.feed(f"data: {plain}\n\n".encode())
    assert type(watcher.failure).__name__ == "Overloaded"


def test_two_choices_in_one_event_are_both_seen() -> None:
    watcher = ChatWatcher()
    both = '"choices":[{"index":0,"delta":{},"finish_reason":null},{"delta":{},"index":1}]'
    for event in ('"choices":[]', both):
        watcher.feed(f'data: {{"model":"m",{event}}}\n\n'.encode())
    assert list(watcher.finished) == ["", ""]


CHUNK = st.fixed_dictionaries(
    {"model": st.sampled_from(["", "m"])},
    optional={
        "choices": st.lists(
            st.fixed_dictionaries(
                {"index": st.integers(0, 2)},
                optional={
                    "delta": st.sampled_from([None, {}, {"content": "hi"}]),
                    "finish_reason": st.sampled_from([None, "", "stop"]),
                },
            ),
            max_size=3,
        ),
        "usage": st.sampled_from([None, {}, {"prompt_tokens": 3, "completion_tokens": 4}, {"prompt_tokens": -1}]),
        "error": st.just(None),
    },
)


@given(st.lists(st.tuples(CHUNK, st.booleans()), max_size=8), st.booleans())
def test_the_fast_way_and_the_parser_agree(chunks: list[tuple[dict[str, Any], bool]], done: bool) -> None:
    watcher, seen, reasons, usage = ChatWatcher(), set[int](), dict[int, str](), None
    for item, compact in chunks:
        watcher.feed(f"data: {json.dumps(item, separators=(',', ':') if compact else None)}\n\n".encode())
        for choice in item.get("choices", ()):
            seen.add(choice["index"])
            if choice.get("finish_reason"):
                reasons[choice["index"]] = choice["finish_reason"]
        usage = item.get("usage") or usage
    if done:
        watcher.feed(b"data: [DONE]\n\n")
    broken = watcher.end()
    assert list(watcher.finished) == [reasons.get(index, "") for index in sorted(seen)]
    whole = done or (bool(reasons) and seen == reasons.keys())
    assert (broken is None) is whole
    counted = watcher.usage
    assert (counted is not None) is bool(usage and usage.get("completion_tokens"))
    assert watcher.events == len(chunks) + done


def big(event: str, before: str, after: str) -> bytes:
    picture = "A" * (2 * sse.LIMIT)
    return f"{event}data: {before}{picture}{after}\n\n".encode()


def test_a_terminal_event_too_large_to_keep_is_still_the_end() -> None:
    usage = '"usage":{"input_tokens":5,"output_tokens":6,"total_tokens":11}'
    responses = ResponsesWatcher()
    responses.feed(big("event: response.completed\n", '{"response":{"output":["', f'"],{usage},"user":null}}}}'))
    assert responses.complete
    assert responses.usage == {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}

    gemini = GenerateWatcher()
    gemini.feed(
        big(
            "",
            '{"candidates":[{"content":{"parts":[{"inlineData":{"data":"',
            '"}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":9}}',
        )
    )
    assert gemini.end() is None
    assert gemini.finished == ["STOP"]
    assert gemini.usage == {"prompt_tokens": 5, "total_tokens": 9}

    chat = ChatWatcher()
    chat.feed(big("", '{"choices":[{"delta":{"content":"', '"},"finish_reason":"stop"}]}'))
    assert chat.end() is None


def test_usage_is_not_guessed_from_a_tail_that_has_none() -> None:
    for after in ('"}', '"usage"}', '"usage":7}', '"usage":{"input_tokens":}', '"usage" {"input_tokens":1}}'):
        watcher = ResponsesWatcher()
        watcher.feed(big("event: response.completed\n", '{"response":{"output":["', '"]},' + after))
        assert watcher.complete
        assert watcher.usage is None


def test_a_huge_event_that_never_ends_proves_nothing() -> None:
    watcher = ResponsesWatcher()
    watcher.feed(big("event: response.completed\n", '{"response":{"output":["', '"]}}')[:-2])
    assert isinstance(watcher.end(), StreamBroken)


def test_a_list_of_answers_is_understood_like_a_stream() -> None:
    frames = [
        {"candidates": [{"content": {"parts": [{"text": "{"}]}}]},
        {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"totalTokenCount": 3}},
    ]
    content = json.dumps(frames, indent=1).encode()
    for cut in range(len(content)):
        watcher = GenerateWatcher()
        watcher.feed(content[:cut])
        watcher.feed(content[cut:])
        assert watcher.end() is None
        assert watcher.usage == {"total_tokens": 3}


def _response(kind: str, *, named: bool, **fields: Any) -> bytes:
    data = json.dumps({"type": f"response.{kind}", "response": fields}).encode()
    return (b"event: response." + kind.encode() + b"\n" if named else b"") + b"data: " + data + b"\n\n"


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("last", ["priority", None])
def test_a_response_is_billed_by_the_tier_and_the_model_it_was_served_by(last: str | None, named: bool) -> None:
    watcher, used = ResponsesWatcher(), {"input_tokens": 7, "output_tokens": 2}
    watcher.feed(_response("created", named=named, model="m", service_tier="flex", usage=None))
    watcher.feed(_response("completed", named=named, model="other", service_tier=last, usage=used))
    assert watcher.model == "m"
    assert watcher.usage == {
        "prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9, "service_tier": last or "flex",
    }  # fmt: skip


def test_a_response_that_used_what_it_does_not_say_in_whole_is_counted_as_far_as_it_says() -> None:
    watcher = ResponsesWatcher()
    watcher.feed(_response("completed", named=True, usage={"input_tokens": 7, "output_tokens": 2, "total_tokens": 11}))
    assert watcher.usage == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 11}
    watcher = ResponsesWatcher()
    watcher.feed(_response("completed", named=True, usage={"output_tokens": 2}))
    assert watcher.usage is not None
    assert watcher.usage["completion_tokens"] == 2


@pytest.mark.parametrize("named", [True, False])
def test_a_response_that_failed_without_a_word_has_failed(named: bool) -> None:
    watcher = ResponsesWatcher()
    watcher.feed(_response("failed", named=named, error=None))
    assert isinstance(watcher.failure, CallError)
    assert "failed" in str(watcher.failure)
    assert watcher.complete


def _message(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def test_a_message_is_over_when_it_says_so_and_billed_by_the_last_that_was_said_of_each_count() -> None:
    watcher, began = MessagesWatcher(), {"input_tokens": 7, "output_tokens": 1, "speed": "fast"}
    watcher.feed(_message("message_start", message={"model": "m", "usage": began}))
    watcher.feed(_message("of_tomorrow"))
    later = {"input_tokens": None, "output_tokens": 5}
    watcher.feed(_message("message_delta", delta={"stop_reason": "end_turn"}, usage=later))
    assert not watcher.complete
    watcher.feed(_message("message_stop"))
    assert (watcher.complete, watcher.model, watcher.finished) == (True, "m", ["end_turn"])
    assert watcher.usage == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, "speed": "fast"}


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({}, None), ({"speed": "fast"}, None), ({"input_tokens": 7, "speed": "slow"}, {"prompt_tokens": 7}),
        ({"output_tokens": 5}, {"completion_tokens": 5}),
    ],
)  # fmt: skip
def test_of_a_message_that_was_cut_off_is_known_what_it_said(
    said: dict[str, Any], usage: dict[str, int] | None
) -> None:
    watcher = MessagesWatcher()
    watcher.feed(_message("message_start", message={"model": "m", "usage": said}))
    found = watcher.usage
    assert (found is None) is (usage is None)
    assert (usage or {}).items() <= (found or {}).items()
    assert "speed" not in (found or {})


def _frame(counts: dict[str, int], **more: str) -> bytes:
    candidate = {"content": {"parts": [{"text": "a"}], "role": "model"}, "index": 0, **more}
    frame = {"candidates": [candidate], "usageMetadata": counts, "modelVersion": "m"}
    return b"data: " + json.dumps(frame, separators=(",", ":")).encode() + b"\n\n"


def test_what_a_stream_of_mere_text_used_so_far_is_known_and_what_its_end_says_counts_last() -> None:
    watcher = GenerateWatcher()
    for number in range(1, 5):
        watcher.feed(_frame({"promptTokenCount": 7, "candidatesTokenCount": number}))
        if number != 3:  # asked for now and then
            assert watcher.usage is not None
            assert watcher.usage["completion_tokens"] == number
    watcher.feed(_frame({"promptTokenCount": 7, "candidatesTokenCount": 5}))
    watcher.feed(_frame({"candidatesTokenCount": 9}, finishReason="STOP"))
    assert watcher.usage is not None
    assert (watcher.usage["prompt_tokens"], watcher.usage["completion_tokens"]) == (7, 9)
    assert (watcher.finished, watcher.end(), watcher.events) == (["STOP"], None, 6)
