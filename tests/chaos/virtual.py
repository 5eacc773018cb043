"""An event loop whose time jumps: waits cost nothing, and the same seed gives the same run."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(AssertionError):
    """Every task waits for something that no timer will bring."""


class _Jumping(selectors.DefaultSelector):  # type: ignore[valid-type, misc]  # whichever this system has
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        events: list[Any] = super().select(0)
        if not events:
            if timeout is None:
                raise Stuck("all tasks wait and no timer is set")
            self.now += max(timeout, 0.0)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs until nothing can be done now, then jumps to the next timer."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class LoopTime:
    """The clock of a chain that lives on such a loop."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def time(self) -> float:
        return 1_795_000_000.0 + self.now()

    async def sleep(self, seconds: float, /) -> None:
        await asyncio.sleep(seconds)


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
