"""A stream that breaks off in the middle and is gone on with: what the caller has is one answer, byte for byte."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from llm_edge.errors import CallError, NoTarget, StreamBroken
from llm_edge.layers.continuation import Continuation
from llm_edge.layers.rules import Rules
from llm_edge.message import Handler, Request, Response, Saved, Stream
from llm_edge.providers.dialects import by_name
from llm_edge.runtime import FakeClock, drive

from .kit import Cut, Script, answer, call

if TYPE_CHECKING:
    from tests.conftest import Colour

BROKEN = StreamBroken("cut")


def event(data: object, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(data).encode() + b"\n\n"


def chunk(text: str = "", number: int = 1, finish: str | None = None, **delta: Any) -> bytes:
    said = {"refusal": None, **delta, **({"content": text} if text else {})}
    choice = {"index": 0, "delta": said, "finish_reason": finish, "logprobs": None}
    return event({"id": f"c{number}", "created": number, "model": f"m{number}", "choices": [choice]})


def chat(*texts: str, number: int = 1, finish: str | None = "stop") -> list[bytes]:
    """A whole answer, or its beginning."""
    began = [chunk(number=number, role="assistant"), *[chunk(text, number) for text in texts]]
    return began if finish is None else [*began, chunk(number=number, finish=finish), b"data: [DONE]\n\n"]


def claude(*texts: str, stop: bool = True) -> list[bytes]:
    start = {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "content": []}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}} for text in texts
    ]
    ends = [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    return [event(each, str(each["type"])) for each in [start, block, *deltas, *(ends if stop else [])]]


def response(chunks: list[bytes], dialect: str = "openai.chat", *, cut: Exception | None = None) -> Response:
    known = by_name(dialect)
    assert known is not None
    source = Saved(chunks) if cut is None else Cut(chunks, cut)
    return Response(status=200, stream=Stream(source, known.watcher()))


async def told(script: Handler, request: Request, times: int = 2) -> tuple[bytes, BaseException | None]:
    """All that the caller has, and how it ended."""
    layer = Continuation(clock=FakeClock(), rules=Rules(times), dialect=by_name)
    stream = (await layer(request, script)).stream
    assert stream is not None
    got: list[bytes] = []
    try:
        async for piece in stream:
            got.append(piece)  # noqa: PERF401  what came before an error is kept
    except CallError as error:
        return b"".join(got), error
    return b"".join(got), stream.watcher.failure


def streaming(dialect: str = "openai.chat", **fields: Any) -> Request:
    return call(streaming=True, dialect=dialect, **fields)


def texts(raw: bytes) -> str:
    said = ""
    for line in raw.split(b"\n"):
        if line.startswith(b"data: {"):
            data = json.loads(line[6:])
            deltas = [choice["delta"].get("content") or "" for choice in data.get("choices", [])]
            said += "".join(deltas) + (data.get("delta") or {}).get("text", "")
    return said


def test_the_rest_is_asked_with_the_beginning_and_told_as_one_answer(colour: Colour) -> None:
    script = Script(response(chat("Hel", "lo wo", finish=None), cut=BROKEN), response(chat("rld", "!", number=2)))
    request = streaming()
    raw, error = colour.run(told(script, request))
    assert error is None
    assert texts(raw) == "Hello world!"
    assert script.asked[1].body.json["messages"][-1] == {"role": "assistant", "content": "Hello wo"}
    assert script.asked[1].continues
    events = [json.loads(line[6:]) for line in raw.split(b"\n") if line.startswith(b"data: {")]
    assert {(each["id"], each["created"], each["model"]) for each in events} == {("c1", 1, "m1")}
    assert raw.count(b'"role"') == 1
    assert b": continued by llm_edge after 8 characters\n\n" in raw
    assert raw.endswith(b"data: [DONE]\n\n")
    assert request.notes.fallbacks == 1
    assert request.notes.events[0][1:] == ("continuation", {"after": "StreamBroken", "characters": 8, "by": ""})


@pytest.mark.parametrize(
    ("began", "rest", "whole"),
    [
        ("one ", " two", "one two"),
        ("one ", "two", "one two"),
        ("one\n\n", "\ntwo", "one\n\ntwo"),
        ("one", " two", "one two"),
    ],
)
def test_white_space_at_the_joint_is_told_once(colour: Colour, began: str, rest: str, whole: str) -> None:
    script = Script(response(chat(began, finish=None), cut=BROKEN), response(chat(*rest, number=2)))
    raw, _ = colour.run(told(script, streaming()))
    assert texts(raw) == whole
    assert script.asked[1].body.json["messages"][-1]["content"] == "one"


def test_claudes_open_block_goes_on(colour: Colour) -> None:
    first = response(claude("Hel", stop=False), "anthropic.messages", cut=BROKEN)
    script = Script(first, response(claude("lo"), "anthropic.messages"))
    raw, error = colour.run(told(script, streaming("anthropic.messages")))
    assert error is None
    assert texts(raw) == "Hello"
    kinds = [json.loads(line[6:])["type"] for line in raw.split(b"\n") if line.startswith(b"data: ")]
    assert kinds == [
        "message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    assert b'"index":0' in raw.replace(b" ", b"")


def test_claudes_next_block_follows_a_closed_one(colour: Colour) -> None:
    closed = [*claude("One.", stop=False), event({"type": "content_block_stop", "index": 0}, "content_block_stop")]
    script = Script(response(closed, "anthropic.messages", cut=BROKEN), response(claude("Two."), "anthropic.messages"))
    raw, _ = colour.run(told(script, streaming("anthropic.messages")))
    starts = [json.loads(line[6:]) for line in raw.split(b"\n") if b'"content_block_start"' in line and b"{" in line]
    assert [each["index"] for each in starts] == [0, 1]
    assert texts(raw) == "One.Two."


def test_an_error_inside_the_stream_is_gone_over(colour: Colour) -> None:
    fell = event({"error": {"message": "overloaded", "type": "server_error"}})
    script = Script(response([*chat("Hel", finish=None), chunk("lo") + fell]), response(chat("!", number=2)))
    raw, error = colour.run(told(script, streaming()))
    assert (texts(raw), error) == ("Hello!", None)
    assert b"overloaded" not in raw


def test_one_that_cannot_be_gone_on_with_arrives_as_it_came(colour: Colour) -> None:
    fell = event({"error": {"message": "overloaded", "type": "server_error"}})
    began = chat("Hel", finish=None)
    script = Script(response([*began, fell]), NoTarget("nobody goes on"))
    request = streaming()
    raw, error = colour.run(told(script, request))
    assert raw == b"".join([*began, fell])
    assert isinstance(error, CallError)
    assert request.notes.events[0][2] == {"after": type(error).__name__, "refused": "NoTarget"}


CALLING = chunk(tool_calls=[{"index": 0, "id": "t", "function": {"name": "f", "arguments": "{"}}])


@pytest.mark.parametrize(
    "began",
    [
        chat(finish=None),
        chat("  \n", finish=None),
        [*chat("Hel", finish=None), CALLING],
        [*chat("Hel", finish=None), chunk(finish="stop")],
        [event({"id": "c", "choices": [{"index": 1, "delta": {"content": "b"}}]})],
    ],
)
def test_only_text_under_way_is_gone_on_with(colour: Colour, began: list[bytes]) -> None:
    script = Script(response(began, cut=BROKEN), response(chat("!", number=2)))
    raw, error = colour.run(told(script, streaming()))
    assert (raw, error) == (b"".join(began), BROKEN)
    assert len(script.asked) == 1


def test_it_goes_on_as_often_as_allowed(colour: Colour) -> None:
    parts = [response(chat(text, number=number, finish=None), cut=StreamBroken("cut")) for number, text in
             enumerate("abcd", start=1)]  # fmt: skip
    raw, error = colour.run(told(Script(*parts), streaming(), times=2))
    assert texts(raw) == "abc"
    assert isinstance(error, StreamBroken)


@pytest.mark.parametrize(
    ("request_", "times"),
    [(streaming(), 0), (call(), 2), (streaming("openai.responses"), 2), (streaming(deadline=0.01), 2)],
)
def test_where_it_is_not_wanted_or_not_known_nothing_goes_on(colour: Colour, request_: Request, times: int) -> None:
    script = Script(response(chat("Hel", finish=None), cut=BROKEN), response(chat("!", number=2)))
    raw, error = colour.run(told(script, request_, times))
    assert (texts(raw), error) == ("Hel", BROKEN)
    assert len(script.asked) == 1


def test_an_answer_in_one_piece_is_left_alone(colour: Colour) -> None:
    whole = answer()
    layer = Continuation(clock=FakeClock(), rules=Rules(2), dialect=by_name)
    assert colour.run(layer(streaming(), Script(whole))) is whole


@given(st.integers(0, 400), st.lists(st.integers(1, 60), max_size=12))
def test_cut_at_any_byte_the_text_is_whole(at: int, sizes: list[int]) -> None:
    began = b"".join(chat("Once ", "upon a ", "time, ", "é and ", "so on", finish=None))[:at]
    pieces, left = list[bytes](), began
    for size in sizes:
        pieces.append(left[:size])
        left = left[size:]

    def rest(request: Request) -> Response:
        so_far = request.body.json["messages"][-1]["content"]
        return response(chat("Once upon a time, é and so on"[len(so_far) :], number=2))

    script = Script(response([*[each for each in pieces if each], left], cut=StreamBroken("cut")), rest)
    raw, error = drive(told(script, streaming()))
    if len(script.asked) == 2:
        assert (texts(raw), error) == ("Once upon a time, é and so on", None)
    else:
        assert isinstance(error, StreamBroken)
        assert not texts(raw).strip()


@given(st.lists(st.integers(1, 60), max_size=40))
def test_a_whole_stream_passes_byte_for_byte(sizes: list[int]) -> None:
    raw = b": hi\n\n" + b"".join(chat("Once ", "upon"))
    pieces, left = list[bytes](), raw
    for size in sizes:
        pieces.append(left[:size])
        left = left[size:]
    got, error = drive(told(Script(response([*[each for each in pieces if each], left])), streaming()))
    assert (got, error) == (raw, None)
