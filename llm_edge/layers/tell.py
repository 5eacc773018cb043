"""
Closes the books of each call, and tells those who listen: metrics, spans, logs, the usage log.

It stands before everything else, so that it sees what the caller sees. A call is over when its answer is, and every
attempt made for it: only then is it known what was used. What is worked out here (cost, outcome, times) stands in
`notes`, and nobody works it out again. A face that sends the answer itself may have the telling wait until that is
done (`notes.later`), for nobody who waits for an answer waits for that.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from ..errors import CallError
from ..message import Abandoned, Handler, Request, Response
from ..notes import Notes
from ..runtime import Clock

log = logging.getLogger("llm_edge")

Cost: TypeAlias = Callable[[str, Mapping[str, Any] | None, float, str], int | None]
"""Target, usage, seconds since 1970, the model that answered: nano-dollars, or None when unknown."""

READING = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""What nobody asks money for: looking at lists and at what is stored, and deleting it."""
HITS = frozenset({"HIT", "SEMANTIC HIT", "STALE", "COALESCED"})
"""What the cache says of answers that cost nothing."""


Likely: TypeAlias = Callable[[Request, str], Mapping[str, Any] | None]
"""What an attempt at this target has probably used, which ended before anybody said; None where nobody can tell."""


Closes: TypeAlias = Callable[[Request, BaseException | None, float], None]
"""Told of a call that is over, and its bill, at which moment (seconds since 1970); it must not wait."""


def _nothing(request: Request, target: str) -> None: ...


class Hearing(Protocol):
    """One listener's part of one call."""

    def answered(self, response: Response | None, /) -> None:
        """The way down is over: the caller gets its answer, or its error (None). A stream goes on after this."""
        ...

    def over(self, request: Request, error: BaseException | None, /) -> None:
        """All is known. Called once, perhaps by another thread or by the garbage collector: it must not wait."""
        ...


class Listens(Protocol):
    """Wants to hear of calls."""

    def begin(self, request: Request, /) -> Hearing | None:
        """A call begins: who hears of it; None when nobody need."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """The outermost layer. A listener that fails is logged, and costs the caller nothing."""

    clock: Clock
    cost: Cost
    listeners: Sequence[Listens] = ()
    likely: Likely = _nothing
    closes: Sequence[Closes] = ()
    """Those who want to hear of a call's end alone."""

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        hearings = [] if not self.listeners else self._begun(request)
        try:
            response = await handler(request)
        except BaseException as error:
            books = _Books(self, request, hearings)
            books.answered(None)
            books.ended(error)
            raise
        notes, stream = request.notes, response.stream
        notes.status = response.status
        if stream is None and not hearings and _all_over(notes):
            # As most calls end: at once, and heard by nobody who would want to know each step.
            notes.ended = self.clock.now()
            self.hear(request, None, self.bill(request))
            return response
        books = _Books(self, request, hearings)
        books.answered(response)
        if stream is None:
            books.ended(None, notes.later)
        else:
            stream.call = notes.request_id
            response.finally_(books.ended)
        return response

    def _begun(self, request: Request) -> list[Hearing]:
        """Who hears of this call."""
        hearings: list[Hearing] = []
        for listener in self.listeners:
            try:
                hearing = listener.begin(request)
                if hearing is not None:
                    hearings.append(hearing)
            except Exception:
                log.exception("a listener failed at the beginning of a call", extra=request.notes.about)
        return hearings

    def hear(self, request: Request, error: BaseException | None, now: float) -> None:
        """The call is over, and its bill made: those are told who want to hear of the end alone."""
        for close in self.closes:
            try:
                close(request, error, now)
            except Exception:
                log.exception("a listener failed at the end of a call", extra=request.notes.about)

    def bill(self, request: Request) -> float:
        """Work out what a call has cost that is over, and all its attempts. Gives the time it was."""
        notes, cost, now = request.notes, self.cost, self.clock.time()
        if notes.cache in HITS:
            notes.cost = 0
            if notes.saved is None:
                notes.saved = cost(notes.target, notes.usage, now, notes.answered)
            return now
        total: int | None = 0
        for attempt in notes.attempts:
            if attempt.usage is None and not attempt.free:  # cut off before anybody said
                attempt.usage = self.likely(request, attempt.target)
            priced = cost(attempt.target, attempt.usage, now, attempt.answered)
            if priced is None and attempt.usage is None and (attempt.free or request.method in READING):
                priced = 0
            attempt.cost = priced
            total = None if total is None or priced is None else total + priced
        notes.cost = total
        if notes.usage is None and notes.attempts:
            notes.usage = next((each.usage for each in reversed(notes.attempts) if each.usage is not None), None)
        return now


class _Books:
    """One call's, where they cannot be closed at once, or somebody listens to the call."""

    __slots__ = ("_closed", "_error", "_hearings", "_request", "_tell")

    def __init__(self, tell: Tell, request: Request, hearings: Sequence[Hearing]) -> None:
        self._tell, self._request, self._hearings = tell, request, hearings
        self._closed = threading.Lock()  # taken once, by whoever closes the books, and never given back
        self._error: BaseException | None = None

    def answered(self, response: Response | None) -> None:
        for hearing in reversed(self._hearings):
            try:
                hearing.answered(response)
            except Exception:
                log.exception("a listener failed at an answer", extra=self._request.notes.about)

    def ended(self, error: BaseException | None, later: list[Callable[[], None]] | None = None) -> None:
        """The answer is over; what nobody waits for is put into `later`, where there is such a list."""
        notes = self._request.notes
        self._error = error
        notes.ended = self._tell.clock.now()
        if error is not None:
            notes.error, notes.status = _word(error), status_of(error)
        if _all_over(notes):
            self._close(later)
        else:  # an attempt's end comes after its stream's, or it is a hedge that lost
            notes.over = self._attempt_over

    def _attempt_over(self) -> None:
        if _all_over(self._request.notes):
            self._close()

    def _close(self, later: list[Callable[[], None]] | None = None) -> None:
        if not self._closed.acquire(blocking=False):
            return
        request = self._request
        request.notes.over = None
        now = self._tell.bill(request)  # of which the answer tells
        if later is None:
            self._hear(now)
        else:
            later.append(lambda: self._hear(now))

    def _hear(self, now: float) -> None:
        request, error = self._request, self._error
        self._error = None  # it remembers where it was raised, and so these books
        self._tell.hear(request, error, now)
        for hearing in self._hearings:
            try:
                hearing.over(request, error)
            except Exception:
                log.exception("a listener failed at the end of a call", extra=request.notes.about)


def _all_over(notes: Notes) -> bool:
    """Whether every attempt has ended."""
    for attempt in notes.attempts:  # noqa: SIM110  it is asked of every call: no generator
        if attempt.ended is None:
            return False
    return True


def _word(error: BaseException) -> str:
    return "Abandoned" if isinstance(error, Abandoned) or not isinstance(error, Exception) else type(error).__name__


def spoken(cost: int) -> str:
    """Nano-dollars as a decimal number of dollars, exactly."""
    whole, part = divmod(cost, 10**9)
    return f"{whole}.{part:09d}".rstrip("0").rstrip(".")


def status_of(error: BaseException) -> int:
    """The HTTP status that an error stands for; 499 when the caller left."""
    if isinstance(error, CallError):
        return error.status
    return 499 if _word(error) == "Abandoned" else 500
