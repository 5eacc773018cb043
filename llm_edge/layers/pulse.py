"""Counts the calls under way at a target and how fast it answers; holds those that would be too many at once."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import RateLimited
from ..message import Handler, OnEnd, Request, Response
from ..policy.pulse import Pulse
from ..runtime import Guard, Runtime, Signal, mind_forks


@dataclass(frozen=True, slots=True, kw_only=True)
class Berths:
    """How many calls one target takes at once, and how many may wait for that."""

    places: int = 512
    waiting: int = 512


class GuardedPulse:
    """
    One target's pulse, which threads and loops share.

    What it remembers is written down without the guard: of two answers at the very same moment one may count for both.
    """

    def __init__(self, berths: Berths) -> None:
        self.pulse = Pulse()
        self._berths = berths
        self._queue: dict[Signal, None] = {}
        self._guard = Guard()
        mind_forks(self)

    def after_fork(self) -> None:
        # The calls under way are the parent's.
        self.pulse.under_way, self._queue = [], {}

    def enter(self) -> Signal | bool:
        """True when the call may go; a signal that is set when it may; False when too many wait already."""
        # Every call comes and goes here, so without the guard: who finds no room steps back, and looks again inside.
        under_way = self.pulse.under_way
        under_way.append(None)
        if len(under_way) <= self._berths.places and not self._queue:
            return True
        return self._guard.do(self._stand_in_line)

    def _stand_in_line(self) -> Signal | bool:
        under_way = self.pulse.under_way
        if len(under_way) <= self._berths.places and not self._queue:
            return True  # others stepped back
        self._step_back()
        self._seat()  # who left just now may have found no place but the one this call stood on
        if len(self._queue) >= self._berths.waiting:
            return False
        turn = Signal()
        self._queue[turn] = None
        self._seat()  # who left just now may not have seen this one
        return turn

    def leave(self) -> None:
        """A call is over; its place goes to whoever has waited longest."""
        self._step_back()
        if self._queue:
            self._guard.post(self._seat)

    def _step_back(self) -> None:
        try:
            self.pulse.under_way.pop()
        except IndexError:
            pass  # it came before a fork, and was forgotten

    def _seat(self) -> None:
        """Give what places there are to those who wait."""
        under_way, queue = self.pulse.under_way, self._queue
        while queue:
            under_way.append(None)
            if len(under_way) > self._berths.places:
                self._step_back()
                return
            turn = next(iter(queue))
            del queue[turn]
            turn.set()

    def give_up(self, turn: Signal) -> None:
        """Whoever waited waits no longer; a place it was given meanwhile goes on."""
        self._guard.post(lambda: self._give_up(turn))

    def _give_up(self, turn: Signal) -> None:
        if turn in self._queue:
            del self._queue[turn]
        else:
            self._step_back()
            self._seat()


class Beat:
    """The layer: takes a place, measures where somebody chooses by that, gives the place back."""

    def __init__(self, pulse: GuardedPulse, runtime: Runtime, *, target: str, measured: bool = True) -> None:
        self._pulse, self._runtime, self._target, self._measured = pulse, runtime, target, measured

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        pulse = self._pulse
        place = pulse.enter()
        if place is not True:
            await self._wait(request, place)
        began = self._runtime.clock.now() if self._measured else 0.0
        try:
            response = await handler(request)
        except BaseException:
            pulse.leave()
            raise
        if self._measured:
            self._saw(request, response, began)
        if response.stream is None:
            pulse.leave()
        else:
            response.stream.listen(OnEnd(lambda error: self._over(request)))
        return response

    def _saw(self, request: Request, response: Response, began: float) -> None:
        pulse, now = self._pulse.pulse, self._runtime.clock.now()
        if response.stream is None:
            pulse.answered(now, now - began, _tokens(request))
        else:
            pulse.streamed.saw(now, now - began)

    async def _wait(self, request: Request, turn: Signal | bool) -> None:
        clock = self._runtime.clock
        began = clock.now()
        if isinstance(turn, Signal):
            left = None if request.deadline is None else max(request.deadline - began, 0.0)
            try:
                entered = await self._runtime.wait(turn, left)
            except BaseException:
                self._pulse.give_up(turn)
                raise
            waited = clock.now() - began
            request.notes.waited += waited
            if entered:
                request.notes.say(began, "target", target=self._target, waited_s=round(waited, 3))
                return
            self._pulse.give_up(turn)
        request.notes.say(began, "target", target=self._target, refused="too many calls at once")
        busy = RateLimited(f"{self._target} has too many calls under way", retry_after=1.0)
        busy.target, busy.elsewhere = self._target, True
        raise busy

    def _over(self, request: Request) -> None:
        if self._measured:
            self._pulse.pulse.did(self._runtime.clock.now(), _tokens(request))
        self._pulse.leave()


def _tokens(request: Request) -> float:
    """What the answer used; 1 where nobody counted."""
    usage = request.notes.usage
    tokens = usage.get("total_tokens") if usage else None
    return float(tokens) if isinstance(tokens, int) and 0 < tokens < 10**9 else 1.0
