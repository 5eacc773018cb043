"""
Looks after the calls under way: a body that is late ends its call, and so does a caller who leaves.

One timer serves all calls. A timer for each, and a task that waits for the caller's leaving, would cost a call that is
answered at once more than the answer itself.
"""

from __future__ import annotations

import asyncio

from .wire import Receive

STEP = 0.02
"""Seconds between two looks. A caller who leaves still ends the call well within a tenth of a second."""


class Lookout:
    """The calls of one event loop."""

    __slots__ = ("_due", "_looks", "_timer", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._due: dict[Watch, None] = {}
        self._looks = 0
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, receive: Receive, patience: float) -> Watch:
        """Begin to look after the call that runs in this task: its body may take so many seconds."""
        call = asyncio.current_task(self.loop)
        assert call is not None, "a server runs each request in a task"
        one = Watch(self, call, receive, self.loop.time() + patience, self._looks + 2)
        self._due[one] = None
        if self._timer is None:
            self._timer = self.loop.call_later(STEP, self._look)
        return one

    @property
    def busy(self) -> bool:
        """Whether it looks at all."""
        return self._timer is not None

    def forget(self, one: Watch) -> None:
        self._due.pop(one, None)

    def _look(self) -> None:
        self._looks += 1
        now = self.loop.time()
        for one in [*self._due]:
            if one.looked(now, self._looks):
                del self._due[one]
        self._timer = self.loop.call_later(STEP, self._look) if self._due else None


class Watch:
    """One call. First its body may come late; once that is here, the caller may leave."""

    __slots__ = ("_asked", "_begin", "_body_due", "_call", "_lookout", "_receive", "_task", "gone", "late")

    def __init__(
        self, lookout: Lookout, call: asyncio.Task[object], receive: Receive, body_due: float, begin: int
    ) -> None:
        self._lookout, self._call, self._receive = lookout, call, receive
        self._body_due, self._begin = body_due, begin
        self._asked = False
        self._task: asyncio.Task[None] | None = None
        self.gone = self.late = False

    def asked(self) -> None:
        """The body is here: from now on it is the caller who may leave."""
        self._asked = True

    def looked(self, now: float, looks: int) -> bool:
        """Look once; whether that was the last time."""
        if not self._asked:
            if now < self._body_due:
                return False
            self.late = True
            self._call.cancel()
            return True
        if looks < self._begin:
            return False
        self._task = self._lookout.loop.create_task(self._look())
        return True

    async def _look(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.leave()
                return

    def leave(self) -> None:
        """The caller is gone, or as good as gone."""
        self.gone = True
        self._call.cancel()

    def over(self) -> None:
        """The answer is out."""
        if self._task is not None:
            self._task.cancel()
        else:
            self._lookout.forget(self)
