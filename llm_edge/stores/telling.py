"""
What a process owes a shared store: told behind the callers' backs, in order, and again where nobody knows whether it
was heard; a settlement that is told twice is made once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from ..exact import is_object
from ..runtime import Clock
from .fuse import Fuse
from .lanes import library
from .pool import Pool
from .wire import Batch, hopeless, ran
from .workers import Workers

log = logging.getLogger("llm_edge.stores")

_TICK = 0.05
"""Seconds between two looks at what has to go back."""
_MOST_UNTOLD = 2000
_MOST_ALONG = 10


class Telling:
    """
    Of one process. `owed` gives what has come up since it was last asked, `rests` whether nothing will come up later;
    `renew` keeps what lasts from running out.
    """

    def __init__(
        self, pool: Pool, fuse: Fuse, clock: Clock, *, prefix: str, owed: Callable[[], Sequence[Batch]],
        rests: Callable[[], bool], renew: Callable[[], None],
    ) -> None:  # fmt: skip
        self._pool, self._fuse, self._clock, self._probe_key = pool, fuse, clock, f"{prefix}probe"
        self._owed, self._rests, self._renew = owed, rests, renew
        self.workers = Workers("limits", 8, pool.leave, prompt=True)
        self.behind = Workers("limits behind", 1, pool.leave)
        self.forget()

    def forget(self) -> None:
        """Begin anew, as in a forked child."""
        self._untold: deque[Batch] = deque(maxlen=_MOST_UNTOLD)
        self._mouth = threading.Lock()
        self._asked = self._ticking = self._closed = self._asked_of_memory = False

    def close(self) -> None:
        """Tell what is left, and end. What the store does not hear of at once runs out there by itself."""
        self._closed = True
        self.behind.submit(self.all_now)
        self.behind.close()
        self.behind.join(0.2)
        self.workers.close()

    def soon(self, *, urgent: bool) -> None:
        """Have the store told what it is owed."""
        if urgent and not self._asked:
            self._asked = True
            self.workers.submit(self.all_now)
        if not self._ticking and not self._closed:
            self._ticking = True
            self.behind.submit(self._tick)

    def cancel(self, batch: Batch) -> None:
        """Nobody knows whether a take was made: have it undone."""
        self._untold.append(batch)
        self.soon(urgent=False)

    def take_along(self) -> list[Batch]:
        """What the store should hear of before it is asked for money: what calls came to that have just ended."""
        self._untold += self._owed()
        found: list[Batch] = []
        try:
            while len(found) < _MOST_ALONG:
                found.append(self._untold.popleft())
        except IndexError:
            pass
        return found

    def later(self, batches: Sequence[Batch]) -> None:
        """They may not have been heard."""
        self._untold.extendleft(reversed(batches))
        self.soon(urgent=False)

    @property
    def busy(self) -> bool:
        """Whether something is on its way, or about to be, that somebody may be waiting for."""
        return self._asked or self._mouth.locked() or bool(self._untold)

    def _warn_of_evictions(self) -> None:
        """A store that throws keys away when it is full forgets limits and budgets with them."""
        try:
            said: Any = self._pool.ask(lambda client: cast("Any", client).info("memory"))
        except (OSError, library().RedisError):
            return  # away, or nobody's business: then there is nothing to say
        policy = str(said.get("maxmemory_policy", "noeviction")) if is_object(said) else "noeviction"
        if policy != "noeviction" and said.get("maxmemory"):
            log.warning(
                "the store of limits and budgets evicts keys when it is full (maxmemory-policy is %s), and counts with "
                "them; give them a database of their own, with noeviction", policy,
            )  # fmt: skip

    @property
    def rests(self) -> bool:
        """Whether there is nothing to tell, and nothing here that will have to go back."""
        return not self._untold and self._rests()

    def all_now(self) -> None:
        """On a worker: when it ends the store has heard all there was to say when it began, or cannot be asked."""
        # One at a time: who has had his turn knows that nothing is on its way any more.
        with self._mouth:
            self._asked = False
            self._untold += self._owed()
            self._tell()

    def probe(self) -> None:
        """Have somebody find out whether the store is back."""
        self.workers.submit(self.look)

    def look(self) -> None:
        """On a worker: whether the store is back; then it is used again."""
        good = False
        try:
            # A write: a server without memory, and a copy that may not be written to, answer questions all the same.
            self._pool.ask(lambda client: client.set(self._probe_key, b"1", px=1000))
            # Before anybody asks for room: what came back meanwhile, and takes that nobody heard the end of.
            with self._mouth:
                self._untold += self._owed()
                good = self._tell(always=True)
        except (OSError, library().RedisError):
            pass
        finally:
            self._fuse.probed(self._clock.now(), good=good)

    def _tick(self) -> None:
        try:
            if not self._asked_of_memory:
                self._asked_of_memory = True
                self._warn_of_evictions()
            while not self._closed:
                time.sleep(_TICK)  # this thread has nothing else to do
                if self._fuse.blown and self._fuse.ask(self._clock.now()) == "probe":
                    self.look()  # calls may be rare, and what is owed should not wait for the next one
                self.all_now()
                self._renew()
                self._ticking = not self.rests
                if not self._ticking:
                    # Whoever came between found us still at it, and left it to us.
                    self._ticking = not self.rests
                    if not self._ticking:
                        return
        finally:
            self._ticking = False

    def _tell(self, *, always: bool = False) -> bool:
        """Whether the store has heard all there was to say; while it is left alone it is told only `always`."""
        while self._untold and (always or not self._fuse.blown):
            try:
                batch = self._untold.popleft()
            except IndexError:
                return True  # a call took the last one along
            try:
                self._pool.ask(partial(ran, batch=batch))
            except Exception as error:
                if hopeless(error):
                    continue
                # Told again once the store is back.
                self._untold.appendleft(batch)
                self._fuse.bad(self._clock.now(), at_once=isinstance(error, TimeoutError))
                return False
        return not self._untold
