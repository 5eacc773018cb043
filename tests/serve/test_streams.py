"""A stream on its way out: kept open in silence, ended when nobody reads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from llm_edge.message import Saved, Stream
from llm_edge.serve.lookout import Lookout
from llm_edge.serve.streams import COMMENT, Outflow


class Wire:
    """Takes what is sent, unless it is shut."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.open = asyncio.Event()
        self.open.set()
        self.said = asyncio.Condition()

    async def send(self, message: Any) -> None:
        await self.open.wait()
        async with self.said:
            self.sent.append(message.get("body", b""))
            self.said.notify_all()

    async def holds(self, piece: bytes, times: int = 1) -> None:
        async with self.said, asyncio.timeout(10):
            await self.said.wait_for(lambda: self.sent.count(piece) >= times)


class Slow:
    """Gives its pieces when told to."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces, self.go = list(pieces), asyncio.Semaphore(0)

    def __aiter__(self) -> Slow:
        return self

    async def __anext__(self) -> bytes:
        await self.go.acquire()
        if not self.pieces:
            raise StopAsyncIteration
        return self.pieces.pop(0)

    async def aclose(self) -> None: ...


def out(wire: Wire, *, heartbeat: float = 0.01, patience: float = 60.0, stuck: Any = None) -> Outflow:
    return Outflow(wire.send, heartbeat=heartbeat, patience=patience, stuck=stuck or (lambda: None))


def test_a_stream_goes_out_piece_by_piece() -> None:
    async def run() -> Sequence[bytes]:
        wire = Wire()
        flow = out(wire, heartbeat=60)
        await flow.run(200, [], Stream(Saved([b"a\n\n", b"", b"b\n\n"])), events=True)
        await flow.end(b"last")
        return wire.sent

    assert asyncio.run(run()) == [b"", b"a\n\n", b"b\n\n", b"last"]


def test_comments_go_out_in_silence_and_only_between_events() -> None:
    async def run() -> list[bytes]:
        wire, source = Wire(), Slow(b"data: 1\n\n", b"data: ", b"2\n\n")
        running = asyncio.create_task(out(wire).run(200, [], Stream(source), events=True))
        source.go.release()
        await wire.holds(COMMENT, 2)
        source.go.release()
        await wire.holds(b"data: ")
        source.go.release()
        await wire.holds(b"2\n\n")
        await wire.holds(COMMENT, wire.sent.count(COMMENT) + 1)
        source.go.release()
        await running
        return wire.sent

    sent = asyncio.run(run())
    at = sent.index(b"data: ")
    assert sent[at + 1] == b"2\n\n"
    assert sent[:4] == [b"", b"data: 1\n\n", COMMENT, COMMENT]


def test_what_is_no_stream_of_events_gets_no_comments() -> None:
    async def run() -> list[bytes]:
        wire, source, other = Wire(), Slow(b"plain\n\n"), Wire()
        running = asyncio.create_task(out(wire).run(200, [], Stream(source), events=False))
        beside = asyncio.create_task(out(other).run(200, [], Stream(Slow()), events=True))
        source.go.release()
        await other.holds(COMMENT, 3)
        source.go.release()
        await running
        beside.cancel()
        return wire.sent

    assert asyncio.run(run()) == [b"", b"plain\n\n"]


@pytest.mark.parametrize("beating", [False, True])
def test_a_caller_who_reads_nothing_is_given_up(beating: bool) -> None:
    async def run() -> bool:
        wire, source, given_up = Wire(), Slow(b"a\n\n", b"b\n\n"), asyncio.Event()
        flow = out(wire, heartbeat=0.01 if beating else 60, patience=0.03, stuck=given_up.set)
        running = asyncio.create_task(flow.run(200, [], Stream(source), events=True))
        source.go.release()
        await wire.holds(b"a\n\n")
        wire.open.clear()
        if not beating:
            source.go.release()
        async with asyncio.timeout(10):
            await given_up.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return given_up.is_set()

    assert asyncio.run(run())


def test_a_caller_who_leaves_ends_the_call() -> None:
    async def run() -> bool:
        gone = asyncio.Event()

        async def receive() -> dict[str, str]:
            await gone.wait()
            return {"type": "http.disconnect"}

        watch = Lookout(asyncio.get_running_loop()).watch(receive, 60)
        watch.asked()
        gone.set()
        try:
            async with asyncio.timeout(10):
                await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return watch.gone
        finally:
            watch.over()
        return False

    assert asyncio.run(run())
