"""
A worker that is told to stop while it begins stops, and its parent does not wait for it in vain.

A forked worker inherits its parent's handlers, which would do nothing there until the server sets its own; and those
are heard by the event loop alone, which rests between the app's start and the first request. A word said in either
moment would be lost, and the parent would wait for as long as answers may take. So it is held back until the loop can
hear it, and said again where the loop rests.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import FrameType

_WORDS = (signal.SIGTERM, signal.SIGINT)


def mind() -> None:
    """Of all workers that this process makes from now on."""
    if not hasattr(os, "register_at_fork"):
        return
    parent = os.getpid()

    def before() -> None:
        if os.getpid() == parent:
            signal.pthread_sigmask(signal.SIG_BLOCK, _WORDS)

    def after() -> None:
        if os.getpid() == parent:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WORDS)

    os.register_at_fork(before=before, after_in_parent=after)


def over(loop: asyncio.AbstractEventLoop, stopping: Callable[[], None]) -> None:
    """This worker has begun: its loop runs, and its handlers are set. `stopping` is told as soon as the word comes."""
    if not hasattr(signal, "pthread_sigmask"):
        return
    for word in _WORDS:
        heard = signal.getsignal(word)

        def hear(number: int, frame: FrameType | None, heard: object = heard) -> None:
            stopping()
            if callable(heard):
                heard(number, frame)
            if not loop.is_running():
                loop.call_soon(signal.raise_signal, number)

        signal.signal(word, hear)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WORDS)
