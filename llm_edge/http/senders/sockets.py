"""
Blocking sockets for httpcore that know when a call is over.

httpcore gives each read the same timeout, so a server that drips a byte now and then is never
late. Here each wait gets only what is left of the call.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable
from typing import Any

import httpcore2

from ...runtime import Clock
from .busy import Busy, ready
from .names import addresses, all_public
from .recall import recalled
from .waits import Together, Waits, left, left_to_connect


class PatientSockets(httpcore2.NetworkBackend):
    """Opens blocking connections, each attempt within the connect limit and the call."""

    def __init__(self, *, public: bool = False) -> None:
        self._inner, self._public = httpcore2.SyncBackend(), public
        self._looking = threading.Lock()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        until = _Until(timeout)
        if isinstance(timeout, Waits):
            timeout.fresh = True
        failure: Exception = httpcore2.ConnectError()
        for address in _found(host, port, until.left(), public=self._public):
            try:
                stream = self._inner.connect_tcp(address, port, until.left(), local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            else:
                return PatientSocket(stream, until, self._looking)
        try:
            raise failure
        finally:
            del failure  # an error that its own traceback leads to waits for the garbage collector


def _found(host: str, port: int, seconds: float | None, *, public: bool) -> list[str]:
    try:
        found = addresses(host, port, seconds)
        return all_public(found) if public else found
    except TimeoutError:
        raise httpcore2.ConnectTimeout from None
    except Exception as error:
        raise httpcore2.ConnectError(error) from error


class _Until:
    """The moment a connection must stand: name, address, TLS and all."""

    def __init__(self, timeout: float | None) -> None:
        self._clock: Clock | None = timeout.patience.clock if isinstance(timeout, Waits) else None
        self._seconds = left_to_connect(timeout)
        self._moment = 0.0 if self._clock is None or self._seconds is None else self._clock.now() + self._seconds

    def left(self) -> float | None:
        """Seconds that remain; raises ConnectTimeout when none do."""
        if self._clock is None or self._seconds is None:
            return self._seconds
        seconds = self._moment - self._clock.now()
        if seconds <= 0:
            raise httpcore2.ConnectTimeout
        return seconds


class PatientSocket(httpcore2.NetworkStream):
    """One blocking connection; asks before each wait how long it may take."""

    def __init__(self, inner: httpcore2.NetworkStream, until: _Until, looking: threading.Lock | None = None) -> None:
        self._inner = inner
        self._until = until
        self._busy = None if looking is None else Busy(ready(inner.get_extra_info("socket")), looking)
        self._together = Together()
        spoken = inner.get_extra_info("ssl_object")
        self._together.off = spoken is not None and spoken.selected_alpn_protocol() == "h2"

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        unsaid = self._together.turn()
        seconds = left(timeout)
        if seconds is not None and seconds <= 0:
            raise httpcore2.ReadTimeout
        if unsaid:
            self._inner.write(unsaid, seconds)
        recall, busy = None, None
        if isinstance(timeout, Waits):
            recall, busy = timeout.patience.recall, None if timeout.heard else self._busy
        sock = None if recall is None or self._together.off else self._inner.get_extra_info("socket")
        if recall is None or sock is None:  # over HTTP/2 others wait at the same socket
            data = self._some(busy, max_bytes, seconds)
        else:
            data = recalled(recall, sock, lambda: self._some(busy, max_bytes, seconds))
        if data and isinstance(timeout, Waits):
            timeout.heard = True
        return data

    def _some(self, busy: Busy | None, max_bytes: int, seconds: float | None) -> bytes:
        if busy is None or busy.look():
            return self._inner.read(max_bytes, seconds)
        data = self._inner.read(max_bytes, seconds)
        busy.slept()
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(self._together.add(buffer))
        while view:
            seconds = left(timeout)
            if seconds is not None and seconds <= 0:
                raise httpcore2.WriteTimeout
            # In slices, or one slow reader on the other side could stretch a single write for ever.
            self._inner.write(view[:_SLICE], seconds)  # type: ignore[arg-type]  # takes any buffer, says bytes
            view = view[_SLICE:]

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        try:
            seconds = self._until.left()
        except httpcore2.ConnectTimeout:
            self._inner.close()
            raise
        return PatientSocket(self._inner.start_tls(ssl_context, server_hostname, seconds), self._until)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


_SLICE = 256 * 1024
