"""
What processes tell one another of their breakers, over the store they share.

One that opens leaves a hint, which lasts as long as the breaker stays open; the others find it within a second and
open theirs, once for each hint. What somebody sets by hand is left there, too, and counts in all of them. One thread
tells and looks, and no call ever waits for it: without the store each process goes by what it saw itself, and tells it
once the store is back.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeAlias, cast

from ..runtime import mind_forks
from .places import Place
from .pool import Pool

EVERY = 0.5
"""Seconds between two looks; longer while the store cannot be asked."""
_LONGEST = 30.0
_KEPT = 300_000
"""Milliseconds for which the hints are kept at least; each of them ends by itself before."""
_PATIENCE = 1.0
_MOST_UNTOLD = 1000
"""Words for a store that is away; the oldest are dropped."""

_OPENED = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if ARGV[2] ~= '' then redis.call('ZREM', KEYS[1], ARGV[2]) end
if ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return 1
"""
_LOOK = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local open = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf', 'WITHSCORES')
for i = 2, #open, 2 do open[i] = tostring(open[i] - now) end
return {open, redis.call('HGETALL', KEYS[2])}
"""


class Hint(NamedTuple):
    """Another process has opened its breaker of a place."""

    place: str
    seconds: float
    """For how much longer."""


class Heard(NamedTuple):
    """What is new since the last look."""

    hints: Sequence[Hint]
    forced: Mapping[str, str]
    """What was set by hand: `provider/model` and the word."""


Listener: TypeAlias = Callable[[Heard], None]
_Word: TypeAlias = Callable[["Hints"], None]


class Hints:
    """Those of one process. All of it may be called from anywhere, and never waits."""

    def __init__(
        self, place: Place, *, prefix: str, listener: Listener, every: float = EVERY, patience: float = _PATIENCE
    ) -> None:
        self._pool = Pool(place, patience)
        self._opened, self._forced = f"{prefix}breakers", f"{prefix}breakers:forced"
        self._listener, self._every = listener, every
        self._starting = threading.Lock()
        self._begin()
        mind_forks(self)

    def _begin(self) -> None:
        self._name = os.urandom(8).hex()
        self._untold: deque[_Word] = deque(maxlen=_MOST_UNTOLD)
        self._goes_on: SimpleQueue[bool] = SimpleQueue()
        """Wakes the thread: True when there is something to tell, False to end it."""
        self._ours: dict[str, str] = {}
        self._known: set[str] = set()
        self._words: dict[str, str] = {}
        self._thread: threading.Thread | None = None

    def after_fork(self) -> None:
        self._starting = threading.Lock()
        self._begin()

    def begin(self) -> None:
        """Tell and look from now on."""
        if self._thread is None and self._starting.acquire(blocking=False):
            try:
                self._thread = threading.Thread(
                    target=_serve, args=(weakref.ref(self), self._goes_on, self._every), name="llm_edge hints",
                    daemon=True,
                )  # fmt: skip
                self._thread.start()
            except RuntimeError:
                pass  # no more threads in this process: then it goes by what it sees itself
            finally:
                self._starting.release()

    def opened(self, place: str, generation: int, seconds: float) -> None:
        """The breaker of this place has opened here, for so long."""
        until = time.monotonic() + seconds
        self._say(lambda hints: hints._tell(place, f"{place}:{hints._name}:{generation}", until))

    def closed(self, place: str) -> None:
        """It has closed again."""
        self._say(lambda hints: hints._tell(place, "", 0.0))

    def forced(self, name: str, word: str) -> None:
        """Somebody has set it by hand."""
        said = f"{word} {os.urandom(4).hex()}"
        self._say(lambda hints: hints._set(name, said))

    def close(self) -> None:
        """No more of it."""
        self._goes_on.put(False)
        if self._thread is not None:
            self._thread.join(0.2)
        self._pool.close()

    def _say(self, word: _Word) -> None:
        self._untold.append(word)
        self._goes_on.put(True)

    # ---- on the thread

    def tell(self) -> None:
        """Say all that there is to say. Raises what the store raises; what it did not hear is said the next time."""
        while self._untold:
            word = self._untold.popleft()
            try:
                word(self)
            except Exception:
                self._untold.appendleft(word)
                raise

    def _tell(self, place: str, hint: str, until: float) -> None:
        milliseconds = max(int((until - time.monotonic()) * 1000), 1)
        words = (hint, self._ours.get(place, ""), str(milliseconds), str(max(_KEPT, milliseconds)))
        self._pool.ask(lambda client: client.eval(_OPENED, 1, self._opened, *words))
        if hint:
            self._ours[place] = hint
        else:
            self._ours.pop(place, None)

    def _set(self, name: str, said: str) -> None:
        self._words[name] = said
        self._pool.ask(lambda client: cast("Any", client).hset(self._forced, name, said))

    def look(self) -> None:
        """Tell what is untold, and take in what is new. Raises what the store raises."""
        self.tell()
        told: Any = self._pool.ask(lambda client: client.eval(_LOOK, 2, self._opened, self._forced))
        words = [each.decode() for each in told[0]]
        open_now = dict(zip(words[::2], map(float, words[1::2]), strict=True))
        fresh = [hint for hint in open_now if hint not in self._known and hint.split(":")[1] != self._name]
        self._known = set(open_now)
        named = [each.decode() for each in told[1]]
        forced = dict(zip(named[::2], named[1::2], strict=True))
        changed = {name: said.partition(" ")[0] for name, said in forced.items() if self._words.get(name) != said}
        self._words = forced
        if fresh or changed:
            hints = [Hint(hint.split(":")[0], open_now[hint] / 1000) for hint in fresh]
            self._listener(Heard(hints, changed))


def _serve(hints: weakref.ref[Hints], goes_on: SimpleQueue[bool], every: float) -> None:
    """Ends with `close`, or with the hints themselves."""
    pause, look_at = every, time.monotonic()
    while True:
        looks = False
        try:
            if not goes_on.get(timeout=max(look_at - time.monotonic(), 0.0)):
                return
        except Empty:
            looks = True
        here = hints()
        if here is None:
            return
        try:
            if looks:
                here.look()
            else:
                here.tell()
            pause = every
        except Exception:  # the store is away: told and looked at later
            if looks:
                pause = min(pause * 2, _LONGEST)
        if looks:
            look_at = time.monotonic() + pause
        del here
