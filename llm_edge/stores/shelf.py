"""What the second tier looks like from above, and what it needs from below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from ..runtime import Runtime
from .entry import Entry
from .tombstones import Marks
from .workers import Workers

Lease: TypeAlias = tuple[str, str]
"""The right to ask upstream: what was claimed, `key` or `key form`, and the token it was claimed with."""
Stays: TypeAlias = Callable[[object], bool]
"""Whether what stands under a key is to stay there, and the new not to be written."""


@dataclass(slots=True)
class TierCounts:
    """What happened at the second tier, counted since the start."""

    hits: int = 0
    misses: int = 0
    errors: int = 0
    skipped: int = 0
    """Asks that were not made because the store had failed."""
    written: int = 0
    dropped: int = 0
    """Entries not written: there were too many, or the store had failed."""
    late: int = 0
    """Entries not written: the lease had run out and somebody else had taken over, or what was there serves more."""
    odd: dict[str, int] = field(default_factory=dict[str, int])
    """Entries that were not what they should be, by reason; each was a miss and is deleted."""


class Tier(Protocol):
    """What the cache layer talks to, in one colour. Nothing here ever raises or makes a call wait for long."""

    async def get(self, key: str, scope: str, /) -> Entry | None:
        """The entry, if the store has it, it is sound, and nobody purged it; stale ones only where that is allowed."""
        ...

    def put(self, entry: Entry, lease: Lease | None = None, /) -> None:
        """Have it written soon; never waits. Under a lease: not when somebody else has claimed the key since."""
        ...

    def put_all(self, entries: Sequence[Entry], /) -> None:
        """Have these written soon, as one: a batch never has to make room for itself."""
        ...

    async def remove(self, key: str, /) -> bool:
        """Have one entry deleted; waits a moment for it. False when that could not be done."""
        ...

    async def purge(self, tag: str, /) -> bool:
        """Have everything under a tag (`tombstones.tag`) forgotten; False when other processes cannot be told yet."""
        ...

    @property
    def crowded(self) -> bool:
        """Whether answers are written so slowly that nobody should wait for another's."""
        ...

    async def claim(self, key: str, token: str, seconds: float, /) -> bool | None:
        """Whether the right to ask upstream for this key is ours now; None when the store cannot say."""
        ...

    def release(self, key: str, token: str, /) -> None:
        """Give that right back, if the token still holds it; never waits."""
        ...

    async def drain(self, seconds: float, /) -> None:
        """Wait until what was put is written, for no longer than this."""
        ...


class Shelf(Protocol):
    """Where the bytes lie. What is not async blocks, and is called by worker threads alone."""

    async def read(self, key: str, marks: bool, runtime: Runtime, workers: Workers, /) -> tuple[object, Marks | None]:
        """The bytes under a key, or None; and the purges, when asked for. TimeoutError when it takes too long."""
        ...

    async def claim(self, key: str, token: str, seconds: float, runtime: Runtime, workers: Workers, /) -> bool:
        """Whether nobody else held the key's claim. TimeoutError when it takes too long."""
        ...

    def every(self) -> Iterator[tuple[str, object]]:
        """All keys of entries, each with its bytes; of no use to purges and claims. Blocks."""
        ...

    def release(self, key: str, token: str, /) -> None: ...
    def put(self, key: str, data: bytes, seconds: float, lease: Lease | None, stays: Stays | None, /) -> bool:
        """False when another has claimed the key after the lease was given, or what is there stays."""
        ...

    def remove(self, key: str, /) -> None: ...
    def marks(self, *, patient: bool = False) -> Marks:
        """What was purged. A patient caller waits for seconds, as nobody's call waits for this."""
        ...

    def mark(self, marks: Marks, /) -> None: ...

    def distrust(self) -> None:
        """What was read was odd: use no connection again that may have mixed up its answers. Never waits."""
        ...

    def leave(self) -> None:
        """This thread will not be back."""
        ...

    def close(self) -> None:
        """Nobody will read any more. Never waits."""
        ...
