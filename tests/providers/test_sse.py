"""The event splitter: cut as you like, the events are the same."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterable

import anthropic._streaming as theirs_anthropic
import openai._streaming as theirs_openai
import pytest
from hypothesis import example, given, strategies as st

from llm_edge.providers import sse
from llm_edge.providers.sse import Splitter

from .exchanges import STREAMS, Exchange

NASTY = (
    "\ufeff: a comment\r\n\r\ndata: one\r\n\r\n"
    "event: named\rdata:  two spaces\rdata: second line\r\rid: 7\nretry: 9\n\n"
    "data\ndata\n\nevent: no data\n\n"
    'data: {"text":"\u2028\u2029\x85 \x0b\x0c é 漢 🎉"}\r\n\r\n\n\ndata:x\n\ndata: [DONE]\n\n'
).encode()


def events(chunks: Iterable[bytes], *, end: bool = True) -> list[tuple[bytes, bytes]]:
    splitter, found = Splitter(), list[sse.Event]()
    for chunk in chunks:
        found += splitter.feed(chunk)
    if end:
        found += splitter.end()
    assert all(whole for _, _, whole in found)
    return [(name, data) for name, data, _ in found]


def by_the_book(content: bytes) -> list[tuple[bytes, bytes]]:
    """The same, slowly and all at once, rule by rule; a last event may lack its empty line."""
    lines = re.split(rb"\r\n|\r|\n", content.removeprefix(b"\xef\xbb\xbf"))
    found, name, data = list[tuple[bytes, bytes]](), b"", list[bytes]()
    for line in [*lines, b""]:
        if not line:
            if data:
                found.append((name, b"\n".join(data)))
            name, data = b"", []
            continue
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return found


def cut(content: bytes, places: Iterable[int]) -> list[bytes]:
    edges = sorted({min(place, len(content)) for place in places} | {0, len(content)})
    return [content[a:b] for a, b in zip(edges, edges[1:], strict=False)]


LINE = st.sampled_from(
    [b"data: x", b"data:y", b"data", b"data: ", b"event: e", b"event", b": note", b"id: 1", b"retry: 5",
     b"other: 1", b"", b"", "data: é\u2028漢".encode(), b'data: {"a":1}', b" data: no", b"data : no", b":"]
)  # fmt: skip
ENDING = st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n"])
TEXT = st.lists(st.tuples(LINE, ENDING)).map(lambda lines: b"".join(line + ending for line, ending in lines))
STREAM = st.one_of(
    st.tuples(st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef\xbb"]), TEXT, LINE).map(b"".join),
    st.text(alphabet="data: event\r\n\ufeff\u2028x", max_size=60).map(str.encode),
)


@given(content=STREAM, places=st.lists(st.integers(0, 400)))
@example(content=b"data: a\r\n\r\ndata: b\r\n\r\n", places=[8, 9, 10])
@example(content=b"\r\n\ndata: a\n\n\n\n", places=[1])
@example(content=b"\xef\xbb\xbfdata: a\n\n", places=[1, 2])
def test_a_stream_cut_anywhere_gives_the_events_of_the_standard(content: bytes, places: list[int]) -> None:
    assert events(cut(content, places)) == by_the_book(content)


@given(contents=st.lists(STREAM, min_size=1, max_size=4))
def test_chunks_that_end_with_an_event_take_the_fast_way_to_the_same_place(contents: list[bytes]) -> None:
    chunks = [b"data: first\n\n", *(content + b"\n\n" for content in contents)]
    assert events(chunks) == by_the_book(b"".join(chunks))


def test_a_nasty_stream_is_the_same_cut_at_every_byte() -> None:
    whole = by_the_book(NASTY)
    assert len(whole) == 6
    assert events([NASTY]) == whole
    assert events(NASTY[at : at + 1] for at in range(len(NASTY))) == whole
    for at in range(len(NASTY)):
        assert events([NASTY[:at], NASTY[at:]]) == whole


@pytest.mark.parametrize("exchange", STREAMS, ids=str)
def test_a_replayed_stream_is_the_same_cut_at_every_byte(exchange: Exchange) -> None:
    content = exchange.content
    whole = by_the_book(content)
    assert events(content[at : at + 1] for at in range(len(content))) == whole
    for at in range(0, len(content), max(1, len(content) // 300)):
        assert events([content[:at], b"", content[at:]]) == whole


def as_sdk(
    decoder: theirs_openai.SSEDecoder | theirs_anthropic.SSEDecoder, content: bytes
) -> list[tuple[bytes, bytes]]:
    found = decoder.iter_bytes(iter([content]))
    return [((each.event or "").encode(), each.data.encode()) for each in found if each.data]


@pytest.mark.parametrize("exchange", [each for each in STREAMS if "loose" not in each.name], ids=str)
def test_the_sdks_see_the_same_events(exchange: Exchange) -> None:
    content = exchange.content + b"\n\n"  # without it the SDKs lose the last event; we do not
    ours = [(name, data) for name, data in events([content]) if data]
    assert as_sdk(theirs_openai.SSEDecoder(), content) == ours
    assert as_sdk(theirs_anthropic.SSEDecoder(), content) == ours


def test_the_end_gives_the_event_that_had_no_empty_line() -> None:
    splitter = Splitter()
    assert splitter.feed(b"data: [DONE]") == []
    assert splitter.pending
    assert list(splitter.end()) == [(b"", b"[DONE]", True)]
    assert not splitter.pending


@pytest.mark.parametrize("half", [b"da", b"data: x", b"data: x\n", b"event: e\n", b"\xef\xbb"])
def test_half_an_event_is_pending(half: bytes) -> None:
    splitter = Splitter()
    splitter.feed(half)
    assert splitter.pending


@pytest.mark.parametrize("quiet", [b"", b"data: x\n\n", b": note\n\n", b"data: x\r\n\r\n", b"id: 1\n"])
def test_between_events_nothing_is_pending(quiet: bytes) -> None:
    splitter = Splitter()
    splitter.feed(quiet)
    assert not splitter.pending


def test_lines_that_are_no_fields_are_told_apart() -> None:
    strays: list[bytes] = []
    Splitter(strays).feed(b'data: x\n: note\nid: 1\nretry: 2\n\n{\n  "error": 1\n}\n')
    assert strays == [b"{", b'  "error": 1', b"}"]


@pytest.mark.parametrize("size", [1, 1000, 65536, 10**7])
def test_a_huge_event_leaves_its_name_and_its_end(size: int) -> None:
    content = b"event: response.completed\ndata: " + b"x" * (3 * sse.LIMIT) + b'"the end"}\n\ndata: next\n\n'
    pieces = (content[at : at + size] for at in range(0, len(content), size))
    if size == 1:
        pieces = iter([content[:-40], *(content[at : at + 1] for at in range(len(content) - 40, len(content)))])
    splitter, found = Splitter(), list[sse.Event]()
    for piece in pieces:
        found += splitter.feed(piece)
    (name, data, whole), after = found
    assert (name, whole, data[-11:]) == (b"response.completed", False, b'x"the end"}')
    assert len(data) <= sse.TAIL
    assert after == (b"", b"next", True)
    assert splitter.oversized == 1


def test_an_event_of_many_lines_is_bounded_too() -> None:
    splitter = Splitter()
    for _ in range(sse.LIMIT // 1000 + 2):
        splitter.feed(b"data: " + b"x" * 1000 + b"\n")
    ((_, data, whole),) = splitter.feed(b"\n")
    assert not whole
    assert len(data) <= sse.TAIL


def test_a_huge_comment_is_still_no_event() -> None:
    splitter = Splitter()
    for _ in range(40):
        assert not splitter.feed(b":" + b"data: x" * 10_000)
    assert splitter.feed(b"\n\ndata: x\n\n") == [(b"", b"x", True)]
    assert splitter.oversized == 0


def test_memory_is_bounded_while_an_event_never_ends() -> None:
    splitter, piece = Splitter(), b"x" * 65536
    splitter.feed(b"data: ")
    tracemalloc.start()
    try:
        for _ in range(400):
            splitter.feed(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * sse.LIMIT
