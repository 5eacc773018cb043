"""Threads that wait at a socket for an answer nobody wants any more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from llm_edge.http.senders.recall import recalled
from llm_edge.runtime import GivenUp, Signal


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_read_ends_when_nobody_waits_any_more(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    recall, reads = Signal(), threading.Event()

    def read() -> bytes:
        reads.set()
        return ours.recv(100)

    def give_up() -> None:
        reads.wait(20.0)
        recall.set()

    thread = threading.Thread(target=give_up)
    thread.start()
    with pytest.raises(GivenUp):
        recalled(recall, ours, read)
    thread.join()


def test_a_read_that_nobody_wants_does_not_begin_to_wait(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    recall = Signal()
    recall.set()
    with pytest.raises(GivenUp):
        recalled(recall, ours, lambda: ours.recv(100))


def test_a_connection_that_is_done_with_is_left_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    recall = Signal()
    theirs.send(b"all of it")
    assert recalled(recall, ours, lambda: ours.recv(100)) == b"all of it"
    recall.set()  # by now it may be somebody else's
    theirs.send(b"more")
    assert ours.recv(100) == b"more"


def test_a_failure_is_told_as_it_is(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    ours.settimeout(0.001)
    with pytest.raises(TimeoutError):
        recalled(Signal(), ours, lambda: ours.recv(100))
