"""
Every order in which a few callers of one flight can go on, be given up, and be overtaken: one step is one wait.

Coroutines are driven by hand. What a thread or a loop would decide (who goes on now) is a choice here, and all choices
are tried, one run for each. Threads share work as `Blocking` has it, loops as `Awaiting` has it; both may meet.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from llm_edge.runtime import Alarm, Clock, FakeClock, Home, Running, Runtime, Signal

MOST = 60_000
"""Orders of one scene; more would be too many to try."""


class Given(BaseException):
    """Thrown into a caller that is given up; no Exception, as asyncio's own is none."""


class Pause:
    """A wait that ends when its signal is set; without one it may end at any time."""

    def __init__(self, signal: Signal | None = None) -> None:
        self.signal = signal

    def __await__(self) -> Generator[Pause, None, None]:
        yield self


@dataclass
class Actor:
    """One coroutine that is somewhere on its way."""

    name: str
    work: Coroutine[Any, Any, Any]
    over: Callable[[], None] | None = None
    begun: bool = False
    doomed: bool = False
    """It is cancelled, and will find out when it goes on."""
    may_leave: bool = False
    """Its loop can cancel it; nobody can cancel a thread."""
    given_up: bool = False
    waits: Signal | None = None
    done: Signal = field(default_factory=Signal)
    result: Any = None
    error: BaseException | None = None

    @property
    def ready(self) -> bool:
        return not self.done.is_set and (self.doomed or self.waits is None or self.waits.is_set)

    @property
    def may_be_given_up(self) -> bool:
        return self.may_leave and self.begun and not self.given_up and not self.done.is_set

    def give_up(self) -> None:
        # It finds out before anybody else goes on: what comes in between is another order.
        self.given_up = self.doomed = True
        self.step()

    def step(self) -> None:
        self.begun = True
        try:
            pause: Pause = self.work.throw(Given()) if self.doomed else self.work.send(None)
            self.doomed = False
            self.waits = pause.signal
        except StopIteration as end:
            self._ends(end.value, None)
        except BaseException as error:
            self._ends(None, error)

    def _ends(self, result: Any, error: BaseException | None) -> None:
        self.result, self.error = result, error
        if self.over is not None:
            self.over()
        self.done.set()


class Stage:
    """All who are on their way, and where loops and threads are told to wait."""

    def __init__(self) -> None:
        self.actors: list[Actor] = []

    def runtime(self, *, apart: bool) -> Runtime:
        return _Runtime(self, apart)

    def enter(self, name: str, work: Coroutine[Any, Any, Any], over: Callable[[], None] | None = None) -> Actor:
        self.actors.append(Actor(name, work, over))
        return self.actors[-1]


Played: TypeAlias = tuple[Stage, list[Actor]]
"""Who was there, and who of them called."""
Scene: TypeAlias = Callable[[], Played]
"""Sets the stage, each time anew."""


class _Runtime:
    """One colour on the stage."""

    def __init__(self, stage: Stage, apart: bool) -> None:
        self._stage, self.apart = stage, apart
        self.clock: Clock = FakeClock()

    async def wait(self, signal: Signal, seconds: float | None, /) -> bool:
        while not signal.is_set:
            await Pause(signal)
        return True

    def alarm(self) -> Alarm:
        raise NotImplementedError("nothing here is bounded in time")

    def home(self) -> Home:
        return _Home(self._stage, self.apart)


class _Home:
    def __init__(self, stage: Stage, apart: bool) -> None:
        self._stage, self.apart = stage, apart

    def mine(self, runtime: Any, /) -> bool:
        return bool(runtime.apart == self.apart)

    def stopped_by(self, runtime: Any, /) -> bool:
        return False

    def start(
        self, work: Callable[[], Coroutine[Any, Any, None]], over: Callable[[], None] | None = None, /
    ) -> Running:
        return _Running(self._stage.enter("work", work(), over), self.apart)


class _Running:
    def __init__(self, actor: Actor, apart: bool) -> None:
        self._actor, self._apart, self._told = actor, apart, Signal()

    def cancel(self) -> None:
        if self._apart and not self._actor.done.is_set:
            self._actor.doomed = True

    async def gone(self) -> None:
        self.cancel()
        while not self._actor.done.is_set:
            await Pause(self._actor.done)

    async def told(self) -> None:
        while not self._told.is_set:
            await Pause(self._told)

    def tell(self) -> None:
        self._told.set()


def orders(scene: Scene, *, give_up: int = 0) -> Iterator[Played]:
    """
    The scene played to its end in every order, with up to so many of its callers given up at any of their waits.

    Fails when somebody waits for what nobody will bring about.
    """
    path: list[int] = []
    for _ in range(MOST):
        chosen, played = _play(scene, give_up, lambda at, width: path[at] if at < len(path) else 0)  # noqa: B023  used up here
        yield played
        path = _next(chosen)
        if not path:
            return
    raise AssertionError("there are too many orders")


def some_orders(scene: Scene, count: int, *, give_up: int = 0) -> Iterator[Played]:
    """As many of them, by chance; the same each time."""
    chance = random.Random(count)
    for _ in range(count):
        yield _play(scene, give_up, lambda at, width: chance.randrange(width))[1]


def _play(scene: Scene, give_up: int, choose: Callable[[int, int], int]) -> tuple[list[tuple[int, int]], Played]:
    """One run: what was chosen, of how many each time."""
    stage, callers = scene()
    chosen: list[tuple[int, int]] = []
    left = give_up
    while any(not actor.done.is_set for actor in stage.actors):
        ready = [actor for actor in stage.actors if actor.ready]
        assert ready, f"all wait: {[(actor.name, actor.begun) for actor in stage.actors if not actor.done.is_set]}"
        leaving = [caller for caller in callers if left and caller.may_be_given_up]
        choice = choose(len(chosen), len(ready) + len(leaving))
        chosen.append((choice, len(ready) + len(leaving)))
        if choice < len(ready):
            ready[choice].step()
        else:
            left -= 1
            leaving[choice - len(ready)].give_up()
    return chosen, (stage, callers)


def _next(chosen: list[tuple[int, int]]) -> list[int]:
    """The path after this one; empty when that was the last."""
    while chosen and chosen[-1][0] + 1 >= chosen[-1][1]:
        chosen.pop()
    return [choice for choice, _ in chosen[:-1]] + [chosen[-1][0] + 1] if chosen else []
