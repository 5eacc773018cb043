"""
What a forked child must not inherit.

A child has copies of its parent's sockets and none of its threads. It may neither use nor close
what it got: the parent goes on with it.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Inherits(Protocol):
    """Something that holds connections."""

    def reborn(self) -> object:
        """In the child: start afresh; gives what is the parent's and must stay untouched."""
        ...


class _Family:
    """What this process knows about its parent; one for the process, as forks are."""

    def __init__(self) -> None:
        self.living: weakref.WeakSet[Inherits] = weakref.WeakSet()
        self.of_the_parent: list[object] = []  # kept for good, so that nothing in it is ever closed
        self.watching = False
        self.rust_used = False
        self.rust_lost = False

    def in_child(self) -> None:
        self.rust_lost = self.rust_lost or self.rust_used
        self.of_the_parent.extend([thing.reborn() for thing in list(self.living)])


_family = _Family()


def watch(thing: Inherits) -> None:
    """Tell `thing` when it wakes up in a forked child."""
    _family.living.add(thing)
    if not _family.watching and hasattr(os, "register_at_fork"):
        _family.watching = True
        os.register_at_fork(after_in_child=_family.in_child)


def rust_used() -> None:
    """Remember that Rust threads run in this process: a forked child will have none of them."""
    _family.rust_used = True


def rust_lost() -> bool:
    """Whether this is a forked child of a process that used the Rust engine."""
    return _family.rust_lost
