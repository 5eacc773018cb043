"""The answer to a GET, however it comes in pieces; and what is none."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given, strategies as st

from llm_edge.stores import gets

from .fake_redis import text


def cut(raw: bytes, sizes: list[int]) -> list[bytes]:
    """These bytes in pieces of such sizes; then nothing, as from a closed connection."""
    pieces: list[bytes] = []
    for size in sizes:
        pieces.append(raw[:size])
        raw = raw[size:]
    return [piece for piece in (*pieces, raw) if piece] + [b""]


def read(pieces: list[bytes]) -> bytes | None:
    waiting = iter(pieces)
    return gets.answer(lambda size: next(waiting))


sizes = st.lists(st.integers(1, 20), max_size=30)


@given(st.binary(max_size=200), sizes)
def test_a_value_is_put_together(value: bytes, sizes: list[int]) -> None:
    assert read(cut(text(value), sizes)) == value


@given(sizes)
def test_no_value_is_none(sizes: list[int]) -> None:
    assert read(cut(b"$-1\r\n", sizes)) is None


@given(st.binary(max_size=200), sizes, st.integers(0, 300))
def test_an_answer_cut_short_is_a_broken_connection(value: bytes, sizes: list[int], left: int) -> None:
    raw = text(value)
    with pytest.raises(ConnectionError):
        read(cut(raw[: min(left, len(raw) - 1)], sizes))


@given(st.binary(max_size=60) | st.from_regex(rb"\$[0-9]\r\n[a-z]{0,12}(\r\n)?", fullmatch=True), sizes)
def test_whatever_comes_is_a_value_or_a_broken_connection(raw: bytes, sizes: list[int]) -> None:
    try:
        found = read(cut(raw, sizes))
    except ConnectionError:
        return
    assert raw == b"$-1\r\n" if found is None else raw.endswith(b"\r\n%b\r\n" % found)


@pytest.mark.parametrize(
    "said",
    [b"$1\r\nabc\r\n", b"$3\r\nabcde", b"$3\r\nabc\r\nmore", b"$1_0\r\n", b"$\r\n\r\n", b"$+3\r\nabc\r\n",
     b"-ERR no\r\n", b"+OK\r\n", b":1\r\n", b"*1\r\n$1\r\na\r\n", b"_\r\n", b"$" + b"1" * 99],
)  # fmt: skip
def test_what_is_no_value_is_left_to_those_who_know(said: bytes) -> None:
    with pytest.raises(ConnectionError):
        read([said, b""])


def test_of_a_value_that_has_not_come_whole_the_rest_can_be_read_later() -> None:
    raw = text(b"a value")
    with pytest.raises(BlockingIOError):
        gets.answer_in(raw[:6])
    assert gets.answer(lambda size: raw[6:], raw[:6]) == b"a value"
    assert gets.answer_in(raw) == b"a value"


def test_a_question_is_one_command() -> None:
    one, other = socket.socketpair()
    with one, other:
        gets.ask(one, "né")
        assert other.recv(99) == b"*2\r\n$3\r\nGET\r\n$3\r\nn\xc3\xa9\r\n"
