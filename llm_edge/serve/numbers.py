"""
What workers count together, and /metrics on a port of its own, so that the port for callers need not tell it.

Every worker listens on that port, and each tells the sums of all. It is served by a thread beside the event loop, which
is asked only whether who asks may know.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import CancelledError
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ..errors import EdgeError
from ..message import Headers
from ..notes import new_id
from ..telemetry.metrics import Metrics
from .problems import HeadersTooLarge, Refused, WrongMethod, refusal, shown
from .wire import GUARDS, RawPairs

EVERY = 0.5
"""Seconds between two times that a worker shares its counts."""
PATIENCE = 10.0
Told = Callable[[Headers], Awaitable[tuple[RawPairs, bytes]]]


class Sharing:
    """Has the counts of this worker reach the others now and then: each time costs as much as a call or two."""

    def __init__(self, counts: Metrics) -> None:
        self._counts = counts
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """To be called on the loop."""
        if self._counts.gather():
            self._go_on(asyncio.get_running_loop())

    def stop(self) -> None:
        """The last time."""
        if self._timer is not None:
            self._timer.cancel()
        self._counts.settle()

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self._counts.settle()
        self._timer = loop.call_later(EVERY, self._go_on, loop)


class Numbers:
    """Listens until it is closed. Raises OSError when the port is taken."""

    def __init__(self, host: str, port: int, told: Told, loop: asyncio.AbstractEventLoop) -> None:
        self._server = _Server((host, port), told, loop)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="llm_edge metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_port = True  # all workers listen there, also while one takes over from another

    def __init__(self, address: tuple[str, int], told: Told, loop: asyncio.AbstractEventLoop) -> None:
        self.told, self.loop = told, loop
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Asked)

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asked is gone: nothing to tell, and nobody to tell it."""


class _Asked(BaseHTTPRequestHandler):
    timeout = PATIENCE

    def do_GET(self) -> None:  # its name is the library's
        if self.path.partition("?")[0] != "/metrics":
            self._say(*refusal(Refused("this port has /metrics only"), "", new_id(), []))
            return
        server = self.server
        assert isinstance(server, _Server), "nobody else is asked"
        headers = Headers([(name, value) for name, value in self.headers.items()])
        try:
            asked = asyncio.run_coroutine_threadsafe(_asked(server.told, headers), server.loop)
            self._say(*asked.result(PATIENCE))
        except (TimeoutError, CancelledError, RuntimeError):
            self.close_connection = True  # it stops

    def _say(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in [*headers, *GUARDS, (b"content-length", str(len(body)).encode()), (b"connection", b"close")]:
            self.send_header(name.decode(), value.decode())
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the library finds wrong, refused as everywhere: its own pages tell its version, and some are 5xx."""
        self.close_connection, self.request_version = True, "HTTP/1.0"
        wrong = Refused("this is no HTTP that is taken here")
        if code == HTTPStatus.NOT_IMPLEMENTED:
            wrong = WrongMethod("this port takes GET")
            wrong.allowed = "GET"
        elif code in {HTTPStatus.REQUEST_URI_TOO_LONG, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE}:
            wrong = HeadersTooLarge("the path or the header fields are too large")
        self._say(*refusal(wrong, "", new_id(), []))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's word
        """Nothing is written for each look."""


async def _asked(told: Told, headers: Headers) -> tuple[int, RawPairs, bytes]:
    try:
        return (200, *await told(headers))
    except EdgeError as error:
        return refusal(shown(error), "", new_id(), [])
