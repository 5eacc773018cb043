"""Sends copies of calls to other targets, beside the caller, who never hears of them."""

from __future__ import annotations

import logging
from dataclasses import replace

from ..errors import EdgeError
from ..message import Handler, Layer, Request, stack
from ..notes import Notes
from ..runtime import Guard, Runtime, mind_forks

log = logging.getLogger("llm_edge")

MOST = 32
"""Copies under way at once; those beyond are not made, so that a slow target holds nothing up."""


class Copies:
    """How many are under way, in both colours together."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self.under_way = 0
        self._guard = Guard()
        mind_forks(self)

    def after_fork(self) -> None:
        # The copies under way are the parent's.
        self.under_way = 0

    def begin(self) -> bool:
        """Whether there is room for one more; then it counts."""
        return self._guard.do(self._begin)

    def _begin(self) -> bool:
        room = self.under_way < self._most
        self.under_way += room
        return room

    def end(self) -> None:
        self._guard.post(self._end)

    def _end(self) -> None:
        self.under_way -= 1


class Mirror:
    """Makes the copies of one colour."""

    def __init__(self, copies: Copies, runtime: Runtime, books: Layer | None = None) -> None:
        self._copies, self._runtime, self._books = copies, runtime, books

    def send(self, request: Request, name: str, ask: Handler) -> None:
        """Have this target asked, too. What it answers is read to its end and thrown away."""
        if request.upload is not None or not self._copies.begin():
            return
        notes = request.notes
        own = Notes(model=notes.model, operation=notes.operation, started=notes.started, route=notes.route)
        copy = replace(request, notes=own, native=None)
        if self._books is not None:
            ask = stack([self._books], ask)  # nobody sees the answer, and yet it is paid for
        notes.say(self._runtime.clock.now(), "shadow", asks=name)
        try:
            self._runtime.home().start(lambda: _read(copy, name, ask), self._copies.end)
        except RuntimeError:  # no more threads: the copy is not worth the call
            self._copies.end()


async def _read(request: Request, name: str, ask: Handler) -> None:
    try:
        response = await ask(request)
        if response.stream is not None:
            async for _ in response.stream:
                pass
    except EdgeError as error:
        log.debug("the shadow %s failed: %s", name, type(error).__name__, extra=request.notes.about)
    except Exception:
        log.exception("the shadow %s failed", name, extra=request.notes.about)
