"""One upstream call for all who ask the same at the same time: threads, tasks, and both together."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge.errors import CallError, NetworkFailed, Overloaded, StreamBroken
from llm_edge.layers.flight import Flights
from llm_edge.layers.guests import LONGEST
from llm_edge.message import Request, Response, Stream
from llm_edge.runtime import Awaiting, Blocking, FakeClock, Signal, drive

from .kit import CHUNKS, DONE, Watch, answer, call, failed, read_all

if TYPE_CHECKING:
    from tests.conftest import Colour

BOUND = 20.0
"""Seconds after which a test that waits for another thread fails."""


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + BOUND
    while not true():
        assert time.monotonic() < end, "it never happened"
        os.sched_yield()


async def until_async(true: Callable[[], bool]) -> None:
    end = time.monotonic() + BOUND
    while not true():
        assert time.monotonic() < end, "it never happened"
        await asyncio.sleep(0)


async def nothing(request: Request) -> Response | None:
    return None


class Source:
    """Bytes that come one at a time, each when it is let out; in either colour."""

    def __init__(self, chunks: tuple[bytes, ...] = CHUNKS, *, apart: bool) -> None:
        self._chunks, self._runtime = list(chunks), Awaiting() if apart else Blocking()
        self.gates = [Signal() for _ in chunks]
        self.read = 0
        self.closed = False
        self.error: Exception | None = None

    def let_out(self, number: int = 1) -> None:
        for gate in [gate for gate in self.gates if not gate.is_set][:number]:
            gate.set()

    async def __anext__(self) -> bytes:
        if self.read >= len(self._chunks):
            raise self.error or StopAsyncIteration
        await self._runtime.wait(self.gates[self.read], None)
        self.read += 1
        return self._chunks[self.read - 1]

    async def aclose(self) -> None:
        self.closed = True


class Upstream:
    """What is asked once: counts, waits for its gate, then answers, streams or fails."""

    def __init__(
        self, *, apart: bool, answers: Callable[[], Response] = answer, error: Exception | None = None
    ) -> None:
        self.asked: list[Request] = []
        self.gate = Signal()
        self.cancelled = 0
        self.stream: Source | None = None
        self._runtime = Awaiting() if apart else Blocking()
        self._error = error
        self._answers: Callable[[], Response] = answer

    def streams(self, chunks: tuple[bytes, ...] = CHUNKS) -> Source:
        self.stream = source = Source(chunks, apart=self._runtime.apart)
        self._answers = lambda: Response(status=200, stream=Stream(source, Watch()))
        self.gate.set()
        return source

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        try:
            await self._runtime.wait(self.gate, None)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self._error is not None:
            raise self._error
        request.notes.target, request.notes.usage = "openai/a", {"total_tokens": 3}
        return self._answers()


class Board:
    """Flights, and how many are on board of the only one."""

    def __init__(self) -> None:
        self.flights = Flights()

    def aboard(self) -> int:
        found = list(self.flights.under_way.values())
        return found[0].guests if found else 0

    def filled(self, guests: int) -> Callable[[], bool]:
        return lambda: self.aboard() == guests

    async def share(self, upstream: Upstream, runtime: Any, **fields: Any) -> tuple[Request, Response]:
        request = call(**fields)
        return request, await self.flights.share("k", request, runtime, look=nothing, ask=upstream)

    async def raw(self, upstream: Upstream, runtime: Any, **fields: Any) -> tuple[str, bytes]:
        request, response = await self.share(upstream, runtime, **fields)
        if response.stream is not None:
            return request.notes.cache, b"".join(await read_all(response))
        assert response.body is not None
        return request.notes.cache, response.body.raw


@contextmanager
def threads(number: int) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(number) as pool:
        yield pool


def on_a_thread(pool: ThreadPoolExecutor, work: Any) -> Future[Any]:
    return pool.submit(drive, work)


def test_many_tasks_share_one_call() -> None:
    board, upstream = Board(), Upstream(apart=True)

    async def main() -> list[tuple[str, bytes]]:
        tasks = [asyncio.create_task(board.raw(upstream, Awaiting())) for _ in range(256)]
        await until_async(board.filled(256))
        upstream.gate.set()
        return await asyncio.gather(*tasks)

    found = asyncio.run(main())
    assert len(upstream.asked) == 1
    assert len({raw for _, raw in found}) == 1
    assert sorted(status for status, _ in found) == ["BYPASS"] + ["COALESCED"] * 255  # the first is the layer's own
    assert board.flights.under_way == {}


def test_many_threads_share_one_call() -> None:
    board, upstream = Board(), Upstream(apart=False)
    with threads(16) as pool:
        asked = [on_a_thread(pool, board.raw(upstream, Blocking())) for _ in range(16)]
        until(board.filled(16))
        upstream.gate.set()
        found = [each.result() for each in asked]
    assert len(upstream.asked) == 1
    assert len({raw for _, raw in found}) == 1
    assert [status for status, _ in found].count("COALESCED") == 15


@pytest.mark.parametrize("first", ["thread", "loop"])
def test_threads_and_tasks_share_one_call(first: str) -> None:
    board, upstream = Board(), Upstream(apart=first == "loop")

    async def main() -> list[tuple[str, bytes]]:
        loop_asks: list[asyncio.Task[tuple[str, bytes]]] = []
        if first == "loop":
            loop_asks.append(asyncio.create_task(board.raw(upstream, Awaiting())))
            await until_async(board.filled(1))
        with threads(3) as pool:
            thread_asks = [on_a_thread(pool, board.raw(upstream, Blocking())) for _ in range(3)]
            await until_async(board.filled(3 + len(loop_asks)))
            loop_asks += [asyncio.create_task(board.raw(upstream, Awaiting())) for _ in range(3)]
            await until_async(board.filled(3 + len(loop_asks)))
            upstream.gate.set()
            return await asyncio.gather(*loop_asks, *map(asyncio.wrap_future, thread_asks))

    found = asyncio.run(main())
    assert len(upstream.asked) == 1
    assert len({raw for _, raw in found}) == 1


def test_the_first_may_leave_and_the_call_goes_on_for_the_others() -> None:
    board, upstream = Board(), Upstream(apart=True)

    async def main() -> list[Any]:
        tasks = [asyncio.create_task(board.raw(upstream, Awaiting())) for _ in range(3)]
        await until_async(board.filled(3))
        tasks[0].cancel()
        await until_async(board.filled(2))
        upstream.gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(main())
    assert isinstance(found[0], asyncio.CancelledError)
    assert [status for status, _ in found[1:]] == ["COALESCED"] * 2
    assert (len(upstream.asked), upstream.cancelled) == (1, 0)


def test_a_follower_may_leave_and_nobody_else_is_disturbed() -> None:
    board, upstream = Board(), Upstream(apart=True)

    async def main() -> list[Any]:
        tasks = [asyncio.create_task(board.raw(upstream, Awaiting())) for _ in range(5)]
        await until_async(board.filled(5))
        tasks[2].cancel()
        await until_async(board.filled(4))
        upstream.gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(main())
    assert [isinstance(each, BaseException) for each in found] == [False, False, True, False, False]
    assert len(upstream.asked) == 1


def test_when_the_last_leaves_the_upstream_call_is_cancelled() -> None:
    board, upstream = Board(), Upstream(apart=True)

    async def main() -> None:
        tasks = [asyncio.create_task(board.raw(upstream, Awaiting())) for _ in range(3)]
        await until_async(board.filled(3))
        await until_async(lambda: len(upstream.asked) == 1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until_async(lambda: upstream.cancelled == 1)

    asyncio.run(main())
    assert board.flights.under_way == {}


def test_a_lone_caller_that_is_cancelled_finds_all_given_back() -> None:
    board, upstream = Board(), Upstream(apart=True)

    async def main() -> int:
        task = asyncio.create_task(board.raw(upstream, Awaiting()))
        await until_async(lambda: len(upstream.asked) == 1)
        task.cancel()
        await asyncio.wait([task])
        return upstream.cancelled

    assert asyncio.run(main()) == 1


def test_a_failure_gives_each_its_own_error_with_the_same_facts() -> None:
    board, upstream = Board(), Upstream(apart=True, error=failed(Overloaded, status=503, retry_after=2.0))

    async def main() -> list[Any]:
        tasks = [asyncio.create_task(board.raw(upstream, Awaiting())) for _ in range(4)]
        await until_async(board.filled(4))
        upstream.gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(main())
    assert {(type(each), each.message, each.retry_after, each.status) for each in found} == {
        (Overloaded, "no", 2.0, 503)
    }
    assert len({id(each) for each in found}) == 4
    assert len({id(each.response) for each in found}) == 4
    assert {each.response.body.raw for each in found} == {b'{"error":{}}'}
    assert len(upstream.asked) == 1


def test_a_failure_in_a_thread_gives_each_its_own_error() -> None:
    board, upstream = Board(), Upstream(apart=False, error=NetworkFailed("reset", kind="ReadError"))
    with threads(3) as pool:
        asked = [on_a_thread(pool, board.raw(upstream, Blocking())) for _ in range(3)]
        until(board.filled(3))
        upstream.gate.set()
        errors = [each.exception() for each in asked]
    assert [(type(each), str(each)) for each in errors] == [(NetworkFailed, "reset")] * 3
    assert len({id(each) for each in errors}) == 3


def test_a_deadline_of_the_firsts_own_makes_a_follower_ask_anew() -> None:
    clock, board = FakeClock(100.0), Board()
    late = NetworkFailed("openai/a did not answer in time", kind="ReadTimeout")
    steps: list[Exception | None] = [late, None]
    gate, asked = Signal(), list[Request]()

    async def ask(request: Request) -> Response:
        asked.append(request)
        error = steps.pop(0)
        if error is not None:
            await Awaiting().wait(gate, None)
            clock.advance(1.0)
            raise error
        return answer()

    async def one(deadline: float) -> Response:
        request = replace(call(), deadline=deadline)
        return await board.flights.share("k", request, Awaiting(clock), look=nothing, ask=ask)

    async def main() -> list[Any]:
        tasks = [asyncio.create_task(one(101.0)), asyncio.create_task(one(130.0))]
        await until_async(board.filled(2))
        gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(main())
    assert isinstance(found[0], NetworkFailed)
    assert isinstance(found[1], Response)
    assert len(asked) == 2


def test_each_waits_no_longer_than_it_may(colour: Colour) -> None:
    board, upstream = Board(), Upstream(apart=True)
    runtime = colour.runtime()
    held = asyncio.new_event_loop()
    with threads(1) as pool:
        leading = pool.submit(held.run_until_complete, board.raw(upstream, Awaiting()))
        until(board.filled(1))
        now = runtime.clock.now()
        with pytest.raises(NetworkFailed) as error:
            colour.run(board.share(upstream, runtime, deadline=now))
        until(board.filled(1))
        upstream.gate.set()
        assert leading.result()[0] == "BYPASS"
    held.close()
    assert error.value.timed_out


def test_one_that_may_take_far_longer_does_not_board_a_stream_that_ends_early() -> None:
    board, upstream = Board(), Upstream(apart=True)

    async def main() -> None:
        first = asyncio.create_task(board.share(upstream, Awaiting(), streaming=True, deadline=time.monotonic() + 10))
        await until_async(lambda: len(upstream.asked) == 1)
        second = asyncio.create_task(board.share(upstream, Awaiting(), streaming=True, deadline=time.monotonic() + 99))
        await until_async(lambda: len(upstream.asked) == 2)
        upstream.gate.set()
        await asyncio.gather(first, second)

    asyncio.run(main())


# ---------------------------------------------------------------------- streams


def test_a_late_follower_sees_every_byte_from_the_start() -> None:
    board, upstream = Board(), Upstream(apart=True)
    source = upstream.streams()

    async def main() -> tuple[list[bytes], bytes]:
        _, first = await board.share(upstream, Awaiting())
        source.let_out(1)
        assert first.stream is not None
        begun = [await first.stream.__anext__()]
        follower = asyncio.create_task(board.raw(upstream, Awaiting()))
        await until_async(board.filled(2))
        source.let_out(9)
        rest = [chunk async for chunk in first.stream]
        return begun + rest, (await follower)[1]

    chunks, followed = asyncio.run(main())
    assert chunks == list(CHUNKS)
    assert followed == b"".join(CHUNKS)
    assert (len(upstream.asked), source.closed, board.flights.under_way) == (1, True, {})


def test_a_stream_goes_on_when_its_first_reader_leaves(colour: Colour) -> None:
    board, upstream = Board(), Upstream(apart=colour.name == "async")
    source = upstream.streams()
    source.let_out(9)

    async def main() -> bytes:
        runtime = colour.runtime()
        _, first = await board.share(upstream, runtime)
        _, second = await board.share(upstream, runtime)
        assert first.stream is not None
        await first.stream.__anext__()
        await first.stream.aclose()
        assert not source.closed
        return b"".join(await read_all(second))

    assert colour.run(main()) == b"".join(CHUNKS)
    assert source.closed


def test_the_last_reader_to_leave_closes_the_upstream(colour: Colour) -> None:
    board, upstream = Board(), Upstream(apart=colour.name == "async")
    source = upstream.streams()
    source.let_out(9)

    async def main() -> list[bool]:
        runtime = colour.runtime()
        responses = [(await board.share(upstream, runtime))[1] for _ in range(3)]
        closed: list[bool] = []
        for response in responses:
            assert response.stream is not None
            await response.stream.__anext__()
            await response.stream.aclose()
            closed.append(source.closed)
        return closed

    assert colour.run(main()) == [False, False, True]
    assert board.flights.under_way == {}


def test_readers_at_their_own_pace_see_the_same_bytes(colour: Colour) -> None:
    board, upstream = Board(), Upstream(apart=colour.name == "async")
    chunks = (*(b"data: %d\n\n" % number for number in range(50)), DONE)
    source = upstream.streams(chunks)
    source.let_out(99)

    async def main() -> list[list[bytes]]:
        runtime = colour.runtime()
        streams = [(await board.share(upstream, runtime))[1].stream for _ in range(3)]
        read: list[list[bytes]] = [[], [], []]
        order = [0, 1, 1, 2, 0, 0, 1, 2, 2, 2] * 20
        for number in order:
            stream = streams[number]
            assert stream is not None
            try:
                read[number].append(await stream.__anext__())
            except StopAsyncIteration:
                continue
        return read

    assert colour.run(main()) == [list(chunks)] * 3
    assert len(upstream.asked) == 1


def test_a_stream_that_breaks_breaks_for_each_with_its_own_error(colour: Colour) -> None:
    board, upstream = Board(), Upstream(apart=colour.name == "async")
    source = upstream.streams((b"a", b"b"))
    source.error = StreamBroken("cut")
    source.let_out(9)

    async def main() -> list[tuple[bytes, Exception]]:
        runtime = colour.runtime()
        found: list[tuple[bytes, Exception]] = []
        for response in [(await board.share(upstream, runtime))[1] for _ in range(3)]:
            assert response.stream is not None
            got = b""
            try:
                async for chunk in response.stream:
                    got += chunk
            except CallError as error:
                found.append((got, error))
        return found

    found = colour.run(main())
    assert [(got, type(error), str(error)) for got, error in found] == [(b"ab", StreamBroken, "cut")] * 3
    assert len({id(error) for _, error in found}) == 3


@pytest.mark.parametrize("first", ["thread", "loop"])
def test_a_stream_begun_in_one_colour_is_read_in_the_other(first: str) -> None:
    board, upstream = Board(), Upstream(apart=first == "loop")
    source = upstream.streams()

    async def read_here(response: Response) -> bytes:
        return b"".join(await read_all(response))

    async def main() -> tuple[bytes, bytes]:
        with threads(2) as pool:
            if first == "loop":
                _, leading = await board.share(upstream, Awaiting())
                other = asyncio.wrap_future(on_a_thread(pool, board.raw(upstream, Blocking())))
                await until_async(board.filled(2))
                source.let_out(9)
                return (await other)[1], await read_here(leading)
            leading = (await asyncio.wrap_future(on_a_thread(pool, board.share(upstream, Blocking()))))[1]
            other = asyncio.ensure_future(board.raw(upstream, Awaiting()))
            await until_async(board.filled(2))
            source.let_out(9)
            return (await other)[1], await asyncio.wrap_future(on_a_thread(pool, read_here(leading)))

    assert asyncio.run(main()) == (b"".join(CHUNKS),) * 2
    assert len(upstream.asked) == 1


def test_a_reader_cancelled_in_a_read_does_not_break_it_for_the_others() -> None:
    board, upstream = Board(), Upstream(apart=True)
    source = upstream.streams()

    async def main() -> tuple[bytes, list[bytes]]:
        responses = [(await board.share(upstream, Awaiting()))[1] for _ in range(3)]
        tasks = [asyncio.create_task(read_all(response)) for response in responses]
        await until_async(lambda: source.read == 0)
        await asyncio.sleep(0)
        tasks[0].cancel()
        source.let_out(9)
        await asyncio.wait(tasks)
        return b"".join(tasks[1].result()), tasks[2].result()

    one, other = asyncio.run(main())
    assert one == b"".join(other) == b"".join(CHUNKS)


def test_one_that_came_while_a_lone_reader_was_cancelled_asks_anew() -> None:
    board, upstream = Board(), Upstream(apart=True)
    upstream.streams()

    async def main() -> bytes:
        _, first = await board.share(upstream, Awaiting())
        reading = asyncio.create_task(read_all(first))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = asyncio.create_task(board.raw(upstream, Awaiting()))
        await until_async(board.filled(2))
        upstream.streams().let_out(9)  # what it gets when it asks
        reading.cancel()
        await asyncio.wait([reading])
        return (await second)[1]

    assert asyncio.run(main()) == b"".join(CHUNKS)
    assert len(upstream.asked) == 2


def test_a_stream_dropped_unread_leaves_no_flight_behind(colour: Colour) -> None:
    board, upstream = Board(), Upstream(apart=colour.name == "async")
    upstream.streams()

    async def main() -> None:
        _, response = await board.share(upstream, colour.runtime())
        del response

    colour.run(main())
    gc.collect()
    assert board.flights.under_way == {}


def test_a_long_stream_takes_no_late_guests(colour: Colour) -> None:
    board, upstream = Board(), Upstream(apart=colour.name == "async")
    chunks = (b"x" * LONGEST, b"y", DONE)
    upstream.streams(chunks).let_out(9)

    async def main() -> list[bytes]:
        runtime = colour.runtime()
        _, first = await board.share(upstream, runtime)
        assert first.stream is not None
        read = [await first.stream.__anext__(), await first.stream.__anext__()]
        upstream.streams((DONE,)).let_out(9)
        _, second = await board.share(upstream, runtime)
        assert await read_all(second) == [DONE]
        return read + [chunk async for chunk in first.stream]

    assert colour.run(main()) == list(chunks)
    assert len(upstream.asked) == 2


# ---------------------------------------------------------------------- and besides


def test_what_is_somewhere_already_is_not_asked(colour: Colour) -> None:
    board, upstream = Board(), Upstream(apart=colour.name == "async")

    async def look(request: Request) -> Response | None:
        return answer("known")

    async def main() -> Response:
        return await board.flights.share("k", call(), colour.runtime(), look=look, ask=upstream)

    response = colour.run(main())
    assert response.body is not None
    assert b"known" in response.body.raw
    assert (upstream.asked, board.flights.under_way) == ([], {})


def test_followers_know_who_answered_and_what_it_used() -> None:
    board, upstream = Board(), Upstream(apart=True)

    async def main() -> Request:
        first = asyncio.create_task(board.share(upstream, Awaiting()))
        await until_async(board.filled(1))
        second = asyncio.create_task(board.share(upstream, Awaiting()))
        await until_async(board.filled(2))
        upstream.gate.set()
        await first
        return (await second)[0]

    notes = asyncio.run(main()).notes
    assert (notes.cache, notes.target, notes.usage) == ("COALESCED", "openai/a", {"total_tokens": 3})
    assert notes.attempts == []


def test_who_comes_after_a_parting_joins_nobody_and_nobody_is_disturbed() -> None:
    board, upstream = Board(), Upstream(apart=True)

    async def main() -> list[tuple[str, bytes]]:
        before = [asyncio.create_task(board.raw(upstream, Awaiting())) for _ in range(2)]
        await until_async(board.filled(2))
        board.flights.part()
        after = [asyncio.create_task(board.raw(upstream, Awaiting())) for _ in range(2)]
        await until_async(board.filled(2))
        upstream.gate.set()
        return await asyncio.gather(*before, *after)

    assert [status for status, _ in asyncio.run(main())] == ["BYPASS", "COALESCED"] * 2
    assert (len(upstream.asked), board.flights.under_way) == (2, {})


def test_a_loop_that_is_closed_under_a_call_frees_its_followers() -> None:
    board, upstream = Board(), Upstream(apart=True)
    loop = asyncio.new_event_loop()
    task = loop.create_task(board.raw(upstream, Awaiting()))
    loop.run_until_complete(until_async(lambda: len(upstream.asked) == 1))
    other = Upstream(apart=False)
    other.gate.set()
    with threads(1) as pool:
        following = on_a_thread(pool, board.raw(other, Blocking()))
        until(board.filled(2))
        for each in asyncio.all_tasks(loop):
            each.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        assert following.result()[1]
    assert len(other.asked) == 1


def test_a_child_process_knows_nothing_of_the_parents_calls() -> None:
    board = Board()
    board.flights.under_way = {"k": object()}  # type: ignore[dict-item]  # nobody looks into it
    board.flights.after_fork()
    assert board.flights.under_way == {}
