"""A thousand streams at once."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from llm_edge.runtime import Signal
from llm_edge.testing import Provider, stream

from .conftest import toml
from .kit import CHAT, everything, post, question, running
from .sockets import children

STREAMS, FEW = 1000, 900


@contextmanager
def open_files(soft: int) -> Iterator[None]:
    """How many files this process, and those that it starts, may have open before they ask for more."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def test_a_thousand_streams_at_once_are_held_and_finished(upstream: str, provider: Provider, tmp_path: Path) -> None:
    go_on = Signal()
    provider.script(stream("Par", "is.").stall(after_events=2, until=go_on))
    with ExitStack() as stack:
        with open_files(FEW):  # it asks for more by itself
            process = stack.enter_context(running(tmp_path, toml(upstream)))
        stack.enter_context(open_files(4 * STREAMS))
        (worker,) = children(process.process.pid)
        callers = [stack.enter_context(process.connected()) for _ in range(STREAMS)]
        before = resident(worker)
        for number, caller in enumerate(callers):
            caller.sendall(post(CHAT, json.dumps(question(f"held {number}?", stream=True)).encode()))
        for caller in callers:
            assert b" 200 " in caller.recv(65536)
        grown = resident(worker) - before
        go_on.set()
        assert all(b"[DONE]" in everything(caller) for caller in callers)
    assert grown < STREAMS * 100_000


def resident(process: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()
