"""
Room for those who ask: where connections on which nobody asks take up half of the places, they are closed.

The server below gives the head of a request a time. But for the first bytes of a connection it waits for ever, and so
it does between two requests of HTTP/2: whoever opens enough connections, and says nothing, would keep all others out;
and so would peers that are long gone. Linux tells of each socket how long nothing has come and gone; elsewhere nobody
is closed.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from collections.abc import Container, Iterator
from contextlib import suppress
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")
_SENT, _RECEIVED = 44, 52
"""Where in Linux's `tcp_info` it stands for how many milliseconds nothing has been sent, and nothing has come."""
_SERVES = sys.platform == "linux"


class Crowd:
    """The connections of one worker. `busy` holds the peers, as address and port, that wait for an answer."""

    def __init__(self, port: int, most: int, patience: float, busy: Container[tuple[str, str]]) -> None:
        self._port, self._most, self._patience, self._busy = port, most, patience, busy
        self._over = threading.Event()
        self._idle_before: set[tuple[str, str]] = set()

    def begin(self) -> None:
        """Look from now on, in a thread, twice in the time that a connection may be silent."""
        if _SERVES:
            threading.Thread(target=self._look, name="llm_edge crowd", daemon=True).start()

    def end(self) -> None:
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(self._patience / 2):
            with suppress(OSError):  # no descriptor is left for a look: the next one finds some
                self.thin()

    def thin(self) -> int:
        """Close the connections that are idle, if there is a crowd; how many those were."""
        closed, idle = 0, set[tuple[str, str]]()
        if len(list(_DESCRIPTORS.iterdir())) >= self._most / 2:
            for connection in self._connections():
                with connection, suppress(OSError):  # it has just ended by itself
                    host, port = connection.getpeername()[:2]
                    peer = (str(host), str(port))
                    if peer in self._busy or not self._silent(connection):
                        continue
                    idle.add(peer)
                    if peer in self._idle_before:  # one that has only been let in now had to wait with what it asks
                        connection.shutdown(socket.SHUT_RDWR)
                        closed += 1
        self._idle_before = idle
        return closed

    def _silent(self, connection: socket.socket) -> bool:
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        passed: int = min(struct.unpack_from("=I", told, at)[0] for at in (_SENT, _RECEIVED))
        return passed > self._patience * 1e3

    def _connections(self) -> Iterator[socket.socket]:
        """The open connections to our port: each by a descriptor of its own, which nobody else can close meanwhile."""
        for each in list(_DESCRIPTORS.iterdir()):
            with suppress(OSError):
                if not str(each.readlink()).startswith("socket:"):
                    continue
                found = socket.socket(fileno=os.dup(int(each.name)))
                if self._ours(found):
                    yield found
                else:
                    found.close()

    def _ours(self, found: socket.socket) -> bool:
        if found.family not in {socket.AF_INET, socket.AF_INET6} or found.type != socket.SOCK_STREAM:
            return False
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return not listens and found.getsockname()[1] == self._port
