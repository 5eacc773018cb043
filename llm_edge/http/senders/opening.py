"""How a thread opens a connection: each of a host's addresses in turn, all within the time that is left."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

from ..sender import Patience
from .faults import failed, redrawn
from .http1 import Way
from .names import addresses


def opened(way: Way, context: ssl.SSLContext | None, patience: Patience) -> socket.socket:
    """A connection there, secured where `context` says how. Raises NetworkFailed."""
    clock, limit = patience.clock, patience.connect
    seconds = patience.remaining()
    if seconds is None or (limit is not None and limit < seconds):
        seconds = limit
    moment = None if seconds is None else clock.now() + seconds

    def left() -> float | None:
        if moment is None:
            return None
        rest = moment - clock.now()
        if rest <= 0:
            raise failed("ConnectTimeout")
        return rest

    fault: Exception = failed("ConnectError")
    for where in _found(way, left()):
        try:
            sock = socket.create_connection((where, way.port), left())
        except TimeoutError:
            fault = failed("ConnectTimeout")
        except OSError as error:
            fault = redrawn(error, kind="ConnectError")
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock if context is None else _secured(sock, context, way.host, left)
    try:
        raise fault
    finally:
        del fault  # an error that its own traceback leads to waits for the garbage collector


def _found(way: Way, seconds: float | None) -> list[str]:
    try:
        return addresses(way.host, way.port, seconds)
    except TimeoutError:
        raise failed("ConnectTimeout") from None
    except Exception as error:
        raise redrawn(error, kind="ConnectError") from None


def _secured(
    sock: socket.socket, context: ssl.SSLContext, host: str, left: Callable[[], float | None]
) -> socket.socket:
    try:
        sock.settimeout(left())
        return context.wrap_socket(sock, server_hostname=host)
    except BaseException as error:
        sock.close()
        if isinstance(error, TimeoutError):
            raise failed("ConnectTimeout") from None
        if isinstance(error, (OSError, ValueError)):
            raise redrawn(error, kind="ConnectError") from None
        raise


def shut(sock: socket.socket) -> None:
    """Close it, whatever became of it."""
    try:
        sock.close()  # at once: TLS does not say good-bye first
    except OSError:
        pass  # it broke while it was closed
