"""The sync colour: coroutines that never really wait, run on the spot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_WAITED = (
    "something in the chain awaited an event loop inside the sync client; "
    "layers may wait only through the clock, a signal, the store and the next handler"
)


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """
    Run a coroutine that never really waits, on the spot, with no event loop.

    Raises RuntimeError when it does wait.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    except RuntimeError as error:
        if str(error) == "no running event loop":  # asyncio's own, before it waits at all
            raise RuntimeError(_WAITED) from error
        raise
    said = RuntimeError(_WAITED)
    try:
        coroutine.close()
    except Exception as error:
        # It waited again, or failed, while being closed; that is not what the caller has to mend.
        raise said from error
    raise said


def drive_iter(source: AsyncIterator[T]) -> Iterator[T]:
    """The sync face of an async iterator whose steps never really wait."""
    while True:
        try:
            item = drive(_step(source))
        except StopAsyncIteration:
            return
        yield item


async def _step(source: AsyncIterator[T]) -> T:
    return await source.__anext__()
