"""
One GET over an open connection, in as few steps as there are: of all that is asked of a Redis, this is in a call's way.

redis-py takes as long to say it and to understand the answer as the answer takes to come. What is not simply a value is
not understood here: ConnectionError then has it asked again through redis-py, which knows what to make of errors.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TypeAlias

Read: TypeAlias = Callable[[int], bytes]
"""Some bytes of the answer, at most so many."""

PIECE = 64 * 2**10
_LINE = 24
"""Bytes of the first line of an answer: a dollar and a length."""


def ask(below: socket.socket, name: str) -> None:
    """Send the question."""
    raw = name.encode()
    below.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(raw), raw))


def answer(read: Read, begun: bytes = b"") -> bytes | None:
    """The value, None where there is none; `begun` has been read already. ConnectionError, and what `read` raises."""
    raw = begun or _some(read)
    while (end := raw.find(b"\r\n", 0, _LINE)) < 0:
        if len(raw) >= _LINE:
            raise ConnectionError
        raw += _some(read)
    length = raw[1:end]
    if raw[:1] != b"$" or not (length.isdigit() or length == b"-1"):
        raise ConnectionError
    begin = end + 2
    whole = begin if length == b"-1" else begin + int(length) + 2
    if len(raw) < whole:
        pieces, there = [raw], len(raw)
        while there < whole:
            pieces.append(_some(read))
            there += len(pieces[-1])
        raw = b"".join(pieces)
    if len(raw) > whole or raw[-2:] != b"\r\n":
        raise ConnectionError
    return None if whole == begin else raw[begin:-2]


def answer_in(raw: bytes) -> bytes | None:
    """The value, where these bytes are all of it. BlockingIOError where more is to come, and ConnectionError."""
    return answer(_more_is_to_come, raw)


def _more_is_to_come(size: int) -> bytes:
    raise BlockingIOError


def _some(read: Read) -> bytes:
    piece = read(PIECE)
    if not piece:
        raise ConnectionError
    return piece
