"""What the exceptions of aiohttp mean, in our words."""

from __future__ import annotations

from typing import Final

import aiohttp

from ...errors import NetworkFailed
from .faults import redrawn

# The first that fits counts: each is more special than what stands below it.
_KINDS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aiohttp.ConnectionTimeoutError, "ConnectTimeout"),
    (aiohttp.ServerTimeoutError, "ReadTimeout"),
    (aiohttp.ClientHttpProxyError, "ProxyError"),
    (aiohttp.ClientConnectorError, "ConnectError"),
    (aiohttp.ServerDisconnectedError, "RemoteProtocolError"),
    (aiohttp.ClientPayloadError, "RemoteProtocolError"),
    (aiohttp.ClientResponseError, "RemoteProtocolError"),
    (aiohttp.InvalidURL, "LocalProtocolError"),
    (aiohttp.ClientConnectionError, "ReadError"),
    (OSError, "ReadError"),
)


def redrawn_aio(error: Exception) -> NetworkFailed:
    """
    The failure in our words; aiohttp's own quote whole addresses.

    Errors of the system and of TLS, which aiohttp wraps, are looked into.
    """
    kind = next((kind for known, kind in _KINDS if isinstance(error, known)), "")
    return redrawn(_inner(error) or error, kind=kind)


def _inner(error: Exception) -> BaseException | None:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    return error.__cause__ if isinstance(error.__cause__, OSError) else None
