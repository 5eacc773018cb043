"""The guard alone: what goes down holds no personal data, and what comes up has it again, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_edge.errors import Blocked, StreamBroken
from llm_edge.layers.guard import Guard, Guarding
from llm_edge.layers.rules import Rules
from llm_edge.message import Body, Headers, Request, Response, Saved, Stream
from llm_edge.providers.dialects import by_name
from llm_edge.providers.eventstream import CONTENT_TYPE, Frames, event as framed
from llm_edge.runtime import FakeClock

from ..conftest import Colour
from .kit import Cut, Script, answer, call, read_all

BOB = "bob@example.com"
ASK = {"model": "m", "messages": [{"role": "user", "content": f"Greet {BOB}"}]}


def guard(rule: Guarding, **routes: Guarding) -> Guard:
    return Guard(rules=Rules(rule, routes), clock=FakeClock(), dialect=by_name)


REDACT, DETECT, BLOCK = Guarding(pii="redact"), Guarding(pii="detect"), Guarding(pii="block")


def sse(*events: Any, end: bytes = b"\n") -> bytes:
    return b"".join([b"data: " + json.dumps(each).encode() + end + end for each in events])


def chunks(*texts: str) -> list[Any]:
    said = [{"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]} for text in texts]
    return [*said, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]


async def read(response: Response) -> bytes:
    return b"".join(await read_all(response))


def streaming(
    *parts: bytes, dialect: str = "openai.chat", kind: str = "text/event-stream", cut: Any = None
) -> Response:
    known = by_name(dialect)
    assert known is not None
    source = Saved(parts) if cut is None else Cut(parts, cut)
    return Response(status=200, headers=Headers([("content-type", kind)]), stream=Stream(source, known.watcher()))


def texts(raw: bytes) -> str:
    events = [json.loads(line[6:]) for line in raw.splitlines() if line.startswith(b"data: {")]
    return "".join([choice["delta"].get("content", "") for each in events for choice in each["choices"]])


def test_the_rest_sees_placeholders_and_the_caller_values(colour: Colour) -> None:
    script, request = Script(answer("Dear [EMAIL_1], hi [EMAIL_2]")), call(body=ASK, native=("httpx2", object()))
    response = colour.run(guard(REDACT)(request, script))
    (asked,) = script.asked
    assert asked.body.json["messages"] == [{"role": "user", "content": "Greet [EMAIL_1]"}]
    assert (asked.native, request.body.json) == (None, ASK)
    assert response.body is not None
    assert response.body.json["choices"][0]["message"]["content"] == f"Dear {BOB}, hi [EMAIL_2]"
    assert request.notes.events[0][1:] == ("guard", {"action": "redact", "found": {"email": 1}})


def test_what_is_detected_is_told_and_goes_on_as_it_is(colour: Colour) -> None:
    script, request = Script(answer("[EMAIL_1]")), call(body=ASK)
    response = colour.run(guard(DETECT)(request, script))
    assert script.asked == [request]
    assert response.body is not None
    assert b"[EMAIL_1]" in response.body.raw
    assert request.notes.events[0][1:] == ("guard", {"action": "detect", "found": {"email": 1}})


def test_what_is_blocked_goes_nowhere_and_the_refusal_names_kinds_alone(colour: Colour) -> None:
    script, request = Script(answer()), call(body=ASK)
    with pytest.raises(Blocked, match=r"email: 1") as caught:
        colour.run(guard(BLOCK)(request, script))
    assert (script.asked, BOB in str(caught.value), caught.value.status) == ([], False, 400)


def test_a_route_has_its_own_rule(colour: Colour) -> None:
    script = Script(answer())
    layer = guard(Guarding(), r=BLOCK)
    colour.run(layer(call(body=ASK), script))
    with pytest.raises(Blocked):
        colour.run(layer(call(body=ASK, route="r"), script))
    assert len(script.asked) == 1


def test_without_restoring_answers_keep_the_placeholders(colour: Colour) -> None:
    response = colour.run(guard(Guarding(pii="redact", restore=False))(call(body=ASK), Script(answer("[EMAIL_1]"))))
    assert response.body is not None
    assert b"[EMAIL_1]" in response.body.raw


DEEP = b'{"messages":' + b'[{"content":' * 900 + b'"x"' + b"}]" * 900 + b"}"


@pytest.mark.parametrize("body", [b"no JSON", b"[]", DEEP], ids=["text", "list", "deep"])
def test_what_cannot_be_checked_does_not_pass(colour: Colour, body: bytes) -> None:
    script, odd = Script(answer()), raw(body)
    for rule in (REDACT, BLOCK):
        with pytest.raises(Blocked, match="cannot be checked"):
            colour.run(guard(rule)(odd, script))
    colour.run(guard(DETECT)(odd, script))
    assert len(script.asked) == 1


def test_calls_nobody_understands_pass(colour: Colour) -> None:
    script, request = Script(answer()), call(body=ASK, operation="opaque", dialect="opaque")
    colour.run(guard(BLOCK)(request, script))
    assert script.asked == [request]


def test_what_a_provider_remembers_has_placeholders_of_its_own(colour: Colour) -> None:
    script = Script(answer())
    asked = {"model": "m", "input": f"And {BOB}?", "previous_response_id": "r"}
    for _ in range(2):
        colour.run(guard(REDACT)(call(body=asked, dialect="openai.responses"), script))
    first, second = (each.body.json["input"] for each in script.asked)
    assert first.startswith("And [EMAIL_1_")
    assert first != second

    async def echoes(request: Request) -> Response:
        return Response(status=200, body=Body(json={"said": request.body.json["input"]}))

    response = colour.run(guard(REDACT)(call(body=asked, dialect="openai.responses"), echoes))
    assert response.body is not None
    assert response.body.json["said"] == f"And {BOB}?"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_stream_cut_at_every_byte_is_restored(colour: Colour, end: bytes) -> None:
    said = ("Dear [EM", "AIL", "_1], [", "x] [EMAIL_2]")
    whole = b": ping" + end + end + sse(*chunks(*said), end=end) + b"data: [DONE]" + end + end

    async def all_cuts() -> set[str]:
        found: set[str] = set()
        for at in range(1, len(whole)):
            script = Script(streaming(whole[:at], whole[at:]))
            raw = await read(await guard(REDACT)(call(body=ASK, streaming=True), script))
            assert raw.startswith(b": ping")
            assert raw.rstrip().endswith(b"data: [DONE]")
            found.add(texts(raw))
        return found

    assert colour.run(all_cuts()) == {f"Dear {BOB}, [x] [EMAIL_2]"}


def test_a_stream_of_single_bytes_without_placeholders_leaves_as_it_came(colour: Colour) -> None:
    whole = sse(*chunks("Hi", " [1] ", "there")) + b"data: [DONE]\n\n"
    parts = [whole[at : at + 1] for at in range(len(whole))]
    assert colour.run(passed(streaming(*parts))) == whole


async def passed(response: Response) -> bytes:
    return await read(await guard(REDACT)(call(body=ASK, streaming=True), Script(response)))


def test_what_was_kept_back_is_told_before_a_stream_breaks(colour: Colour) -> None:
    broken = StreamBroken("cut")
    response = colour.run(
        guard(REDACT)(call(body=ASK, streaming=True), Script(streaming(sse(*chunks("a [EMA")[:1]), cut=broken)))
    )
    assert response.stream is not None
    assert texts(colour.run(response.stream.__anext__())) == "a [EMA"
    with pytest.raises(StreamBroken):
        colour.run(response.stream.__anext__())


def test_leaving_a_stream_leaves_the_one_below(colour: Colour) -> None:
    below = streaming(sse(*chunks("a", "b")))
    response = colour.run(guard(REDACT)(call(body=ASK, streaming=True), Script(below)))
    assert response.stream is not None
    assert below.stream is not None
    colour.run(response.stream.aclose())
    with pytest.raises(StopAsyncIteration):
        colour.run(below.stream.__anext__())


def test_amazons_streams_are_restored(colour: Colour) -> None:
    said = [{"contentBlockIndex": 0, "delta": {"text": text}} for text in ("Dear [EMAIL", "_1]!")]
    parts = [framed("contentBlockDelta", json.dumps(each).encode()) for each in said]
    parts += [framed("messageStop", b'{"stopReason":"end_turn"}'), framed("metadata", b'{"usage":{}}')]
    below = streaming(*parts, dialect="bedrock.converse", kind=CONTENT_TYPE)
    request = call(body=ASK, streaming=True, dialect="bedrock.converse")
    frames = Frames().feed(colour.run(read(colour.run(guard(REDACT)(request, Script(below))))))
    assert [frame.event for frame in frames] == ["contentBlockDelta", "contentBlockDelta", "messageStop", "metadata"]
    assert "".join([json.loads(frame.payload)["delta"]["text"] for frame in frames[:2]]) == f"Dear {BOB}!"


def raw(body: bytes) -> Request:
    return Request(body=Body(body), model="m", notes=call().notes)


TWICE = b'{"model":"m","messages":[{"role":"user","content":"I am bob@example.com","content":"Hi"}]}'


def test_a_body_that_names_a_key_twice_does_not_pass(colour: Colour) -> None:
    """Looked at is the last of the two, and a provider may read the first."""
    script, request = Script(answer()), raw(TWICE)
    for rule in (REDACT, BLOCK):
        with pytest.raises(Blocked, match=r"cannot be checked .* `content` twice"):
            colour.run(guard(rule)(request, script))
    colour.run(guard(DETECT)(request, script))
    assert script.asked == [request]


def test_the_refusal_of_a_key_twice_holds_no_personal_data(colour: Colour) -> None:
    with pytest.raises(Blocked, match="twice") as caught:
        colour.run(guard(BLOCK)(raw(b'{"bob@example.com":1,"bob@example.com":2}'), Script(answer())))
    assert BOB not in str(caught.value)
