"""
Asks a second time when an answer takes longer than usual; whoever answers first is heard.

Both asks are made beside the caller: as tasks on a loop, in threads of their own otherwise. The one that comes
second is cancelled; in a thread, where that cannot be, it is recalled: it reads no further and begins nothing more.
Where an engine does not know of recalls, it ends by itself, and what it brings is closed unread. Either way it is
settled: its attempt stands in the story, its places and permits come home, its cost is told.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from ..errors import CallError
from ..message import Handler, Request, Response
from ..notes import Notes
from ..runtime import Guard, Running, Runtime, Signal


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who can be asked."""

    name: str
    ask: Handler


@dataclass(slots=True)
class Outcome:
    """How a race ended: an answer and who gave it, or the failures of all who were asked."""

    response: Response | None
    winner: int
    failures: list[CallError]
    """In the order of the contenders."""
    asked: int
    """How many were."""


class Race:
    """One call's. `after` seconds without an answer the second is asked, when `may` agrees."""

    def __init__(self, runtime: Runtime, request: Request, *, after: float, may: Callable[[], bool]) -> None:
        self._runtime, self._request = runtime, request
        self._after, self._may = after, may
        self._guard, self._decided = Guard(), Signal()
        self._running: list[Running | None] = [None]
        self._notes: list[Notes] = []
        self._failed: dict[int, BaseException] = {}
        self._won: tuple[int, Response] | None = None
        self._left = False

    async def run(self, first: Contender, second: Contender) -> Outcome:
        """Raises what a contender raised that is no CallError."""
        runtime, notes = self._runtime, self._request.notes
        began = runtime.clock.now()
        try:
            if here := self._start(first):
                await here()  # no thread to be had: then as without a race
            slow = not await runtime.wait(self._decided, self._after)
            if slow and self._may() and self._guard.do(self._enlist):
                notes.say(runtime.clock.now(), "hedge", after_s=round(self._after, 3), asks=second.name)
                if self._start(second):
                    self._guard.do(self._strike)
                    self._settle()
            await runtime.wait(self._decided, None)
            for number in self._guard.do(self._leave):
                await self._gone(number)
        except BaseException:
            await self._abandon()
            raise
        if self._won is None:
            return Outcome(None, 0, self._failures(), len(self._notes))
        number, response = self._won
        if len(self._running) > 1:
            notes.say(runtime.clock.now(), "hedge", answered=(first, second)[number].name)
        notes.waited += max(runtime.clock.now() - began - self._notes[number].upstream, 0.0)
        self._tell(number)
        return Outcome(response, number, [], len(self._notes))

    async def _abandon(self) -> None:
        """The caller left: whoever cancels a call finds all it held given back."""
        self._guard.do(self._leave)
        for number in range(len(self._running)):
            await self._gone(number)
        if self._won is not None and self._won[1].stream is not None:
            await self._won[1].stream.aclose()

    async def _gone(self, number: int) -> None:
        """Until this one is over; in a thread it soon will be."""
        recall, running = self._notes[number].recall, self._running[number]
        if recall is not None:
            recall.set()
        if running is not None:
            await running.gone()

    def _enlist(self) -> bool:
        """Whether nothing is decided yet: then two are asked."""
        if self._failed or self._won is not None:
            return False
        self._running.append(None)
        return True

    def _strike(self) -> None:
        """The second could not be asked after all."""
        self._running.pop()
        self._notes.pop()

    def _start(self, contender: Contender) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """Have it asked beside us; where that cannot be, what would have been done."""
        number, parent = len(self._notes), self._request.notes
        parent.same_for_all_attempts()
        # Attempts and events are one story; what is one value each is the winner's.
        own = replace(parent, upstream=0.0, waited=0.0, usage=None, first_byte=None)
        own.over = lambda: self._attempt_over(number)
        own.recall = None if self._runtime.apart else Signal()
        self._notes.append(own)
        request = replace(self._request, notes=own)

        def work() -> Coroutine[Any, Any, None]:
            return self._ask(number, contender, request)

        try:
            self._running[number] = self._runtime.home().start(work)
        except RuntimeError:
            return work
        return None

    async def _ask(self, number: int, contender: Contender, request: Request) -> None:
        try:
            response = await contender.ask(request)
        except BaseException as error:
            self._fails(number, error)
            if not isinstance(error, Exception):
                raise
            return
        if self._guard.do(lambda: self._wins(number, response)):
            self._settle()
        elif response.stream is not None:
            await response.stream.aclose()

    def _wins(self, number: int, response: Response) -> bool:
        if self._won is not None or self._left:
            return False
        self._won = number, response
        return True

    def _fails(self, number: int, error: BaseException) -> None:
        self._guard.do(lambda: self._failed.update({number: error}))
        self._settle()

    def _settle(self) -> None:
        if self._won is not None or len(self._failed) == len(self._running):
            self._decided.set()

    def _leave(self) -> list[int]:
        """Those still under way, whom nobody waits for any more."""
        self._left = True
        won = None if self._won is None else self._won[0]
        return [number for number in range(len(self._running)) if number != won and number not in self._failed]

    def _failures(self) -> list[CallError]:
        found: list[CallError] = []
        for number in sorted(self._failed):
            error = self._failed[number]
            if not isinstance(error, CallError):
                raise error
            found.append(error)
        return found

    def _attempt_over(self, number: int) -> None:
        if self._won is not None and self._won[0] == number:
            self._tell(number)
        over = self._request.notes.over
        if over is not None:
            over()

    def _tell(self, number: int) -> None:
        """What the winner knows, and its stream has still to say."""
        parent, own = self._request.notes, self._notes[number]
        parent.usage, parent.first_byte, parent.upstream = own.usage, own.first_byte, own.upstream
        parent.limits, parent.answered = own.limits or parent.limits, own.answered
