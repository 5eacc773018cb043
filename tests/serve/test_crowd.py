"""Connections on which nobody asks do not keep out those who do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import h2.config
import h2.connection
import pytest

from llm_edge.runtime import Signal
from llm_edge.testing import Provider, answer

from .conftest import toml
from .kit import CHAT, Process, everything, post, running, until
from .test_server import body
from .test_wire import LIVE

MOST = 6


@pytest.fixture(scope="module")
def small(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A sidecar with few places, where who says nothing for a second is idle."""
    more = f"[serve]\nconnections = {MOST}\nheader_timeout = 1\n"
    with running(tmp_path_factory.mktemp("crowd"), toml(upstream, more)) as process:
        yield process


def preface() -> bytes:
    """What a caller says that could ask by HTTP/2, and asks nothing."""
    begun = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    begun.initiate_connection()
    return begun.data_to_send()


@pytest.mark.parametrize("said", [b"P", preface()], ids=["one letter", "HTTP/2"])
def test_silent_connections_make_room_for_who_asks(said: bytes, small: Process) -> None:
    """The server below would wait for their first words, or their next request, for ever."""
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(small.connected()) for _ in range(MOST)]
        for sock in silent:
            sock.sendall(said)
        assert until(lambda: small.raw(LIVE).startswith(b"HTTP/1.1 200 "), small)
        for sock in silent:
            assert b" 200 " not in everything(sock)  # they are over


def test_who_waits_for_an_answer_is_not_idle(small: Process, provider: Provider) -> None:
    go_on, before = Signal(), len(provider.calls)
    provider.script(answer("Paris.").stall(until=go_on))
    with contextlib.ExitStack() as stack:
        asking = stack.enter_context(small.connected())
        asking.sendall(post(CHAT, body("late?")))
        until(lambda: len(provider.calls) > before, small)
        silent = [stack.enter_context(small.connected()) for _ in range(MOST - 1)]
        for sock in silent:
            assert everything(sock) == b""  # they came after it, are idle, and over before it is answered
        go_on.set()
        assert b"Paris." in everything(asking)
