"""
Holds calls to their limits: each takes its part of every limit that it is under, or is told when it would fit.

A call without patience is refused at once. One with patience stands in line: in order of priority, and of arrival
within one. Tokens are taken by a guess, and settled with what the call really used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ProviderFailed, RateLimited, RequestExceedsLimit
from ..message import UNCHARGED, Handler, Request, Response, Watcher
from ..policy.estimate import NOTHING, Guess, Lessons, used
from ..policy.line import Line, Ticket
from ..policy.plan import Plan, Subjects
from ..policy.rows import NEVER, PLACE_WAIT, Actual, Asks, Full, Hold, Row, Standing, Taken
from ..runtime import Guard, Runtime, Signal, mind_forks
from ..stores.counters import Counters

GRACE = 5.0
"""Seconds after its deadline at which a call's places come back, had its process died."""
WITHOUT_DEADLINE = 3600.0
_SLICE = 0.1
"""Seconds at a time for what may come back earlier than it must."""
_INSTANT = 1e-6
"""Seconds; a shorter wait may be lost in the rounding of the clock, and would be waited for for ever."""
_NO_TOKENS: Actual = {"tokens": 0, "nano-dollars": 0}
_AS_RESERVED: Actual = {}


class Queue:
    """Who waits, shared by threads and loops."""

    def __init__(self) -> None:
        self._line = Line()
        self._guard = Guard()
        mind_forks(self)

    def after_fork(self) -> None:
        self._line.clear()

    @property
    def empty(self) -> bool:
        return self._line.empty

    def ticket(self, priority: int) -> Ticket:
        return self._guard.do(lambda: self._line.ticket(priority))

    def gives_way(self, ticket: Ticket, asks: Asks) -> str | None:
        return self._guard.do(lambda: self._line.gives_way(ticket, asks))

    def wait_at(self, ticket: Ticket, key: str, signal: Signal) -> None:
        self._guard.do(lambda: self._line.wait_at(ticket, key, signal.set))

    def leave(self, ticket: Ticket, asks: Asks) -> None:
        self._guard.post(lambda: self._line.leave(ticket, asks))

    def room(self, asks: Asks) -> None:
        """Something was given back."""
        if not self._line.empty:
            self._guard.post(lambda: self._line.room(asks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Refuses what would go beyond a limit, or has it wait. Raises RateLimited and RequestExceedsLimit."""

    plan: Plan
    subjects: Callable[[Request], Subjects]
    """Who a call is counted for."""
    counters: Counters
    queue: Queue
    runtime: Runtime
    lessons: Lessons = field(default_factory=Lessons)
    """What guesses of tokens have learned."""
    target: str = ""
    """The place that is asked, where it is a place's limit; guesses are learned by it, else by the model asked for."""
    poll: float | None = None
    """Seconds after which it is worth asking again for a place that another process may have given back."""
    elsewhere: bool = False
    """Whether a call that is refused here may be made at another target."""

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        passage = self.plan.passage(self.subjects(request), request.controls.tier)
        raw, tokens = NOTHING, None
        if passage.tokens:
            raw = self._guess(request)
            tokens = self.lessons.better(self.target or request.model, raw)
            asks: Asks = passage.asks(_fitting(passage.tokens, raw, tokens))
        elif passage.rows:
            asks = passage.rows
        else:
            return await handler(request)
        hold = await self._admitted(request, asks)
        attempts = len(request.notes.attempts)
        try:
            response = await handler(request)
        except BaseException as error:
            self._settle(hold, _after(request, error, attempts))
            raise
        if response.stream is None:
            self._settle(hold, _used(request, tokens))
            self._learn(request, raw, request.notes.usage)
        else:
            watcher = response.stream.watcher

            def ended(error: BaseException | None) -> None:
                self._settle(hold, _streamed(watcher, error, tokens))
                if error is None:
                    self._learn(request, raw, watcher.usage)

            response.finally_(ended)
        return response

    def _learn(self, request: Request, raw: Guess, usage: Mapping[str, Any] | None) -> None:
        if raw.prompt:
            self.lessons.learn(self.target or request.model, raw, usage)

    def _guess(self, request: Request) -> Guess:
        if request.operation in UNCHARGED:
            return NOTHING  # what it holds and what it costs, nobody here can tell
        name = self.target or request.model
        return self.lessons.guess(request.body.json, name, embeddings=request.operation == "embeddings")

    def _settle(self, hold: Hold, actual: Actual) -> None:
        self.counters.settle(hold, actual)
        self.queue.room(hold.asks)

    async def _admitted(self, request: Request, asks: Asks) -> Hold:
        lease = WITHOUT_DEADLINE if request.deadline is None else request.deadline - self.runtime.clock.now() + GRACE
        if self.queue.empty:
            verdict = await self.counters.take(asks, lease)
            if isinstance(verdict, Taken):
                request.notes.limits = verdict.standings
                request.notes.consulted += ((asks, verdict.each),)
                return verdict.hold
            if verdict.wait == NEVER or not verdict.row.patience:
                raise self._refusal(request, verdict)
        return await self._in_line(request, asks, lease)

    async def _in_line(self, request: Request, asks: Asks, lease: float) -> Hold:
        """Wait for what does not fit now, behind those who came first."""
        began, queue = self.runtime.clock.now(), self.queue
        ticket, at = queue.ticket(request.controls.priority), ""
        try:
            while True:
                signal = Signal()
                if at:
                    queue.wait_at(ticket, at, signal)
                before_us = queue.gives_way(ticket, asks)
                if before_us is None:
                    verdict = await self.counters.take(asks, lease)
                    if isinstance(verdict, Taken):
                        return self._through(request, verdict, began)
                    row, wait = verdict
                else:
                    row, wait = _row(asks, before_us), PLACE_WAIT
                known = before_us is None and row.kind != "places"
                left = self._left(request, row, began)
                if left <= 0 or (known and wait > left):
                    raise self._refusal(request, Full(row, wait))
                if row.key != at:
                    at = row.key  # line up, and look once more: so nothing that happens meanwhile is missed
                elif known:
                    # Tokens come back when calls end that had reserved too many; nobody knows when that is.
                    wait = min(wait, _SLICE) if row.unit == "tokens" else wait
                    await self.runtime.clock.sleep(max(wait, _INSTANT))
                elif not await self._woken(signal, left, before_us is None):
                    raise self._refusal(request, Full(row, wait))
        finally:
            queue.leave(ticket, asks)

    async def _woken(self, signal: Signal, left: float, first: bool) -> bool:
        """Wait for others; False when the time is up. Of what other processes give back nobody tells the first."""
        if first and self.poll is not None and self.poll < left:
            await self.runtime.wait(signal, self.poll)
            return True
        return await self.runtime.wait(signal, left)

    def _through(self, request: Request, verdict: Taken, began: float) -> Hold:
        waited = self.runtime.clock.now() - began
        if waited > 0.0005:
            request.notes.waited += waited
            scopes = ", ".join(dict.fromkeys(row.scope for row, _ in verdict.hold.asks))
            request.notes.say(began, "limit", scope=scopes, waited_s=round(waited, 3))
        request.notes.limits = verdict.standings
        request.notes.consulted += ((verdict.hold.asks, verdict.each),)
        return verdict.hold

    def _left(self, request: Request, row: Row, began: float) -> float:
        """Seconds this call may still wait at this row."""
        now = self.runtime.clock.now()
        left = row.patience - (now - began)
        return left if request.deadline is None else min(left, request.deadline - now)

    def _refusal(self, request: Request, full: Full) -> RateLimited | RequestExceedsLimit:
        row, now = full.row, self.runtime.clock.now()
        if full.wait == NEVER:
            request.notes.say(now, "limit", scope=row.scope, refused=f"never fits: {row.says}")
            return RequestExceedsLimit(
                f"this call alone is more than the {row.scope} limit allows: {row.says}; "
                f"{'lower its max_tokens or its prompt' if row.unit == 'tokens' else 'raise the limit'}"
            )
        request.notes.say(now, "limit", scope=row.scope, refused=row.says, retry_after_s=round(full.wait, 3))
        request.notes.limits = (Standing(row.unit, row.limit, 0, full.wait),)
        refused = RateLimited(f"the {row.scope} limit has no room: {row.says}", retry_after=full.wait)
        refused.elsewhere = self.elsewhere
        return refused


def _fitting(rows: Sequence[Row], raw: Guess, better: Guess) -> int:
    """The better guess; but what was learned from others never makes a call too large for its limits."""
    return min(better.total, max(raw.total, min(row.limit for row in rows)))


def _row(asks: Asks, key: str) -> Row:
    return next(row for row, _ in asks if row.key == key)


def _after(request: Request, error: BaseException, attempts: int) -> Actual:
    """What a call used that came to nothing: as reserved, unless it was never sent or the provider refused it."""
    sent = len(request.notes.attempts) > attempts
    return _NO_TOKENS if not sent or isinstance(error, ProviderFailed) else _AS_RESERVED


def _used(request: Request, tokens: Guess | None) -> Actual:
    total = None if tokens is None else used(request.notes.usage)
    return _AS_RESERVED if total is None else {"tokens": total}


def _streamed(watcher: Watcher, error: BaseException | None, tokens: Guess | None) -> Actual:
    """What a stream used. Cut short, it may not have said so; then each event counts as a token of the answer."""
    if tokens is None:
        return _AS_RESERVED
    total, heard = used(watcher.usage), tokens.prompt + min(watcher.events, tokens.output)
    if total is None:
        return {"tokens": heard}
    return {"tokens": total if error is None else max(total, heard)}
