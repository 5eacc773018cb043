"""
Threads that do what may hang, so that no call and no event loop has to.

They start when there is something to do, are daemons (a hung disk must not keep the process from ending), and end with
`close` or with the object. Who has nothing to do lies down beside a bell (`bells.py`); who brings work takes the bell
of the one that lay down last, and rings it. Each bell is rung once for each time it lay there, and nobody needs a lock:
even the garbage collector may bring work.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeAlias, TypeVar

from ..runtime import Blocking, Guard, Runtime, Signal, mind_forks
from .bells import Bell, bell, placing

T = TypeVar("T")
Work: TypeAlias = Callable[[], object]
Jobs: TypeAlias = "deque[Work | None]"


GLANCE: Final = 0.001
"""Seconds for which an event loop, too, waits here for what is mostly there sooner than a loop comes round."""
_LATE: Final = 32
"""How many glances are left out after one in vain: a slow disk costs a loop no more than that one now and then."""


class NotYet(Exception):
    """The work was not begun in time: the store is being opened, or all workers are busy. Nobody is to blame."""


class Workers:
    """A few threads that take work from one queue. `leave` is called by each as its last act.

    Those that are `prompt` cost a little more to call, and begin sooner: for work that somebody waits for.
    """

    def __init__(self, name: str, count: int, leave: Work, *, prompt: bool = False) -> None:
        self._name, self._count, self._leave, self._prompt = name, count, leave, prompt
        if prompt:
            placing()  # what it takes is loaded now, and not while the first call waits
        self._begin()
        mind_forks(self)

    def _begin(self) -> None:
        self._starting = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._bells: list[Bell] = []
        self._doors: list[Bell] = []
        """What callers wait at, one for each thread; who finds none takes a lock."""
        self._jobs: Jobs = deque()
        self._idle: list[Bell] = []
        self._end = weakref.finalize(self, _end, self._jobs, self._idle, self._count)
        self._end.atexit = False
        self._late = 0
        """Glances still to be left out."""

    def after_fork(self) -> None:
        # The threads are the parent's, and so is what they were asked to do.
        self._end.detach()
        for each in self._bells + self._doors:
            each.close()
        self._begin()

    def submit(self, work: Work, *, beside: bool = False) -> None:
        """Have it done; work that raises is lost without a word. `beside`: the caller waits for it from now on."""
        jobs, threads = self._jobs, self._threads
        jobs.append(work)
        try:
            lying = self._idle.pop()
        except IndexError:
            if len(threads) < self._count and (jobs or not threads):
                self._hire()
        else:
            lying.ring(beside=beside)

    def _hire(self) -> None:
        # Whoever finds the lock taken need not wait: a thread is being started.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if len(self._threads) < self._count and self._end.alive:
                own = bell(prompt=self._prompt)
                given = self._jobs, self._idle, own, self._leave
                thread = threading.Thread(target=_serve, args=given, name=f"llm_edge {self._name}", daemon=True)
                thread.start()
                self._threads.append(thread)
                self._bells.append(own)
                self._doors.append(bell(prompt=self._prompt))
        except RuntimeError:
            pass  # no more threads in this process, or it is ending: what waits has its own bound
        finally:
            self._starting.release()

    async def run(self, work: Callable[[], T], runtime: Runtime, seconds: float, *, glance: bool = False) -> T:
        """
        The work's result. TimeoutError when it is not there in time, NotYet when it was not even begun.

        `glance`: an event loop waits for it here a moment, before it goes on to other things.
        """
        asked = _Asked(work)
        if isinstance(runtime, Blocking):
            over = self._here(asked, seconds)
        elif glance and self._late <= 0:
            over = self._here(asked, GLANCE)
            if not over:
                self._late = _LATE
                over = await runtime.wait(asked.over, seconds)
        else:
            self._late -= 1
            self.submit(asked.do)
            over = await runtime.wait(asked.over, seconds)
        if not over:
            asked.given_up = True
            raise TimeoutError if asked.begun else NotYet
        if asked.error is not None:
            raise asked.error
        return asked.results[0]

    def _here(self, asked: _Asked[T], seconds: float) -> bool:
        """Have it done while this thread waits; whether it was done in time."""
        doors, rung = self._doors, False
        try:
            door, own = doors.pop(), True
        except IndexError:
            door, own = bell(prompt=False), False
        asked.over.subscribe(door.ring)
        self.submit(asked.do, beside=True)
        try:
            rung = door.wait(seconds)
        finally:
            if own:  # one that did not ring may still do so
                doors.append(door if rung else bell(prompt=self._prompt))
        return rung or asked.over.is_set

    def close(self) -> None:
        """Let the threads end once they have done what they have."""
        self._end()
        while self._doors:
            self._doors.pop().close()

    def join(self, seconds: float) -> None:
        """Wait for the threads to end."""
        for thread in self._threads:
            thread.join(seconds)


def _end(jobs: Jobs, idle: list[Bell], count: int) -> None:
    jobs.extend([None] * count)
    while idle:
        try:
            lying = idle.pop()
        except IndexError:
            return  # it was woken by another
        lying.ring()


def _serve(jobs: Jobs, idle: list[Bell], own: Bell, leave: Work) -> None:
    while (work := _next(jobs, idle, own)) is not None:
        try:
            work()
        except Exception:  # noqa: S110  whoever wants to know has wrapped it
            pass
        work = None  # the next may be long in coming: what this one holds should not wait with it
    try:
        leave()
    except Exception:  # noqa: S110  it leaves all the same
        pass
    own.close()


def _next(jobs: Jobs, idle: list[Bell], own: Bell) -> Work | None:
    while True:
        try:
            return jobs.popleft()
        except IndexError:
            pass
        idle.append(own)
        if jobs:  # brought by who looked for a bell before ours lay there
            try:
                idle.remove(own)
                continue
            except ValueError:
                pass  # another has taken it, and rings
        own.wait()


class _Asked(Generic[T]):
    """Work that somebody waits for."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self.over = Signal()
        self.results: list[T] = []
        self.error: Exception | None = None
        self.begun = self.given_up = False

    def do(self) -> None:
        if self.given_up:
            return
        self.begun = True
        try:
            self.results.append(self._work())
        except Exception as error:
            self.error = error
        finally:
            self.over.set()


_MUCH: Final = 64
"""Things to do beyond which nobody is let wait for all of them."""
_Item: TypeAlias = tuple[int, Work, int, Signal | None]
"""Its number, what is to be done, its size in bytes, and what is set then."""


class Behind:
    """
    A bounded queue of work done behind the callers' backs, in order, by one thread.

    When there is too much of it the oldest is dropped. What others wait for (`soon`) is not dropped with the rest, and
    no longer waits for it once there is much of it. Adding never waits, whoever adds: a layer, or the garbage collector
    that ends a stream.
    """

    def __init__(self, workers: Workers, *, items: int = 1024, bytes: int = 32 * 2**20) -> None:  # noqa: A002  as elsewhere
        self._workers, self._items, self._bytes = workers, items, bytes
        self._guard = Guard()
        self._waiting: deque[_Item] = deque()
        self._soon: deque[_Item] = deque()
        self._held = self._number = 0
        self._busy = False
        self.dropped = 0
        mind_forks(self)

    def after_fork(self) -> None:
        self._waiting.clear()
        self._soon.clear()
        self._held, self._busy = 0, False

    def add(self, work: Work, size: int = 0, done: Signal | None = None, *, soon: bool = False) -> None:
        """Have it done; `done` is set once it was, or was dropped."""
        self._guard.post(lambda: self._add(work, size, done, self._soon if soon else self._waiting))

    @property
    def crowded(self) -> bool:
        """Whether there is much to do, so that what is added now may be long in coming."""
        return len(self._waiting) > _MUCH or len(self._soon) > _MUCH

    def _add(self, work: Work, size: int, done: Signal | None, line: deque[_Item]) -> None:
        self._number += 1
        line.append((self._number, work, size, done))
        self._held += size
        while len(line) > self._items or (line is self._waiting and self._held > self._bytes and len(line) > 1):
            _, _, size, done = line.popleft()
            self._held -= size
            self.dropped += 1
            if done is not None:
                done.set()
        if not self._busy:
            self._busy = True
            self._workers.submit(self._empty)

    def _take(self) -> _Item | None:
        waiting, soon = self._waiting, self._soon
        if soon and (not waiting or len(waiting) > _MUCH or soon[0][0] < waiting[0][0]):
            waiting = soon
        if not waiting:
            self._busy = False
            return None
        item = waiting.popleft()
        self._held -= item[2]
        return item

    def _empty(self) -> None:
        while (item := self._guard.do(self._take)) is not None:
            _, work, _, done = item
            try:
                work()
            except Exception:  # noqa: S110  whoever wants to know has wrapped it
                pass
            finally:
                if done is not None:
                    done.set()
            del item, work

    async def drained(self, runtime: Runtime, seconds: float) -> bool:
        """Wait until all that was added before now is done; False when the time is up first."""
        if not self._waiting and not self._soon and not self._busy:
            return True
        done = Signal()
        self.add(_nothing, done=done)
        return await runtime.wait(done, seconds)


def _nothing() -> None: ...
