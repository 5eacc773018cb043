"""Ports for servers that are told theirs before they begin."""

from __future__ import annotations

import itertools
import os
import socket

FIRST, MANY = 10_000, 1_000
_TURNS = itertools.count(os.getpid())


def free_port() -> int:
    """
    A port that stays free until its server listens there, which may be seconds from now.

    One that the system chooses may by then be another's: the system gives it to whoever asks next, for a server or for
    a connection. It gives away none of these, and each of the processes that run tests beside each other has its own
    thousand. What lies 10,000 above is nobody's either: servers of a cluster speak to each other there.
    """
    lane = int(os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw")) % 10
    for _ in range(MANY):
        port = FIRST + lane * MANY + next(_TURNS) % MANY
        with socket.socket() as door:
            try:
                door.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"all ports from {FIRST + lane * MANY} on are taken")
