"""The sockets of another process, looked at from here."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_GETFD = 438  # pidfd_getfd, the same number on every machine that Linux runs on but alpha


def children(process: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@contextmanager
def connections(process: int) -> Iterator[list[socket.socket]]:
    """Copies of its TCP connections; closing them closes nothing over there."""
    library = ctypes.CDLL(None, use_errno=True)
    handle = os.pidfd_open(process)
    found: list[socket.socket] = []
    try:
        for entry in Path(f"/proc/{process}/fd").iterdir():
            if not str(entry.readlink()).startswith("socket:"):
                continue
            copied = library.syscall(_GETFD, handle, int(entry.name), 0)
            if copied < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            sock = socket.socket(fileno=copied)
            if sock.family == socket.AF_INET and sock.type == socket.SOCK_STREAM:
                found.append(sock)
            else:
                sock.close()
        yield found
    finally:
        os.close(handle)
        for each in found:
            each.close()


def listens(process: int) -> bool:
    """Whether it takes connections by now: a worker is there some time before."""
    try:
        with connections(process) as found:
            return any(each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for each in found)
    except OSError:
        return False  # it closed one while we looked
