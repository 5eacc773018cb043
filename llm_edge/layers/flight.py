"""
One upstream call for all who ask the same at the same time, threads and event loops mixed.

The upstream call belongs to no caller. On an event loop it is made by a task of its own; whoever asked first waits for
it like everybody else, and may leave like everybody else. In the sync colour the thread that asked first makes it: it
cannot leave. Once the head of the answer is here the flight has landed, well or badly, and each guest gets an answer or
an error of its own.

A stream goes on from there as `reading.py` tells.

Two things make a guest ask anew, as if it had been first: the flight failed in a way that was the first caller's own
(its deadline, its being cancelled), or the lone guest that was reading when this one came was cancelled in that read.

Who asks for the whole of what another has streamed to it, or the other way round, is a guest of the other's call, where
one answer serves both; where it turns out not to, this guest asks anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from types import NoneType
from typing import Final, TypeAlias

from ..errors import DeadlineExceeded, NetworkFailed
from ..message import Abandoned, Body, Keyed, Request, Response, Stream
from ..runtime import Crowd, Guard, Home, Running, Runtime, mind_forks
from .guests import LONGEST, First, Guest, Seen, own_copy
from .reading import Reading
from .sights import sight

Ask: TypeAlias = Callable[[Request], Awaitable[Response]]
Look: TypeAlias = Callable[[Request], Awaitable[Response | None]]
Turn: TypeAlias = Callable[[Response, Request], Awaitable[Response | None]]

_LATE: Final = 0.05
"""Seconds; with less left nobody asks anew."""


class Flights:
    """The calls under way of this process, by what they ask."""

    def __init__(self) -> None:
        self.guard = Guard()
        self.under_way: dict[str, Flight] = {}
        self.by_sight: dict[bytes, Keyed] = {}
        """What was found of the bodies under way, by their bytes."""
        self.over = 0
        """Another number whenever one has ended."""
        mind_forks(self)

    def after_fork(self) -> None:
        # The calls in flight are the parent's.
        self.under_way = {}
        self.by_sight.clear()

    def part(self) -> None:
        """Who asks from now on joins no call that is under way already; those go on for who is aboard."""
        self.guard.do(self.under_way.clear)

    async def share(
        self, key: str, request: Request, runtime: Runtime, *, look: Look, ask: Ask,
        other: Callable[[], str] | None = None, turn: Turn | None = None,
    ) -> Response:  # fmt: skip
        """
        The answer to this call, asked for once for all who share it at this moment.

        `look` is for an answer that is somewhere already, `ask` for one that has to be made. `other` tells the key of
        the same question asked for in the other form, and `turn` makes this call's answer of that one's.
        """
        while True:
            flight, first = self.guard.do(partial(self._board, key, other, request, runtime))
            if flight is None:
                return await look(request) or await ask(request)
            if first:
                return await flight.lead(request, look, ask, runtime)
            response = await flight.follow(request, runtime)
            if turn is not None and flight.key != key:
                response, other = response and await turn(response, request), None
            if response is not None:
                return response

    def _board(
        self, key: str, other: Callable[[], str] | None, request: Request, runtime: Runtime
    ) -> tuple[Flight | None, bool]:
        flight = self.under_way.get(key)
        if flight is None and other is not None and self.under_way:
            flight = self.under_way.get(other())
            if flight is not None and not flight.open_to(request, runtime):
                flight = None
        if flight is None:
            flight = self.under_way[key] = Flight(self, key, runtime.home(), request)
            return flight, True
        if not flight.open_to(request, runtime):
            return None, False
        flight.board()
        return flight, False


class Flight:
    """One upstream call and its guests. What changes is changed inside the guard, or at home before anyone knows."""

    _landed = False
    _waited: Crowd | None = None
    """What those wait for who came before it landed, where there are any."""
    _head: Response | None = None
    _error: BaseException | None = None
    _reading: Reading | None = None
    _running: Running | None = None

    def __init__(self, flights: Flights, key: str, home: Home, request: Request) -> None:
        self._flights, self.key, self._home, self._request = flights, key, home, request
        self._guests = 1
        self._sight = sight(request.body, flights.by_sight)

    @property
    def guests(self) -> int:
        """How many are on board."""
        return self._guests if self._reading is None else self._reading.guests

    def board(self) -> None:
        """One guest more; inside the guard."""
        if self._waited is None and not self._landed:
            self._waited = Crowd()
        if self._reading is None:
            self._guests += 1
        else:
            self._reading.guests += 1

    def open_to(self, request: Request, runtime: Runtime) -> bool:
        """Whether this call may join: it would lose nothing by it."""
        if self._home.stopped_by(runtime) or (self._reading is not None and self._reading.size > LONGEST):
            return False
        ends = self._request.deadline
        if ends is None or not self._request.streaming:
            return True
        # A stream ends at the first caller's deadline; one who has far longer should not be cut short by it.
        now = runtime.clock.now()
        return request.deadline is not None and ends - now >= 0.5 * (request.deadline - now)

    # ------------------------------------------------------------------ until the head is here

    async def lead(self, request: Request, look: Look, ask: Ask, runtime: Runtime) -> Response:
        """The first caller's answer."""
        try:
            # Looking takes no time worth sharing out: done here, and not in a task.
            found = await look(request)
            if found is not None:
                self._lands(found, None)
            elif self._home.apart:
                self._running = self._home.start(lambda: self._fly(request, ask), self._lost)
                await self._running.told()
            else:  # in this thread, which cannot leave
                response = await ask(request)
                if response.body is not None:
                    _ = response.body.raw  # as below
                self._lands(response, None)
        except BaseException as gone:
            if self._running is None and not self._landed:
                self._lands(None, gone)
            await self.leave(runtime)
            if self.guests == 0 and self._running is not None:
                await self._running.gone()  # whoever cancels a call finds all it held given back
            raise
        self._running, error = None, self._error
        if self._head is None and error is not None:
            self._flights.guard.do(self._leaves)
            try:
                raise error
            finally:
                del error  # as in the router
        return self._head if self._reading is None and self._head is not None else self._given(request, runtime, True)

    async def follow(self, request: Request, runtime: Runtime) -> Response | None:
        """Another caller's answer; None when it has to ask anew."""
        broken: BaseException | None = None
        try:
            # Not in a coroutine of its own: that many wait here at once.
            waited = None if self._landed else self._waited
            if waited is not None and not await runtime.wait(waited, _left(request, runtime)):
                raise _late()
            reading = self._reading
            while reading is not None and reading.lone:
                moved = reading.movement()
                if reading.lone:
                    in_time = await runtime.wait(moved, _left(request, runtime))
                    if not in_time:
                        raise _late()
            broken = None if reading is None else reading.error
        except BaseException:
            await self.leave(runtime)
            raise
        notes = request.notes
        if self._head is None or not isinstance(broken, (Exception, NoneType)):
            error = self._error
            await self.leave(runtime)
            own = self._own(error, request, runtime.clock.now())
            if own is None:
                return None
            notes.cache = "COALESCED"
            raise own
        notes.cache = "COALESCED"
        return self._given(request, runtime, False)

    async def _fly(self, request: Request, ask: Ask) -> None:
        try:
            response = await ask(request)
            if response.body is not None:
                _ = response.body.raw  # written down once, before the first caller gets its hands on it
        except BaseException as error:
            self._lands(None, error)
            if not isinstance(error, Exception):
                raise
            return
        if self._lands(response, None) and response.stream is not None:
            await response.stream.aclose()

    def _lands(self, response: Response | None, error: BaseException | None) -> bool:
        """Whether nobody waits any more."""
        self._head, self._error = response, error
        forsaken = self._flights.guard.do(self._land)
        if self._waited is not None:
            self._waited.set()
        if self._running is not None:
            self._running.tell()
        return forsaken

    def _land(self) -> bool:
        head = self._head
        if head is None or head.stream is None or self._guests == 0:
            self._gone()
        else:
            self._reading = Reading(
                head.stream, self._home, self._flights.guard, self._guests, self._gone, until=self._request.deadline
            )
        self._landed = True
        return self._guests == 0

    def _lost(self) -> None:
        """The task is over: it may never have begun, where its loop was being closed."""
        if not self._landed:
            self._lands(None, Abandoned())

    def _own(self, error: BaseException | None, request: Request, now: float) -> Exception | None:
        """This caller's own copy of a failure; None when the failure is not its own and it should ask anew."""
        if not isinstance(error, Exception) or isinstance(error, Abandoned):
            return None
        timed_out = isinstance(error, DeadlineExceeded) or (isinstance(error, NetworkFailed) and error.timed_out)
        ends = self._request.deadline
        if timed_out and ends is not None and now >= ends - _LATE:
            late = request.deadline is not None and request.deadline - now <= _LATE
            return own_copy(error) if late else None
        return own_copy(error)

    def _given(self, request: Request, runtime: Runtime, first: bool) -> Response:
        head, led = self._head, self._request
        assert head is not None, "it has landed, and well"
        if not first:
            notes, theirs = request.notes, led.notes
            notes.target, notes.targets, notes.cost = theirs.target, list(theirs.targets), theirs.cost
            notes.fallbacks = theirs.fallbacks
        if self._reading is not None:
            guest = Guest(self._reading, request, runtime, first=first)
            if first:
                return Response(status=head.status, headers=head.headers, stream=First(self._reading, guest))
            stream, head_stream = Stream(guest, Seen(self._reading, guest)), self._reading.stream
            answer = Response(status=head.status, headers=head.headers, stream=stream)
            answer.finally_(lambda error: _used(request, stream, head_stream))
            return answer
        request.notes.usage = None if led.notes.usage is None else dict(led.notes.usage)
        request.notes.answered = led.notes.answered
        return Response(status=head.status, headers=head.headers, body=head.body and Body(head.body.raw))

    # ------------------------------------------------------------------ the end

    async def leave(self, runtime: Runtime) -> None:
        """One guest fewer; the last one ends the call."""
        reading = self._flights.guard.do(self._leaves)
        if reading is not None:
            await reading.leave(runtime)

    def _leaves(self) -> Reading | None:
        """The stream to be left, when there is one."""
        if self._reading is not None:
            return self._reading
        self._guests -= 1
        if self._guests == 0:
            self._gone()
            self._error = None  # it remembers where it was raised, and so this flight
            if self._running is not None and self._head is None:
                self._running.cancel()
        return None

    def _gone(self) -> None:
        flights = self._flights
        if self._sight is not None:
            flights.by_sight.pop(self._sight, None)
        flights.over += 1  # two at the very same moment may count as one: it is another number all the same
        if flights.under_way.get(self.key) is self:
            del flights.under_way[self.key]


def _left(request: Request, runtime: Runtime) -> float | None:
    """Seconds that this caller still waits."""
    return None if request.deadline is None else max(request.deadline - runtime.clock.now(), 0.0)


def _late() -> NetworkFailed:
    return NetworkFailed("the call that this one shares was not answered in time", kind="ReadTimeout")


def _used(request: Request, stream: Stream, shared: Stream) -> None:
    request.notes.answered = str(getattr(shared.watcher, "model", ""))
    if stream.watcher.usage is not None:
        request.notes.usage = stream.watcher.usage
