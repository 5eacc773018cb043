"""Stands between a store and its server, and holds back what the server says to the first script."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Relay:
    """`port` is where the store is to go. `held` happens when there is something to hold back."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server, self._bound = server, socket.create_server(("127.0.0.1", 0))
        self.port = int(self._bound.getsockname()[1])
        self.held, self.come = threading.Event(), threading.Event()
        self.answered = 0
        """Scripts that were answered since."""
        self._lock = threading.Lock()
        threading.Thread(target=self._take_in, daemon=True).start()

    def _take_in(self) -> None:
        while True:
            try:
                here, _ = self._bound.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(here,), daemon=True).start()

    def _carry(self, here: socket.socket) -> None:
        script = False
        with here, socket.create_connection(self._server) as there, selectors.DefaultSelector() as ready:
            ready.register(here, selectors.EVENT_READ, there)
            ready.register(there, selectors.EVENT_READ, here)
            while True:
                for key, _ in ready.select():
                    sock, other = (here, there) if key.data is there else (there, here)
                    data = sock.recv(65536)
                    if not data:
                        return
                    if sock is here:
                        script = script or b"EVAL" in data
                    elif script and data[:1] != b"-":  # the server may not know the script yet
                        script = False
                        self._let_pass()
                    other.sendall(data)

    def _let_pass(self) -> None:
        with self._lock:
            first = not self.held.is_set()
            self.held.set()
            self.answered += not first
        if first:
            self.come.wait(60)

    def close(self) -> None:
        self.come.set()
        self._bound.close()


@contextmanager
def relayed(server: tuple[str, int]) -> Iterator[Relay]:
    relay = Relay(server)
    try:
        yield relay
    finally:
        relay.close()
