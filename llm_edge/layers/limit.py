"""Holds the app to a pace and a number of calls at once."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from ..errors import RateLimited
from ..message import Handler, Request, Response
from ..policy.bucket import Bucket
from ..runtime import Runtime, Signal, mind_forks


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a limit allows."""

    rate: float | None = None
    """Calls per second; None for any."""
    burst: float = 1.0
    """Calls at once after a rest."""
    concurrency: int | None = None
    """Calls in flight; None for any."""
    patience: float = 0.0
    """Seconds a call may wait for room before it is refused."""


class Gate:
    """The state of one limit, shared by threads and loops."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._bucket = None if room.rate is None else Bucket(rate=room.rate, size=room.burst)
        self._lock = threading.Lock()
        self._inside = 0
        self._queue: deque[Signal] = deque()
        mind_forks(self)

    def after_fork(self) -> None:
        # The calls in flight are the parent's.
        self._lock, self._inside, self._queue = threading.Lock(), 0, deque()

    def pace(self, now: float, patience: float) -> float:
        """Seconds to wait before the call may go; when longer than `patience`, nothing was taken."""
        if self._bucket is None:
            return 0.0
        with self._lock:
            return self._bucket.reserve(1, now, patience=patience)

    def give_back(self) -> None:
        """The pace taken by a call that did not go after all."""
        if self._bucket is not None:
            with self._lock:
                self._bucket.give_back(1)

    def enter(self) -> Signal | None:
        """None when there was a place and it is taken; else a signal that is set when one has been given to it."""
        if self.room.concurrency is None:
            return None
        with self._lock:
            if self._inside < self.room.concurrency:
                self._inside += 1
                return None
            turn = Signal()
            self._queue.append(turn)
            return turn

    def leave(self) -> None:
        """A place is free: it goes to whoever has waited longest."""
        if self.room.concurrency is None:
            return
        with self._lock:
            if self._queue:
                self._queue.popleft().set()
            else:
                self._inside -= 1

    def give_up(self, turn: Signal) -> None:
        """Stop waiting; a place given in the meantime goes on to the next."""
        with self._lock:
            if not turn.is_set:
                self._queue.remove(turn)
                return
        self.leave()


class Limit:
    """Holds calls to a steady pace; refuses those that would wait too long."""

    def __init__(self, gate: Gate, runtime: Runtime, *, scope: str = "global") -> None:
        self._gate, self._runtime, self._scope = gate, runtime, scope

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        clock, gate = self._runtime.clock, self._gate
        began = clock.now()
        patience = gate.room.patience
        if request.deadline is not None:
            patience = min(patience, max(request.deadline - began, 0.0))
        wait = gate.pace(began, patience)
        if wait > patience:
            raise self._refusal(request, f"more than {gate.room.rate:g} calls a second", wait)
        turn = gate.enter()
        try:
            if turn is not None and not await self._runtime.wait(turn, patience):
                raise self._refusal(request, f"more than {gate.room.concurrency} calls at once", 1.0)
        except BaseException:
            if turn is not None:
                gate.give_up(turn)
            gate.give_back()
            raise
        try:
            left = wait - (clock.now() - began)
            if left > 0:
                await clock.sleep(left)
            if wait or turn is not None:
                waited = clock.now() - began
                request.notes.waited += waited
                request.notes.say(began, "limit", scope=self._scope, waited_s=round(waited, 3))
            response = await handler(request)
        except BaseException:
            gate.leave()
            raise
        response.finally_(lambda error: gate.leave())
        return response

    def _refusal(self, request: Request, why: str, wait: float) -> RateLimited:
        request.notes.say(self._runtime.clock.now(), "limit", scope=self._scope, refused=why, retry_after_s=round(wait, 3))
        return RateLimited(f"the {self._scope} limit has no room: {why}", retry_after=wait)
