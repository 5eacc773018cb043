"""
A job under way: requests are drawn as there is room for them, never all at once, and answers given out in order or as
they come. One implementation, for event loops; `blocking` runs it on a loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, Protocol

from aiolimiter import AsyncLimiter

from ..errors import EdgeError, InvalidRequest
from ..reply import Reply
from .items import Item, Result, item
from .journal import Journal
from .progress import Progress, progress

Requests = Iterable[Any] | AsyncIterable[Any]
_AHEAD = 4
"""How many times `concurrency` results may wait for one that is late, when they are wanted in order."""


class Asks(Protocol):
    """What makes the calls."""

    async def achat(self, model: str, messages: Any, **fields: Any) -> Any: ...
    async def aembed(self, model: str, input: Any, **fields: Any) -> Any: ...  # noqa: A002  the API's word


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """How a job is to be run. Raises InvalidRequest for settings that make no sense."""

    edge: Asks
    concurrency: int = 16
    rpm: float | None = None
    ordered: bool = True
    resume: str | os.PathLike[str] | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        if type(self.concurrency) is not int or self.concurrency < 1:
            raise InvalidRequest("`concurrency` must be a whole number of calls, 1 or more")
        if self.rpm is not None and not 0 < self.rpm < float("inf"):
            raise InvalidRequest("`rpm` must be a number of requests per minute above 0, or None")

    async def run(self, requests: Requests) -> AsyncGenerator[Result]:
        """The results. Left early, what is under way is cancelled."""
        total = len(requests) if isinstance(requests, Sized) else None
        with contextlib.ExitStack() as stack:
            journal = None if self.resume is None else stack.enter_context(Journal(self.resume))
            bar = progress(self.progress, total)
            stack.callback(bar.close)
            run = _Run(self, journal, bar)
            source = _each(requests)
            try:
                async for result in run.results(source):
                    yield result
            finally:
                await run.stop()

    def blocking(self, requests: Iterable[Any]) -> Iterator[Result]:
        """The same for threads."""
        if isinstance(requests, AsyncIterable):
            raise InvalidRequest("`map` takes a list or another iterable; `amap` takes async ones")
        return _blocking(lambda: self.run(requests), self.concurrency * _AHEAD)


class _Run:
    def __init__(self, job: Job, journal: Journal | None, bar: Progress) -> None:
        self._job, self._journal, self._bar = job, journal, bar
        self._finished: asyncio.Queue[Result | BaseException] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: set[str] = set()
        # A second's worth at once, then evenly.
        burst = max(1.0, (job.rpm or 0) / 60)
        self._pace = None if job.rpm is None else AsyncLimiter(burst, burst * 60 / job.rpm)

    async def results(self, source: AsyncIterator[Any]) -> AsyncIterator[Result]:
        job = self._job
        waiting: dict[int, Result] = {}
        drawn = given = finished = 0
        over = False
        room = job.concurrency * (1 + _AHEAD) if job.ordered else None
        while True:
            while not over and drawn - finished < job.concurrency and (room is None or drawn - given < room):
                try:
                    self._begin(item(await anext(source), drawn))
                except StopAsyncIteration:
                    over = True
                else:
                    drawn += 1
            if finished == drawn and over and not waiting:
                return
            if finished < drawn:
                result = await self._finished.get()
                if isinstance(result, BaseException):
                    raise result
                finished += 1
                self._bar.done(failed=result.error is not None)
                waiting[result.index] = result
            for ready in self._ready(waiting, given):
                given += 1
                yield ready

    def _ready(self, waiting: dict[int, Result], given: int) -> Iterator[Result]:
        if not self._job.ordered:
            while waiting:
                yield waiting.popitem()[1]
            return
        while given in waiting:
            yield waiting.pop(given)
            given += 1

    def _begin(self, one: Item) -> None:
        if one.id in self._seen:
            raise InvalidRequest(f"`custom_id` {one.id!r} of request {one.index} was there before; each needs its own")
        self._seen.add(one.id)
        known = None if self._journal is None else self._journal.answered(one)
        if known is not None:
            self._finished.put_nowait(known)
            return
        task = asyncio.get_running_loop().create_task(self._one(one))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _one(self, one: Item) -> None:
        try:
            if self._pace is not None:
                await self._pace.acquire()
            result = await self._asked(one)
            if self._journal is not None:
                self._journal.write(one, result)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a mistake in somebody's code ends the job, and is told there
            self._finished.put_nowait(error)
        else:
            self._finished.put_nowait(result)

    async def _asked(self, one: Item) -> Result:
        fields = dict(one.body)
        model = fields.pop("model")
        try:
            if one.url == "/v1/embeddings":
                reply: Reply = await self._job.edge.aembed(model, fields.pop("input"), edge=one.edge, **fields)
            else:
                reply = await self._job.edge.achat(model, fields.pop("messages"), edge=one.edge, **fields)
        except EdgeError as error:
            return Result(one.index, one.id, one.body, error=error)
        return Result(one.index, one.id, one.body, body=dict(reply), reply=reply)

    async def stop(self) -> None:
        """Cancel what is under way, and wait until it is gone."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _each(requests: Requests) -> AsyncIterator[Any]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request


def _blocking(results: Callable[[], AsyncGenerator[Result]], room: int) -> Iterator[Result]:
    """
    A job's results in the thread that asks for them; the job itself goes on in a thread of its own, so that calls
    under way do not run out of time while the results are looked at.
    """
    out: queue.SimpleQueue[Result | BaseException | None] = queue.SimpleQueue()
    begun: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, Callable[[], object], asyncio.Semaphore]]
    begun = queue.SimpleQueue()

    async def run() -> None:
        task, free = asyncio.current_task(), asyncio.Semaphore(room)
        assert task is not None, "asyncio always runs coroutines in a task"
        begun.put((asyncio.get_running_loop(), task.cancel, free))
        async with contextlib.aclosing(results()) as found:
            async for result in found:
                await free.acquire()
                out.put(result)

    def work() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            out.put(error)
        else:
            out.put(None)

    thread = threading.Thread(target=work, name="llm_edge-map", daemon=True)
    thread.start()
    loop, cancel, free = begun.get()
    try:
        while (result := out.get()) is not None:
            if isinstance(result, BaseException):
                raise result
            with contextlib.suppress(RuntimeError):  # the loop has ended, all results are here
                loop.call_soon_threadsafe(free.release)
            yield result
    finally:
        with contextlib.suppress(RuntimeError):  # as above
            loop.call_soon_threadsafe(cancel)
        thread.join()
