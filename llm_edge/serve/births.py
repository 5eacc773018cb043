"""
A worker that is told to stop while it begins stops, and its parent does not wait for it in vain.

A forked worker inherits its parent's handlers, which would do nothing there until the server sets its own; and those
are heard by the event loop alone, which rests between the app's start and the first request. A word said in either
moment would be lost, and the parent would wait for as long as answers may take. So it is held back until the loop is
there; and the loop is made to look up for each word, for whether it could hear when the word came is not to be known.
And it is said once, however often it comes: granian, told to stop twice before it serves, waits for ever.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
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
            _hear_no_more(loop, number)
            stopping()
            if callable(heard):
                heard(number, frame)
            with suppress(RuntimeError):  # that loop has been closed: all is over
                loop.call_soon_threadsafe(_look_up)

        signal.signal(word, hear)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WORDS)


def _hear_no_more(loop: asyncio.AbstractEventLoop, heard: int) -> None:
    """One word is enough: a second, from the terminal or the parent, would find nobody who takes it off granian."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _WORDS)
    for word in _WORDS:
        if word != heard:
            loop.remove_signal_handler(word)  # it may be on its way to the loop
        signal.signal(word, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WORDS)


def _look_up() -> None:
    """Have the running loop look for words it has been told of and not heard: it does at whatever comes by its pipe."""
    pipe = signal.set_wakeup_fd(-1)
    if pipe < 0:
        return
    signal.set_wakeup_fd(pipe, warn_on_full_buffer=False)
    with suppress(OSError):  # it is full: then it will look up anyway
        os.write(pipe, b"\0")
