"""The innermost hop over an engine made of lists: what it accepts, what it refuses, what it writes down."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from llm_edge.errors import BadAnswer, BadRequest, NetworkFailed, Overloaded, StreamBroken, Unauthorized
from llm_edge.http.hop import Hop
from llm_edge.http.sender import Answer, Patience
from llm_edge.http.senders.faults import failed
from llm_edge.layers.deadline import Allowed
from llm_edge.layers.rules import Rules
from llm_edge.message import Body, Headers, Request, Response, Stream
from llm_edge.providers.addressed import Addressed
from llm_edge.providers.base import Target, Wire
from llm_edge.providers.dialects import by_name
from llm_edge.runtime import Blocking, FakeClock, GivenUp, Runtime, Signal

JSON, EVENTS, PAGE = "application/json", "text/event-stream", "text/html"
USED = b'{"prompt_tokens":1,"completion_tokens":2}'
WHOLE = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":%b}' % USED
FIRST = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
LAST = b'data: {"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


class Source:
    """Bytes, and perhaps an error where they end."""

    def __init__(self, *chunks: bytes | Exception) -> None:
        self.left = list(chunks)
        self.closed = False

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        chunk = self.left.pop(0)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    async def aclose(self) -> None:
        self.closed = True


class Engine:
    """Answers what it was told to, and remembers what it was asked."""

    name = "lists"

    def __init__(
        self, status: int, kind: str, *chunks: bytes | Exception, patient: bool = True, **headers: str
    ) -> None:
        self.source = Source(*chunks)
        fields = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        self.answer = Answer(status, Headers(fields), self.source, patient=patient)
        self.asked: list[tuple[Wire, Patience]] = []

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        self.asked.append((wire, patience))
        return self.answer

    async def aclose(self) -> None: ...


def hop(engine: Engine, colour: Any, *, addressed: bool = True, **allowed: Any) -> Hop:
    return Hop(
        adapter=Addressed(), target=Target(provider="p", model="m", addressed=addressed), dialect=by_name, send=engine,
        runtime=colour.runtime(FakeClock()), allowed=Rules(Allowed(**allowed), {}),
    )  # fmt: skip


def ask(streaming: bool = False, dialect: str = "openai.chat", **fields: Any) -> Request:
    url = "http://p.test/v1/chat/completions"
    return Request(body=Body(b"{}"), model="m", dialect=dialect, streaming=streaming, url=url, **fields)


def told(colour: Any, engine: Engine, request: Request, **given: Any) -> Response:
    got: Response = colour.ask(hop(engine, colour, **given), request)
    return got


def read(colour: Any, stream: Stream | None) -> list[bytes]:
    assert stream is not None

    async def all_of_it() -> list[bytes]:
        return [chunk async for chunk in stream]

    chunks: list[bytes] = colour.run(all_of_it())
    return chunks


def test_a_whole_answer_is_read_and_its_usage_noted(colour: Any) -> None:
    request, engine = ask(), Engine(200, JSON, WHOLE[:20], WHOLE[20:])
    response = told(colour, engine, request)
    assert response.body is not None
    assert response.body.raw == WHOLE
    assert engine.source.closed
    assert request.notes.usage is not None
    assert request.notes.usage["total_tokens"] == 3
    assert [(each.target, each.outcome, each.status) for each in request.notes.attempts] == [("p/m", "ok", 200)]


class Prompt(Engine):
    """Has the whole body when it has the head; there is nothing left to read."""

    def __init__(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        super().__init__(status, kind, failed("ReadError"), patient=True, **headers)
        self.answer.at_once = lambda: body


def test_a_body_that_came_with_its_head_is_taken_and_not_waited_for(colour: Any) -> None:
    request, engine = ask(), Prompt(200, JSON, WHOLE)
    response = told(colour, engine, request)
    assert response.body is not None
    assert response.body.raw == WHOLE
    assert engine.source.left != []
    with pytest.raises(Overloaded, match="busy"):
        told(colour, Prompt(503, JSON, b'{"error":{"message":"busy"}}'), ask())


def test_a_body_that_came_with_its_head_may_be_no_larger_than_others(colour: Any) -> None:
    small = replace(hop(Prompt(200, JSON, WHOLE), colour), largest=len(WHOLE) - 1)
    request = ask()
    with pytest.raises(NetworkFailed, match="max_body") as caught:
        colour.ask(small, request)
    assert caught.value.kind == "DecodingError"
    assert request.notes.attempts[0].outcome == "NetworkFailed"


def test_what_is_compressed_or_streamed_is_read_as_it_comes_though_it_be_here(colour: Any) -> None:
    with pytest.raises(NetworkFailed):
        told(colour, Prompt(200, JSON, WHOLE, content_encoding="gzip"), ask())
    with pytest.raises(NetworkFailed):
        told(colour, Prompt(200, EVENTS, FIRST + LAST + DONE), ask(streaming=True))


@pytest.mark.parametrize(
    ("engine", "kind", "words"),
    [
        (Engine(200, PAGE, b"<html>"), BadAnswer, "HTML where JSON was due"),
        (Engine(200, JSON, b'{"choices": ['), BadAnswer, "something where JSON was due"),
        (Engine(200, JSON, b"[]"), BadAnswer, "where JSON was due"),
        (Engine(200, JSON), BadAnswer, "where JSON was due"),
        (Engine(200, JSON, b'{"error":{"message":"broke","code":500}}'), Overloaded, "broke"),
        (Engine(503, JSON, b'{"error":{"message":"busy"}}'), Overloaded, "busy"),
        (Engine(400, JSON, b'{"error":{"message":"odd"}}'), BadRequest, "odd"),
        (Engine(200, JSON, WHOLE[:9], failed("ReadError")), NetworkFailed, "broke"),
    ],
)
def test_what_is_no_answer_is_raised_while_another_may_be_asked(
    colour: Any, engine: Engine, kind: Any, words: str
) -> None:
    engine = Engine(engine.answer.status, engine.answer.headers["content-type"], *engine.source.left)
    request = ask()
    with pytest.raises(kind, match=words) as caught:
        told(colour, engine, request)
    assert engine.source.closed
    assert (caught.value.target, caught.value.attempts) == ("p/m", 1)
    assert request.notes.attempts[0].outcome == type(caught.value).__name__


def test_a_redirect_of_a_configured_target_is_refused_and_of_an_addressed_one_passed_on(colour: Any) -> None:
    with pytest.raises(BadAnswer, match="never redirected"):
        told(colour, Engine(307, JSON, location="http://q.test/"), ask(), addressed=False)
    response = told(colour, Engine(307, JSON, location="http://q.test/"), ask())
    assert (response.status, response.headers["location"]) == (307, "http://q.test/")


def test_a_stream_goes_by_and_is_noted_at_its_end(colour: Any) -> None:
    request, engine = ask(True), Engine(200, EVENTS, FIRST, LAST, DONE)
    response = told(colour, engine, request)
    assert request.notes.attempts[0].outcome == "in flight"
    assert read(colour, response.stream) == [FIRST, LAST, DONE]
    assert request.notes.attempts[0].outcome == "ok"
    assert engine.source.closed


def test_the_first_event_goes_out_before_those_that_came_along_are_read(colour: Any) -> None:
    response = told(colour, Engine(200, EVENTS, FIRST + LAST + DONE), ask(True))
    stream = response.stream
    assert stream is not None

    async def seen() -> list[tuple[bytes, int]]:
        return [(chunk, stream.watcher.events) async for chunk in stream]

    assert colour.run(seen()) == [(FIRST, 1), (LAST + DONE, 3)]


def test_what_comes_before_the_first_event_goes_along_with_it(colour: Any) -> None:
    response = told(colour, Engine(200, EVENTS, b": ping\n\n" + FIRST, LAST, DONE), ask(True))
    assert b"".join(read(colour, response.stream)) == b": ping\n\n" + FIRST + LAST + DONE


@pytest.mark.parametrize("began", [b"", b": ping\n\n", FIRST[:20]])
def test_a_stream_that_ends_before_its_first_event_is_no_answer(colour: Any, began: bytes) -> None:
    with pytest.raises(BadAnswer, match="before the first event"):
        told(colour, Engine(200, EVENTS, began), ask(True))


def test_a_stream_that_begins_with_an_error_is_no_answer(colour: Any) -> None:
    with pytest.raises(Overloaded, match="busy"):
        told(colour, Engine(200, EVENTS, b'data: {"error":{"message":"busy","code":503}}\n\n'), ask(True))


def test_one_object_where_a_stream_was_asked_is_no_answer(colour: Any) -> None:
    with pytest.raises(BadAnswer, match="where a stream was asked"):
        told(colour, Engine(200, JSON, WHOLE), ask(True))


@pytest.mark.parametrize("end", [None, failed("ReadError")])
def test_a_stream_cut_short_is_broken(colour: Any, end: Exception | None) -> None:
    request, engine = ask(True), Engine(200, EVENTS, FIRST, *([end] if end else []))
    response = told(colour, engine, request)
    with pytest.raises(StreamBroken):
        read(colour, response.stream)
    assert request.notes.attempts[0].outcome == "StreamBroken"
    assert engine.source.closed


@pytest.mark.parametrize("patient", [True, False])
def test_after_the_last_event_the_connection_is_read_to_its_end_where_that_cannot_hold_us_up(
    colour: Any, patient: bool
) -> None:
    engine = Engine(200, EVENTS, FIRST, LAST, DONE, b": the end of the chunks\n\n", patient=patient)
    response = told(colour, engine, ask(True))
    assert read(colour, response.stream) == [FIRST, LAST, DONE]
    assert (engine.source.left == []) is patient
    assert engine.source.closed


def test_what_we_do_not_know_passes_with_its_errors(colour: Any) -> None:
    engine = Engine(503, PAGE, b"\x1f\x8b", failed("ReadError"), content_encoding="gzip")
    response = told(colour, engine, ask(dialect="opaque", operation="opaque"))
    assert (response.status, response.headers["content-encoding"]) == (503, "gzip")
    with pytest.raises(NetworkFailed):
        read(colour, response.stream)


def test_the_engine_is_told_when_to_give_up(colour: Any) -> None:
    engine = Engine(200, JSON, WHOLE)
    told(colour, engine, ask(deadline=7.0))
    _, patience = engine.asked[0]
    assert (patience.total, patience.remaining(), patience.silence) == (7.0, 7.0, None)


def test_events_buy_time_and_comments_do_not(colour: Any) -> None:
    engine = Engine(200, EVENTS, FIRST, b": ping\n\n", b": ping\n\n", LAST, DONE)
    made = hop(engine, colour, idle=5.0, first_token=3.0)
    clock: Any = made.runtime.clock
    response: Response = colour.ask(made, ask(True, deadline=100.0))
    patience = engine.asked[0][1]
    assert patience.remaining() == 3.0
    assert response.stream is not None
    left: list[float | None] = []
    for _ in range(4):
        colour.run(response.stream.__anext__())
        left.append(patience.remaining())
        clock.advance(1.0)
    assert left == [3.0, 5.0, 4.0, 3.0]


class Slow(Engine):
    """Time passes, and the wait for the answer or for its bytes ends in a timeout."""

    def __init__(self, clock: FakeClock, seconds: float, *before: bytes) -> None:
        super().__init__(200, EVENTS if before else JSON, *before, failed("ReadTimeout", "late"))
        self._clock, self._seconds = clock, seconds

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        answer = await super().__call__(wire, patience)
        self._clock.advance(self._seconds)
        return answer


@pytest.mark.parametrize(("seconds", "late"), [(10.2, False), (10.3, True)])
def test_a_timeout_noticed_long_after_it_was_due_tells_nothing_of_the_provider(
    colour: Any, seconds: float, late: bool
) -> None:
    clock = FakeClock()
    the = replace(hop(Slow(clock, seconds), colour), runtime=Blocking(clock))
    with pytest.raises(NetworkFailed) as caught:
        colour.run(the(ask(deadline=10.0)))
    assert (caught.value.late, caught.value.ours) == (late, late)


@pytest.mark.parametrize(("seconds", "late"), [(10.2, False), (10.3, True)])
def test_a_stream_given_up_by_a_busy_process_tells_nothing_of_the_provider(
    colour: Any, seconds: float, late: bool
) -> None:
    clock = FakeClock()
    the = replace(hop(Slow(clock, seconds, FIRST), colour), runtime=Blocking(clock))
    stream = colour.run(the(ask(streaming=True, deadline=10.0))).stream
    with pytest.raises(StreamBroken) as caught:
        read(colour, stream)
    assert caught.value.late == late


@pytest.mark.parametrize(
    ("streaming", "deadline", "allowed", "moment"),
    [
        (False, 30.0, {"attempt": 8.0}, 8.0),
        (False, 6.0, {"attempt": 8.0}, 6.0),
        (False, None, {"attempt": 8.0}, 8.0),
        (True, 120.0, {"attempt": 8.0, "first_token": 20.0}, 8.0),
        (True, 120.0, {"attempt": 8.0, "first_token": 2.0}, 2.0),
        (True, 120.0, {"attempt": 8.0, "first_token": None}, 8.0),
        (True, 120.0, {"first_token": None}, 120.0),
    ],
)
def test_one_attempt_has_its_own_time_and_never_more_than_the_call(
    colour: Any, streaming: bool, deadline: float | None, allowed: dict[str, Any], moment: float
) -> None:
    engine = Engine(500, JSON, b"{}")
    with pytest.raises(Overloaded):
        colour.run(hop(engine, colour, **allowed)(ask(streaming=streaming, deadline=deadline)))
    assert engine.asked[0][1].moment == moment


class Password:
    """Shows `password`, and has another one so many times."""

    def __init__(self, more: int = 0) -> None:
        self.more = more

    async def show(self, wire: Wire, runtime: Runtime, seconds: float | None, /) -> Wire:
        assert seconds is not None, "a call has an end, and what waits is told of it"
        return replace(wire, headers=wire.headers.having({"authorization": "Bearer password"}))

    def refused(self, wire: Wire, /) -> bool:
        assert wire.headers["authorization"] == "Bearer password"
        self.more -= 1
        return self.more >= 0


def test_a_credential_is_shown_and_asked_for_anew_where_it_is_not_taken(colour: Any) -> None:
    credential = Password(more=1)
    engine = Engine(401, JSON, b'{"error":{"message":"who are you"}}')
    for retryable in (True, False):
        with pytest.raises(Unauthorized) as told:
            colour.ask(replace(hop(engine, colour), credential=credential), ask(deadline=9.0))
        assert told.value.retryable is retryable
        engine.source.left.append(b'{"error":{"message":"who are you"}}')
    assert [wire.headers["authorization"] for wire, _ in engine.asked] == ["Bearer password"] * 2


def test_what_nobody_waits_for_any_more_is_not_sent(colour: Any) -> None:
    engine, request = Engine(200, JSON, WHOLE), ask()
    request.notes.recall = recall = Signal()
    recall.set()
    with pytest.raises(GivenUp):
        told(colour, engine, request)
    assert (engine.asked, request.notes.attempts) == ([], [])


class Pieces(Source):
    """A file that takes a minute for each piece."""

    def __init__(self, engine: Loading, *pieces: bytes) -> None:
        super().__init__(*pieces)
        self.engine = engine

    async def __anext__(self) -> bytes:
        self.engine.waits.append(self.engine.asked[0][1].remaining())
        self.engine.clock.advance(60.0)
        return await super().__anext__()


class Loading(Engine):
    """Sends a body piece by piece; remembers how long it might wait for each, and after it."""

    def __init__(self) -> None:
        super().__init__(200, JSON, b"{}")
        self.waits: list[float | None] = []
        self.clock: Any = None

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        answer = await super().__call__(wire, patience)
        assert wire.upload is not None
        with suppress(StopAsyncIteration):
            while await wire.upload.__anext__():
                self.waits.append(patience.remaining())
                self.clock.advance(2.0)  # the other side takes it slowly
        return answer


@pytest.mark.parametrize(("timeout", "each"), [(5.0, 5.0), (None, 600.0)])
def test_a_body_that_is_sent_piece_by_piece_may_take_long_as_long_as_it_moves(
    colour: Any, timeout: float | None, each: float
) -> None:
    engine = Loading()
    made = hop(engine, colour, untouched=600.0)
    engine.clock = made.runtime.clock
    request = ask(dialect="opaque", operation="opaque", timeout=timeout, upload=Pieces(engine, b"a", b"b"))
    response: Response = colour.ask(made, request)
    assert engine.waits == [None, each, None, each, None]  # making a piece is the app's own affair
    assert engine.asked[0][1].remaining() == each
    assert read(colour, response.stream) == [b"{}"]


def test_what_passes_untouched_without_a_timeout_is_bounded_all_the_same(colour: Any) -> None:
    engine = Engine(200, JSON, b"a", b"b")
    made = hop(engine, colour, untouched=600.0)
    clock: Any = made.runtime.clock
    response: Response = colour.ask(made, ask(dialect="opaque", operation="opaque"))
    patience = engine.asked[0][1]
    assert (patience.total, patience.remaining(), patience.silence) == (None, 600.0, 600.0)
    clock.advance(599.0)
    assert response.stream is not None
    colour.run(response.stream.__anext__())
    assert patience.remaining() == 600.0


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_an_answer_in_another_coding_of_unicode_is_understood(colour: Any, coding: str) -> None:
    """JSON should travel as UTF-8 without a mark; every SDK reads what does not."""
    request, sent = ask(), WHOLE.decode().encode(coding)
    response = told(colour, Engine(200, JSON, sent), request)
    assert response.body is not None
    assert response.body.raw == sent
    assert request.notes.usage is not None
    assert request.notes.usage["total_tokens"] == 3
    busy = b'{"error":{"message":"busy"}}'.decode().encode(coding)
    with pytest.raises(Overloaded, match="busy"):
        told(colour, Engine(503, JSON, busy), ask())


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("kind", [EVENTS, JSON, "", "text/plain"])
def test_a_stream_is_a_stream_whatever_its_headers_say(colour: Any, kind: str, status: int) -> None:
    """Home-made servers say 201, or that their events are JSON; SDKs look at the bytes alone."""
    engine = Engine(status, kind, b" \n", b"\n" + FIRST, LAST, DONE)
    response = told(colour, engine, ask(True))
    assert response.status == status
    assert b"".join(read(colour, response.stream)).strip() == (FIRST + LAST + DONE).strip()


@pytest.mark.parametrize("whole", [WHOLE, b" " + WHOLE, b"", b" ", b"[]"])
def test_json_where_a_stream_was_asked_is_no_stream(colour: Any, whole: bytes) -> None:
    engine = Engine(200, JSON, whole)
    with pytest.raises(BadAnswer, match=r"one JSON object|JSON was due"):
        told(colour, engine, ask(True))
    assert engine.source.closed
