"""Properties of the parts without sockets: the request reader and the row of acts."""

from __future__ import annotations

from hypothesis import given, strategies as st

from llm_edge.testing.acts import Act, At, Break, Bytes, End, Faults, Head, Hold, Wait, acts_of
from llm_edge.testing.call import Headers
from llm_edge.testing.dialects.frames import Reply
from llm_edge.testing.http1 import RequestReader
from llm_edge.testing.says import vector_for

frames = st.lists(st.binary(min_size=1, max_size=20), max_size=6).map(tuple)


def body(acts: list[Act]) -> bytes:
    return b"".join(act.data for act in acts if isinstance(act, Bytes))


@given(bodies=st.lists(st.binary(max_size=40), min_size=1, max_size=4), chunked=st.booleans(), data=st.data())
def test_requests_are_the_same_however_the_bytes_arrive(
    bodies: list[bytes], chunked: bool, data: st.DataObject
) -> None:
    wire = b""
    for sent in bodies:
        if chunked:
            framed = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in (sent[:7], sent[7:]) if piece)
            wire += b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"
        else:
            wire += b"POST /x HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(sent) + sent
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    reader, found = RequestReader("http://here"), []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        reader.feed(wire[start:end])
        while (asked := reader.next()) is not None:
            found.append(asked.body)
    assert found == bodies


@given(frames=frames, at=st.integers(0, 150), drip=st.none() | st.integers(1, 9), pace=st.booleans())
def test_a_stall_anywhere_loses_and_moves_nothing(
    frames: tuple[bytes, ...], at: int, drip: int | None, pace: bool
) -> None:
    hold = Hold()
    faults = Faults(hold=(At(after_bytes=at), hold), drip=(drip, 1.0) if drip else None, pace=1.0 if pace else 0.0)
    acts = acts_of(Reply(200, (), frames, streamed=True), faults)
    whole = b"".join(frames)
    assert body(acts) == whole
    assert body(acts[: acts.index(hold)]) == whole[:at]
    assert acts[-1] == End()


@given(frames=frames, at=st.integers(0, 150), drip=st.none() | st.integers(1, 9))
def test_a_cut_anywhere_brings_exactly_what_comes_before_it(
    frames: tuple[bytes, ...], at: int, drip: int | None
) -> None:
    faults = Faults(cut=(At(after_bytes=at), Break()), drip=(drip, 1.0) if drip else None)
    acts = acts_of(Reply(200, (), frames, streamed=True), faults)
    assert body(acts) == b"".join(frames)[:at]
    assert acts[-1] == Break()


@given(frames=frames, count=st.integers(0, 8))
def test_events_and_bytes_name_the_same_places(frames: tuple[bytes, ...], count: int) -> None:
    reply = Reply(200, (), frames, streamed=True)
    in_events = acts_of(reply, Faults(cut=(At(after_events=count), Break())))
    in_bytes = acts_of(reply, Faults(cut=(At(after_bytes=sum(map(len, frames[:count]))), Break())))
    assert in_events == in_bytes


def test_a_reply_without_faults_is_a_head_its_bytes_and_an_end() -> None:
    acts = acts_of(Reply(200, (("a", "b"),), (b"abc",)), Faults())
    assert acts == [Head(200, (("a", "b"), ("content-length", "3")), chunked=False), Bytes(b"abc"), End()]


def test_a_delay_comes_before_everything() -> None:
    assert acts_of(Reply(200, (), (b"abc",)), Faults(delay=2.0))[0] == Wait(2.0)


@given(text=st.text(max_size=20), size=st.integers(1, 100))
def test_a_made_up_vector_depends_on_the_text_alone_and_fits_32_bits(text: str, size: int) -> None:
    vector = vector_for(text, size)
    assert vector == vector_for(text, size)
    assert len(vector) == size
    assert all(-1 <= value < 1 and value * 128 == int(value * 128) for value in vector)


def test_headers_are_found_in_any_case_and_repeated_ones_joined() -> None:
    headers = Headers([("X-A", "1"), ("x-a", "2"), ("Cookie", "secret")])
    assert (headers["X-a"], "x-A" in headers, 1 in headers, len(headers)) == ("1, 2", True, False, 2)
    assert "secret" not in repr(headers)
