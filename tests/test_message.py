"""The waist: bodies that keep what they do not understand, headers, and streams that always tell their end."""

from __future__ import annotations

import ast
import gc
import json
import math
import re
import string
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

import llm_edge
from llm_edge import exact
from llm_edge.message import Abandoned, Body, Handler, Headers, OnEnd, Request, Response, Saved, Stream, stack
from llm_edge.notes import Notes
from llm_edge.providers.base import Wire
from llm_edge.stores.entry import Entry

if TYPE_CHECKING:
    from tests.conftest import Colour

WIDE = 2**200
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-WIDE, WIDE)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=12)  # lone surrogates too
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
OBJECTS = st.dictionaries(st.text(st.characters(), max_size=8), VALUES, max_size=5)


def told(value: object) -> str:
    """Everything about a JSON value, so that `1`, `1.0`, `True` and the order of keys are told apart."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key!r}:{told(item)}" for key, item in value.items()) + "}"
    return "[" + ",".join(map(told, value)) + "]" if isinstance(value, list) else repr(value)


# ---------------------------------------------------------------- bodies


@given(OBJECTS)
def test_what_is_written_is_what_was_meant(fields: dict[str, Any]) -> None:
    assert told(Body(Body(json=fields).raw).json) == told(fields)


@given(OBJECTS, st.booleans())
def test_bytes_are_untouched_when_nothing_changes(fields: dict[str, Any], spaced: bool) -> None:
    raw = json.dumps(fields, indent=1 if spaced else None).encode()
    body = Body(raw)
    same = body.with_fields(**{name: value for name, value in json.loads(raw).items() if name.isidentifier()})
    assert same is body
    assert body.raw is raw


@given(OBJECTS, VALUES)
def test_a_change_leaves_every_other_field_as_it_was(fields: dict[str, Any], value: object) -> None:
    changed = Body(json.dumps(fields).encode()).with_fields(model=value)
    assert told(Body(changed.raw).json) == told({**fields, "model": value})


@given(OBJECTS)
def test_a_field_left_out_takes_nothing_else_along(fields: dict[str, Any]) -> None:
    fields |= {"user": "u-1"}
    left = Body(json.dumps(fields).encode()).without_fields("user", "absent")
    del fields["user"]
    assert told(Body(left.raw).json) == told(fields)


def test_leaving_out_what_is_not_there_changes_nothing() -> None:
    body = Body(b'{ "a": 1 }')
    assert body.without_fields("b") is body


@pytest.mark.parametrize(
    ("had", "given"),
    [(1, 1.0), (1.0, 1), (1, True), (True, 1), (0, False), (0.0, -0.0), ([1], [1.0]), ({"a": [0]}, {"a": [False]}),
     (2**64, float(2**64)), (float(2**64), 2**64), (None, False), ("1", 1)],
)  # fmt: skip
def test_values_that_only_python_finds_equal_are_a_change(had: object, given: object) -> None:
    body = Body(json.dumps({"n": had}).encode())
    changed = body.with_fields(n=given)
    assert changed is not body
    assert told(Body(changed.raw).json["n"]) == told(given)


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.booleans(), st.none())))
def test_json_is_read_in_every_coding_of_unicode(coding: str, said: dict[str, object]) -> None:
    raw = json.dumps({**said, "long": 2**70}).encode(coding), json.dumps(said).encode(coding)
    assert [Body(each).json for each in raw] == [{**said, "long": 2**70}, said]


@pytest.mark.parametrize(
    "raw",
    [b"[1]", b'"text"', b"1", b"null", b"", b"{", b'{"a": NaN}', b'{"a": 1e999}',
     b'{"a": 1e999, "b": "1234567890123456789"}',
     b'\xef\xbb\xbf[1]', b"\xef\xbb\xbf", b"\xff\xfe{\x00", b"\0\0\0{",
     b'{"a": "\\ud800", "b": NaN}', b'{"a": "\xff"}', b'{"a": ' + b"9" * 5000 + b"}"],
)  # fmt: skip
def test_what_is_not_a_json_object_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Body(raw).json  # noqa: B018


@pytest.mark.parametrize("value", [math.nan, math.inf, [1, {"a": -math.inf}], (math.nan,)])
def test_a_number_json_has_no_word_for_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        _ = Body(json={"n": value, "long": None}).raw


def test_a_value_json_has_no_word_for_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        _ = Body(json={"n": object()}).raw


@pytest.mark.parametrize("depth", [260, 900])
def test_depth_that_can_be_read_can_be_written(depth: int) -> None:
    raw = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    assert Body(raw).with_fields(b=1).raw == raw[:-1] + b',"b":1}'


def test_a_change_that_json_has_no_word_for_is_a_change() -> None:
    changed = Body(b'{"a": [1]}').with_fields(a=[object()])
    with pytest.raises(TypeError, match="object"):
        _ = changed.raw


def test_depth_beyond_reason_cannot_be_written() -> None:
    deep: list[Any] = []
    for _ in range(200_000):
        deep = [deep]
    with pytest.raises(ValueError, match="deep"):
        _ = Body(json={"a": deep}).raw


def test_depth_beyond_reason_is_a_value_error() -> None:
    raw = b'{"n": 12345678901234567890, "a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    with pytest.raises(ValueError, match="deep"):
        _ = Body(raw).json


SPARSE = st.lists(st.sampled_from(["7", ".", "x" * 18, "x" * 19, "x" * 5, "1" * 18, "2" * 19]), max_size=60)


@given(
    st.binary(max_size=120) | (st.text("0123456789.ab", max_size=120) | SPARSE.map("".join)).map(str.encode),
    st.sampled_from([0, 9000]),
)
def test_long_numbers_are_found_wherever_they_stand(some: bytes, length: int) -> None:
    raw = some * max(length // max(len(some), 1), 1)  # long bodies are looked through another way
    runs = re.findall(rb"\.?[0-9]+", raw)
    assert exact.has_long_number(raw) == any(len(run) >= 19 for run in runs if run[:1] != b".")


@given(
    st.lists(st.from_regex(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,45}([eE][+-]?[0-9]{1,2})?", fullmatch=True), min_size=1)
)
def test_fractions_are_read_as_the_standard_library_reads_them_however_long_they_are(numbers: list[str]) -> None:
    raw = f"[{','.join(numbers)}]".encode()
    assert not exact.has_long_number(raw)
    assert repr(exact.read(raw)) == repr(json.loads(raw))


def test_a_body_shows_its_size_and_not_its_text() -> None:
    assert repr(Body(b'{"a":"secret"}')) == "Body(14 bytes)"
    assert repr(Body(json={"a": "secret"})) == "Body(? bytes)"


def test_a_body_is_made_of_something() -> None:
    with pytest.raises(TypeError, match="bytes or a mapping"):
        Body()


def test_a_request_keeps_its_body_when_nothing_changes() -> None:
    request = Request(body=Body(b'{"model": "m"}'))
    assert request.with_body(model="m") is request
    assert request.with_body(model="n").body.json["model"] == "n"


# ---------------------------------------------------------------- headers

NAMES = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=6)
PAIRS = st.lists(st.tuples(NAMES, st.text(st.characters(max_codepoint=255), max_size=6)), max_size=6)


@given(PAIRS)
def test_a_header_is_found_however_it_is_spelled(pairs: list[tuple[str, str]]) -> None:
    headers = Headers(pairs)
    for name, _ in pairs:
        repeats = ", ".join(value for other, value in pairs if other.lower() == name.lower())
        assert headers[name.upper()] == headers[name.lower()] == repeats
        assert name.swapcase() in headers
    assert headers.pairs == tuple(pairs)
    assert list(headers) == list(dict.fromkeys(name.lower() for name, _ in pairs))
    assert len(headers) == len(list(headers))


@given(PAIRS, NAMES, st.text(max_size=4))
def test_setting_a_header_takes_the_place_of_its_repeats(pairs: list[tuple[str, str]], name: str, value: str) -> None:
    headers = Headers(pairs).having({name: value})
    assert headers[name] == value
    assert [pair for pair in headers.pairs if pair[0].lower() != name.lower()] == [
        pair for pair in pairs if pair[0].lower() != name.lower()
    ]


some_pairs = st.lists(st.tuples(st.sampled_from(["A", "a", "b", "X-C"]), st.sampled_from(["1", "2"])), max_size=5)


@given(some_pairs, st.lists(st.sampled_from(["a", "B", "x-c", "d"]), max_size=3), some_pairs, st.booleans())
def test_fields_that_are_left_out_or_added_leave_the_others_as_they_are_found(
    pairs: list[tuple[str, str]], names: list[str], added: list[tuple[str, str]], looked: bool
) -> None:
    headers, unwanted = Headers(pairs), {name.lower() for name in names}
    assert not looked or len(headers) == len({name.lower() for name, _ in pairs})  # found once, and kept so
    rest = headers.without(*names)
    assert rest.pairs == tuple(pair for pair in pairs if pair[0].lower() not in unwanted)
    more = [(name.lower(), value) for name, value in added]
    both = rest.followed_by(more)
    assert both.pairs == (*rest.pairs, *more)
    for made in (rest, both, headers):
        assert list(made.items()) == list(Headers(made.pairs).items())


def test_headers_that_lose_nothing_stay_what_they_are() -> None:
    headers = Headers({"A": "1"})
    assert headers.without("b") is headers
    assert headers.without("a").pairs == ()


def test_headers_show_names_and_no_values() -> None:
    assert repr(Headers([("Authorization", "Bearer sk-1"), ("X-A", "secret")])) == "Headers(authorization, x-a)"
    assert 1 not in Headers({"a": "1"})


# ---------------------------------------------------------------- streams


class Source:
    """Gives its items one after the other; an exception among them is raised. `steps` awaits are made by each."""

    def __init__(self, *items: bytes | BaseException, closing: BaseException | None = None) -> None:
        self.items = list(items)
        self.closing = closing
        self.asked = self.closed = 0

    async def __anext__(self) -> bytes:
        self.asked += 1
        if not self.items:
            raise StopAsyncIteration
        item = self.items.pop(0)
        if isinstance(item, BaseException):
            raise item
        return item

    async def aclose(self) -> None:
        self.closed += 1
        if self.closing is not None:
            raise self.closing


class Watch:
    """A dialect of three words: `end` is the terminal event, `bad` an error sent inside, anything else is text."""

    def __init__(self, *, whole: bool = False) -> None:
        self.complete, self.events = False, 0
        self.failure: Exception | None = None
        self.usage: Mapping[str, Any] | None = None
        self.finished: list[str] = []
        self._whole = whole

    def feed(self, chunk: bytes, /) -> None:
        if chunk == b"boom":
            raise RuntimeError("the watcher failed")
        self.events += 1
        self.complete = self.complete or chunk == b"end"
        if chunk == b"bad":
            self.failure = LookupError("sent inside")

    def end(self) -> Exception | None:
        return None if self.complete or self.failure or self._whole else EOFError("cut short")


class Ear:
    """Remembers what it heard."""

    def __init__(self) -> None:
        self.heard_all: list[bytes] = []
        self.ends: list[BaseException | None] = []

    def heard(self, chunk: bytes, /) -> None:
        self.heard_all.append(chunk)

    def ended(self, error: BaseException | None, /) -> None:
        self.ends.append(error)


async def read(stream: Stream, most: int = 99) -> list[bytes]:
    got: list[bytes] = []
    async for chunk in stream:
        got.append(chunk)
        if len(got) == most:
            break
    return got


async def read_and_close(stream: Stream, most: int = 99) -> list[bytes]:
    try:
        return await read(stream, most)
    finally:
        await stream.aclose()
        await stream.aclose()


@pytest.mark.parametrize(
    ("items", "most", "end"),
    [
        ((b"a", b"end"), 99, None),  # read to the end
        ((b"a", b"end"), 2, None),  # closed at the terminal event, as SDKs do
        ((b"a", b"b", b"end"), 1, Abandoned),  # the caller left
        ((b"a", b"end"), 0, Abandoned),
        ((b"a",), 99, EOFError),  # the bytes ended too early
        ((), 99, EOFError),
        ((b"a", OSError("cut")), 99, OSError),
        ((b"a", KeyboardInterrupt()), 99, Abandoned),
        ((b"a", b"bad"), 99, LookupError),  # the provider said so itself
        ((b"a", b"bad", b"end"), 99, LookupError),
        ((b"bad", b"b"), 1, LookupError),
        ((b"a", b"boom", b"b"), 99, RuntimeError),
    ],
)
def test_a_stream_tells_its_end_exactly_once(
    colour: Colour, items: tuple[Any, ...], most: int, end: type[BaseException] | None
) -> None:
    source, ears = Source(*items), [Ear(), Ear()]
    stream = Stream(source, Watch())
    for ear in ears:
        stream.listen(ear)
    try:
        colour.run(read_and_close(stream, most) if most else stream.aclose())
    except BaseException as error:
        assert isinstance(error, (end or (), KeyboardInterrupt))
    for ear in ears:
        assert [type(error) for error in ear.ends] == [end or type(None)]
        assert (
            ear.heard_all
            == [item for item in items if isinstance(item, bytes) and item != b"boom"][: len(ear.heard_all)]
        )
    assert source.closed == 1
    assert colour.run(read(stream)) == []


def test_after_the_terminal_event_the_source_is_not_asked_again(colour: Colour) -> None:
    source = Source(b"a", b"end", b"never")
    assert colour.run(read(Stream(source, Watch()))) == [b"a", b"end"]
    assert (source.asked, source.closed) == (2, 1)


def test_a_stream_cut_short_is_an_error_for_the_reader(colour: Colour) -> None:
    with pytest.raises(EOFError, match="cut short"):
        colour.run(read(Stream(Source(b"a"), Watch())))


def test_an_error_sent_inside_reaches_the_reader_as_it_came(colour: Colour) -> None:
    assert colour.run(read(Stream(Source(b"a", b"bad"), Watch()))) == [b"a", b"bad"]


def test_a_stream_of_bytes_ends_when_they_end(colour: Colour) -> None:
    stream, ear = Stream(Saved([b"a", b"b"])), Ear()
    stream.listen(ear)
    assert colour.run(read(stream)) == [b"a", b"b"]
    assert ear.ends == [None]


def test_a_stream_that_is_dropped_tells_its_end(colour: Colour) -> None:
    ear = Ear()
    stream = Stream(Source(b"a", b"b"), Watch())
    stream.listen(ear)
    colour.run(read(stream, 1))
    del stream
    gc.collect()
    assert [type(end) for end in ear.ends] == [Abandoned]


@pytest.mark.parametrize(("word", "end"), [(b"end", type(None)), (b"bad", LookupError)])
def test_a_stream_that_is_dropped_at_its_end_ended_as_it_says(colour: Colour, word: bytes, end: type) -> None:
    ear = Ear()
    stream = Stream(Source(word), Watch())
    stream.listen(ear)
    colour.run(read(stream, 1))
    del stream
    gc.collect()
    assert [type(told) for told in ear.ends] == [end]


def test_a_listener_that_comes_too_late_is_told_at_once(colour: Colour) -> None:
    stream, late = Stream(Source(b"a"), Watch()), Ear()
    with pytest.raises(EOFError):
        colour.run(read(stream))
    stream.listen(late)
    assert [type(end) for end in late.ends] == [EOFError]


def test_listeners_are_told_from_the_last_to_the_first(colour: Colour) -> None:
    order: list[int] = []
    stream = Stream(Saved([]))
    for number in range(3):
        stream.listen(OnEnd(lambda error, number=number: order.append(number)))  # type: ignore[misc]  # a default binds it
    colour.run(stream.aclose())
    assert order == [2, 1, 0]


class Deaf(Ear):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def heard(self, chunk: bytes, /) -> None:
        raise self.error

    ended = heard  # type: ignore[assignment]  # it fails whatever it is told


def test_a_listener_that_fails_costs_no_byte(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    stream, ears = Stream(Source(b"a", b"end"), Watch()), [Ear(), Ear()]
    for ear in (ears[0], Deaf(ValueError("mine")), ears[1]):
        stream.listen(ear)
    assert colour.run(read(stream)) == [b"a", b"end"]
    assert [ear.ends for ear in ears] == [[None], [None]]
    assert caplog.text.count("a stream listener failed") == 3


def test_an_interrupt_inside_a_listener_leaves_nobody_untold(colour: Colour) -> None:
    stream, ears = Stream(Source(b"end"), Watch()), [Ear(), Ear()]
    deaf = Deaf(KeyboardInterrupt())
    deaf.heard = lambda chunk, /: None  # type: ignore[method-assign]  # only the end interrupts
    for ear in (ears[0], deaf, ears[1]):
        stream.listen(ear)
    with pytest.raises(KeyboardInterrupt):
        colour.run(read(stream))
    assert [ear.ends for ear in ears] == [[None], [None]]


@pytest.mark.parametrize("words", [(b"a", b"end"), (b"a",), (OSError("cut"),)])
def test_a_source_that_fails_to_close_hides_nothing(colour: Colour, words: tuple[Any, ...]) -> None:
    ends: list[type | None] = []
    for closing in (None, ConnectionError("while closing")):
        try:
            colour.run(read(Stream(Source(*words, closing=closing), Watch())))
            ends.append(None)
        except Exception as error:
            ends.append(type(error))
    assert ends[0] == ends[1]


class Slow(Source):
    """Every act takes three waits; it can be cancelled at each of them."""

    async def __anext__(self) -> bytes:
        await three_waits()
        return await super().__anext__()

    async def aclose(self) -> None:
        self.closed += 1
        await three_waits()


class Wait:
    def __await__(self) -> Any:
        yield


async def three_waits() -> None:
    for _ in range(3):
        await Wait()


class Cancelled(BaseException):
    """Stands for asyncio's, which is no Exception either."""


def throw_at(work: Any, step: int) -> bool:
    """Drive a coroutine and cancel it at one of its waits; False when it has fewer."""
    try:
        for _ in range(step + 1):
            work.send(None)
    except StopIteration:
        return False
    with pytest.raises(Cancelled):
        run_out(work, Cancelled())
    return True


def run_out(work: Any, thrown: BaseException | None = None) -> None:
    """All the waits of a coroutine to its end; it may still wait for its source to close."""
    try:
        if thrown is not None:
            work.throw(thrown)
        while True:
            work.send(None)
    except StopIteration:
        return


@pytest.mark.parametrize("words", [(b"a", b"end"), (b"a", b"bad"), (b"a",)])
def test_cancelled_at_any_wait_a_stream_tells_its_end_once_and_can_be_closed(words: tuple[bytes, ...]) -> None:
    step = 0
    while True:
        source, ear = Slow(*words), Ear()
        stream = Stream(source, Watch(whole=True))
        stream.listen(ear)
        if not throw_at(read(stream), step):
            break
        run_out(stream.aclose())
        assert len(ear.ends) == 1, step
        assert source.closed, step
        step += 1
    assert step >= 9


def test_closed_by_another_thread_a_stream_tells_its_end_once() -> None:
    for _ in range(200):
        ear, stream = Ear(), Stream(Saved([b"a"]))
        stream.listen(ear)
        together = threading.Barrier(2)

        def close(stream: Stream = stream, together: threading.Barrier = together) -> None:
            together.wait()
            run_out(stream.aclose())

        threads = [threading.Thread(target=close) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ear.ends) == 1


# ---------------------------------------------------------------- answers and layers


@pytest.mark.parametrize("streamed", [False, True])
def test_finally_runs_when_the_answer_is_over(colour: Colour, streamed: bool) -> None:
    ends: list[BaseException | None] = []
    stream = Stream(Saved([b"a"])) if streamed else None
    response = Response(status=200, body=None if streamed else Body(b"{}"), stream=stream)
    response.finally_(ends.append)
    assert ends == ([] if streamed else [None])
    if stream is not None:
        colour.run(read(stream))
    assert ends == [None]


def test_the_first_layer_sees_the_request_first_and_the_answer_last(colour: Colour) -> None:
    seen: list[str] = []

    def layer(name: str) -> Callable[[Request, Handler], Any]:
        async def act(request: Request, handler: Handler, /) -> Response:
            seen.append(f"{name} down")
            response = await handler(request)
            seen.append(f"{name} up")
            return response

        return act

    async def bottom(request: Request, /) -> Response:
        seen.append("bottom")
        return Response(status=200)

    colour.run(stack([layer("a"), layer("b")], bottom)(Request(body=Body(b"{}"))))
    assert seen == ["a down", "b down", "bottom", "b up", "a up"]


def test_a_call_with_a_deadline_is_the_same_call_in_all_else():
    call = Request(body=Body(b"{}"), model="m", url="http://h/x", timeout=3.0, scope="s", streaming=True)
    before = replace(call)
    assert call.due(5.0) == replace(before, deadline=5.0)
    assert call.due(7.0) == replace(before, deadline=7.0)


FIELDS = [each.name for each in fields(Request)]


def test_a_call_asked_once_more_is_the_same_but_for_its_story() -> None:
    values: dict[str, Any] = {name: object() for name in FIELDS}
    one, notes = Request(**values), Notes()
    again = one.anew(notes)
    assert {name: getattr(again, name) for name in FIELDS} == {**values, "notes": notes}
    assert again is not one


NEVER_SET = {Request: ("request", "call", "asked", "fetched"), Entry: ("entry", "known"), Wire: ("wire",)}
"""Not frozen, since that costs each call something; and what they are called where they are met."""


@pytest.fixture(scope="module")
def set_somewhere() -> list[tuple[str, str, str]]:
    """Each attribute the package sets: on what, its name, and the file."""
    return [
        (
            node.value.id if isinstance(node.value, ast.Name) else ast.unparse(node.value),
            node.attr,
            file.name,
        )
        for file in sorted(Path(llm_edge.__file__).parent.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    ]


@pytest.mark.parametrize("kind", NEVER_SET, ids=lambda kind: kind.__name__)
def test_nobody_sets_a_field_of_what_others_hold_too(
    kind: type[Any], set_somewhere: list[tuple[str, str, str]]
) -> None:
    names = {each.name for each in fields(kind)}
    assert len(set_somewhere) > 1000
    assert [
        (base, name, where) for base, name, where in set_somewhere if name in names and base.endswith(NEVER_SET[kind])
    ] == []
