"""A server that says what it is told to say: what no real one can be brought to say at will."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from llm_edge.stores.places import Place, place

Says = Callable[[list[bytes]], bytes]


class FakeRedis:
    """Takes commands in Redis's protocol, and answers each with what `says` gives; with nothing, it closes."""

    def __init__(self, says: Says) -> None:
        self.says = says
        self._door = socket.create_server(("127.0.0.1", 0))
        self.place: Place = place(f"redis://127.0.0.1:{self._door.getsockname()[1]}/0")
        self._lines: list[socket.socket] = []
        threading.Thread(target=self._take_in, daemon=True).start()

    def _take_in(self) -> None:
        while True:
            try:
                line, _ = self._door.accept()
            except OSError:
                return
            self._lines.append(line)
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        try:
            with line, line.makefile("rb") as heard:
                while (words := _command(heard)) is not None:
                    said = self.says(words)
                    if not said:
                        return
                    line.sendall(said)
        except OSError:
            return  # the other side has gone

    def close(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)  # or who waits at it would go on to, at whatever has its number next
        self._door.close()
        for line in self._lines:
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already


def _command(heard: BinaryIO) -> list[bytes] | None:
    """The next command; None at the end."""
    first = heard.readline()
    if not first.startswith(b"*"):
        return None
    words: list[bytes] = []
    for _ in range(int(first[1:])):
        size = int(heard.readline()[1:])
        words.append(heard.read(size + 2)[:-2])
    return words


@contextmanager
def fake_redis(says: Says) -> Iterator[FakeRedis]:
    """A server for as long as the block lasts. Greetings are answered well."""

    def answer(words: list[bytes]) -> bytes:
        return b"+OK\r\n" if words[0] in {b"CLIENT", b"SELECT", b"AUTH"} else says(words)

    server = FakeRedis(answer)
    try:
        yield server
    finally:
        server.close()


def text(data: bytes) -> bytes:
    """An answer that is these bytes."""
    return b"$%d\r\n%s\r\n" % (len(data), data)
