"""
Blocking sockets for httpcore that know when a call is over.

httpcore gives each read the same timeout, so a server that drips a byte now and then is never
late. Here each wait gets only what is left of the call.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2

from ...runtime import Clock
from .waits import Waits, left, left_to_connect


class PatientSockets(httpcore2.NetworkBackend):
    """Opens blocking connections, each attempt within the connect limit and the call."""

    def __init__(self) -> None:
        self._inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        seconds = left_to_connect(timeout)
        if seconds is not None and seconds <= 0:
            raise httpcore2.ConnectTimeout
        until = _Until(timeout, seconds)
        if isinstance(timeout, Waits):
            timeout.fresh = True
        return PatientSocket(self._inner.connect_tcp(host, port, seconds, local_address, socket_options), until)


class _Until:
    """The moment a connection must stand, TLS included."""

    def __init__(self, timeout: float | None, seconds: float | None) -> None:
        self._clock: Clock | None = timeout.patience.clock if isinstance(timeout, Waits) else None
        self._moment = None if self._clock is None or seconds is None else self._clock.now() + seconds

    def left(self, timeout: float | None) -> float | None:
        if self._clock is None or self._moment is None:
            return timeout
        return self._moment - self._clock.now()


class PatientSocket(httpcore2.NetworkStream):
    """One blocking connection; asks before each wait how long it may take."""

    def __init__(self, inner: httpcore2.NetworkStream, until: _Until) -> None:
        self._inner = inner
        self._until = until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        seconds = left(timeout)
        if seconds is not None and seconds <= 0:
            raise httpcore2.ReadTimeout
        data = self._inner.read(max_bytes, seconds)
        if data and isinstance(timeout, Waits):
            timeout.heard = True
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(buffer)
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
        seconds = self._until.left(timeout)
        if seconds is not None and seconds <= 0:
            self._inner.close()
            raise httpcore2.ConnectTimeout
        return PatientSocket(self._inner.start_tls(ssl_context, server_hostname, seconds), self._until)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


_SLICE = 256 * 1024
