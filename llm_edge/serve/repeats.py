"""
What was understood before: header fields and calls of the very same bytes are not read twice.

Clients send the same header fields with each call, and what the cache answers is asked again and again. Only calls
that the cache has answered are remembered here, so others pay for no more than a look.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeAlias, TypeVar

from ..message import Headers, Request
from .callers import Caller
from .intake import framing_of

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

LARGEST = 32 * 1024
"""Bytes of a body that is remembered."""
HEADS, CALLS = 512, 512
"""How many of each; with bodies of the usual size this is a few MiB at most."""
BYTES = 4 * 2**20
"""Bytes of all bodies together."""


class Recent(Generic[K, V]):
    """A bounded memory: what came first goes first."""

    __slots__ = ("_kept", "_most", "_sizes", "_weight")

    def __init__(self, most: int) -> None:
        self._most, self._weight = most, 0
        self._kept: dict[K, V] = {}
        self._sizes: dict[K, int] = {}

    def get(self, key: K) -> V | None:
        return self._kept.get(key)

    def put(self, key: K, value: V, size: int = 0) -> None:
        if key in self._kept:
            self._drop(key)
        while self._kept and (len(self._kept) >= self._most or self._weight + size > BYTES):
            self._drop(next(iter(self._kept)))
        self._kept[key], self._sizes[key] = value, size
        self._weight += size

    def __len__(self) -> int:
        return len(self._kept)

    def _drop(self, key: K) -> None:
        del self._kept[key]
        self._weight -= self._sizes.pop(key)


class Head:
    """The header fields of a request, looked at: as they came, and as the chain may see them."""

    __slots__ = ("all", "framing", "inner", "json", "stranger")

    def __init__(self, headers: Headers, inner: Headers) -> None:
        self.all, self.inner = headers, inner
        self.framing = framing_of(headers)
        self.json = False
        """The body is said to be JSON."""
        self.stranger = False
        """A page asks that may not."""


Same: TypeAlias = tuple[Head, str, bytes, bytes]
"""Head, path, query and body of a request."""


class Repeats:
    """The memory of one sidecar."""

    __slots__ = ("_calls", "heads")

    def __init__(self) -> None:
        self.heads: Recent[tuple[tuple[bytes, bytes], ...], Head] = Recent(HEADS)
        self._calls: Recent[Same, tuple[Caller, Request]] = Recent(CALLS)

    def __len__(self) -> int:
        return len(self._calls)

    def call(self, same: Same, caller: Caller) -> Request | None:
        """The call that these bytes were when the same caller sent them last."""
        found = self._calls.get(same)
        if found is None:
            return None
        before, request = found
        return request if before is caller or before == caller else None

    def remember(self, same: Same, caller: Caller, request: Request) -> None:
        """Keep what these bytes mean, when it was of use."""
        size = len(same[3])
        if request.notes.cache == "HIT" and size <= LARGEST:
            self._calls.put(same, (caller, request), size)
