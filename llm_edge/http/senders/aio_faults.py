"""What the exceptions of aiohttp mean, in our words."""

from __future__ import annotations

from typing import Final

import aiohttp

from ...errors import NetworkFailed
from .faults import failed, redrawn

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
    inner = _inner(error)
    if inner is not None:
        told = redrawn(inner)
        return told if told.kind == kind or not kind else _as(kind, told)
    return failed(kind) if kind else redrawn(error)


def _inner(error: Exception) -> OSError | None:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        inner: object = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        inner = error.os_error
    else:
        inner = error.__cause__
    return inner if isinstance(inner, OSError) and not isinstance(inner, aiohttp.ClientError) else None


def _as(kind: str, told: NetworkFailed) -> NetworkFailed:
    from ...errors import CertificateRefused

    if isinstance(told, CertificateRefused):
        return told
    detail = str(told).partition(" (")[2].removesuffix(")")
    return failed(kind, detail)
