"""
Credentials that run out: got anew in the background, before they do.

Whatever gets one (a token endpoint, a metadata server, a command) may take seconds and may block, so it runs
on a thread of its own, one at a time for all threads and loops. While the old credential is good no call
waits. A call waits, for a bounded time, only when there is none; after a failure the next ones are told at
once, and after a while somebody asks again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, Generic, TypeVar

from ..errors import CallError, NetworkFailed, Unauthorized
from ..providers.base import Wire
from ..providers.keyless import KEY_HEADERS
from ..runtime import Clock, Runtime, Signal, mind_forks

T = TypeVar("T")

EARLY: Final = 300.0
"""Seconds before it runs out when a new one is got."""
LONGEST: Final = 15.0
"""Seconds a call waits when there is none."""
AGAIN: Final = 10.0
"""Seconds before it is tried again, when nothing better came."""
SOON: Final = 1.0
"""The same where the trouble may pass by itself."""


@dataclass(frozen=True, slots=True)
class Fresh(Generic[T]):
    """A credential, and how long it is good."""

    value: T = field(repr=False)
    until: float | None = None
    """Seconds since 1970; None for good."""

    def good(self, moment: float) -> bool:
        """Whether it is good at that moment."""
        return self.until is None or self.until > moment


class Renewed(Generic[T]):
    """
    The newest credential of one source.

    `fetch` gets one, blocking; it raises Unauthorized when there is none to be had, and NetworkFailed when
    there may be one in a moment, each in words that say what to do and show no secret. `what` is the
    credential in words, as "an Entra token". One that does not say when it ends is good for ever; or for `lasts`
    seconds, and asked for again after `again`.
    """

    def __init__(
        self,
        fetch: Callable[[], Fresh[T]],
        *,
        what: str,
        early: float = EARLY,
        lasts: float | None = None,
        again: float = 0.0,
    ) -> None:
        self._fetch, self._what, self._early, self._lasts = fetch, what, early, lasts
        self._again = again
        self._due = inf
        """The moment from which an endless one is asked for again."""
        self._fresh: Fresh[T] | None = None
        self._refused: T | None = None
        """The last one that the provider did not take."""
        self._failure: CallError | None = None
        self._wait_until = -inf
        """The moment from which it may be fetched again."""
        self._fetching: Signal | None = None
        self._lock = threading.Lock()
        mind_forks(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._fetching = None  # its thread is the parent's

    async def get(self, runtime: Runtime, seconds: float | None = None) -> T:
        """
        A credential that is good now, waited for at most so many seconds.

        Raises what `fetch` raises, and NetworkFailed when the time is up.
        """
        clock = runtime.clock
        fresh = self._fresh
        if fresh is not None and fresh.good(clock.time() + self._early) and clock.now() < self._due:
            return fresh.value
        fetching = self._begun(clock)
        if fresh is not None and fresh.good(clock.time()):
            return fresh.value
        longest = LONGEST if seconds is None else min(seconds, LONGEST)
        if fetching is not None and not await runtime.wait(fetching, longest):
            raise NetworkFailed(f"{self._what} did not come within {longest:g} seconds", kind="ConnectTimeout")
        fresh = self._fresh
        if fresh is not None and fresh.good(clock.time()):
            return fresh.value
        if self._failure is not None:
            raise copy(self._failure)  # each call its own: a traceback grows
        raise Unauthorized(f"{self._what} came that has run out already; look whether this machine's clock is right")

    def refused(self, value: T) -> bool:
        """The provider did not take this one: whether another may be had."""
        with self._lock:
            if self._fresh is None or self._fresh.value != value:
                return True  # others have seen to it
            if value == self._refused:
                return False  # it came anew, and is the same
            self._refused, self._fresh, self._wait_until = value, None, -inf
            return True

    def _begun(self, clock: Clock) -> Signal | None:
        """The fetch under way, begun if need be; None shortly after one that gave nothing better."""
        now, moment = clock.now(), clock.time()
        with self._lock:
            if self._fetching is None and now >= self._wait_until:
                done = Signal()
                threading.Thread(
                    target=self._do, args=(done, now, moment), name=f"llm_edge: {self._what}", daemon=True
                ).start()
                self._fetching = done  # only now: a thread that could not be started fetches nothing
            return self._fetching

    def _do(self, done: Signal, now: float, moment: float) -> None:
        fresh: Fresh[T] | None = None
        failure: CallError | None = None
        try:
            fresh = self._fetch()
        except CallError as error:
            failure = error.with_traceback(None)
        except Exception as error:
            # Its words may quote a secret; its name says where to look.
            failure = Unauthorized(f"{self._what} could not be had ({type(error).__name__})")
        if fresh is not None and fresh.until is None and self._lasts is not None:
            fresh = replace(fresh, until=moment + self._lasts)
            self._due = now + self._again
        with self._lock:
            self._fresh, self._failure = fresh or self._fresh, failure
            self._wait_until = now + (SOON if failure is not None and failure.retryable else AGAIN)
            self._fetching = None
        done.set()


class Bearer:
    """Shows a token that is renewed, in the header `authorization`."""

    def __init__(self, tokens: Renewed[str]) -> None:
        self._tokens = tokens

    async def show(self, wire: Wire, runtime: Runtime, seconds: float | None, /) -> Wire:
        """The request with the token, and with no other key. Raises what `Renewed.get` raises."""
        token = await self._tokens.get(runtime, seconds)
        headers = wire.headers.without(*KEY_HEADERS).having({"authorization": f"Bearer {token}"})
        return replace(wire, headers=headers, native=None)

    def refused(self, wire: Wire, /) -> bool:
        """Whether another token may be taken where this request's was not."""
        return self._tokens.refused(wire.headers.get("authorization", "").removeprefix("Bearer "))
