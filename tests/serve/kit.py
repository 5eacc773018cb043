"""The sidecar for tests: called in this process as an ASGI app, or run as a process and called over sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..ports import free_port

ROOT = Path(__file__).resolve().parents[2]
CHAT = "/v1/chat/completions"


def question(text: str = "Hi", **fields: Any) -> dict[str, Any]:
    return {"model": "fast", "messages": [{"role": "user", "content": text}], **fields}


@dataclass
class Said:
    """An answer of the app."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    pieces: list[bytes] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def called(
    app: Any,
    method: str,
    path: str,
    body: bytes | Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    *,
    query: str = "",
    scheme: str = "http",
    pieces: Sequence[bytes] | None = None,
    root: str = "",
    reads: float = math.inf,
) -> Said:
    """One request to an ASGI app, of whose answer so many pieces are read."""
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    coming = [*(pieces if pieces is not None else [raw])]
    given = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    if not any(name == "host" for name, _ in given):
        given.insert(0, ("host", "127.0.0.1"))
    said = Said()
    over = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if coming:
            piece = coming.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(coming)}
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            said.status = message["status"]
            said.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        else:
            if len(said.pieces) == reads:
                await over.wait()
            said.pieces.append(message.get("body", b""))
            said.body += message.get("body", b"")

    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
        "root_path": root, "query_string": query.encode(), "scheme": scheme,
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 5),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given],
    }  # fmt: skip
    await app(scope, receive, send)
    over.set()
    return said


def until(happened: Callable[[], object], process: Process | None = None) -> bool:
    """Waits for it; long enough for the slowest machine. What a process has printed is told when it never happens."""
    for _ in range(12_000):
        if happened():
            return True
        threading.Event().wait(0.005)
    raise AssertionError(f"it never happened: {process.lines if process is not None else ''}")


class Process:
    """`python -m llm_edge.serve` in a process of its own."""

    def __init__(
        self, folder: Path, toml: str, *options: str, env: Mapping[str, str] | None = None, port: int | None = None
    ) -> None:
        self.port = port or free_port()
        self.file = folder / "edge.toml"
        self.file.write_text(toml)
        clean = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_TOKEN"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llm_edge.serve", "--config", str(self.file), "--port", str(self.port), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={**clean, "PYTHONPATH": str(ROOT), **(env or {})},
        )
        self.lines: list[str] = []
        self._printed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._printed:
                self.lines.append(line.rstrip())
                self._printed.notify_all()

    def printed(self, words: str, seconds: float = 60) -> str:
        """The first line with these words, once it is there."""

        def found() -> str | None:
            return next((line for line in self.lines if words in line), None)

        with self._printed:
            self._printed.wait_for(lambda: found() is not None, seconds)
            line = found()
        assert line is not None, f"never printed {words!r}: {self.lines}"
        return line

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> Process:
        """Once it answers."""
        for _ in range(6000):
            try:
                with self.connected():
                    return self
            except ConnectionRefusedError:
                assert self.process.poll() is None, self.lines
                threading.Event().wait(0.01)
        raise AssertionError(f"never came up: {self.lines}")

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def raw(self, data: bytes) -> bytes:
        """What comes back for these bytes, up to the end of the connection."""
        with self.connected() as sock:
            try:
                sock.sendall(data)
            except OSError:
                pass  # it is refused before all is sent
            return everything(sock)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        code = self.process.wait(120)
        self._reader.join(5)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(120)
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()


def everything(sock: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            found += piece
    return found


@contextlib.contextmanager
def running(
    folder: Path, toml: str, *options: str, env: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[Process]:
    process = Process(folder, toml, *options, env=env, port=port)
    try:
        yield process.up()
    finally:
        process.close()


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A request as it is on the wire."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
