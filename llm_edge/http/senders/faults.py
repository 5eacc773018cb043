"""
The words for what can go wrong on the wire, the same for every engine.

What an engine says is never passed on: its messages quote header values and whole URLs. They
are redrawn here from the kind of trouble, and the exception they came from is dropped.
"""

from __future__ import annotations

import os
from typing import Literal, TypeAlias

from ...errors import CertificateRefused, NetworkFailed

Kind: TypeAlias = Literal[
    "ConnectError",
    "ConnectTimeout",
    "DecodingError",
    "LocalProtocolError",
    "NetworkError",
    "PoolTimeout",
    "ProxyError",
    "ReadError",
    "ReadTimeout",
    "RemoteProtocolError",
    "UnsupportedProtocol",
    "WriteError",
    "WriteTimeout",
]

SENTENCES: dict[str, str] = {
    "ConnectError": "could not connect to the provider",
    "ConnectTimeout": "connecting to the provider took too long",
    "DecodingError": "the provider's answer cannot be decompressed",
    "LocalProtocolError": "the request cannot be written down as HTTP",
    "NetworkError": "the connection to the provider failed",
    "PoolTimeout": "no connection became free in time; raise `http.pool` or send fewer calls at once",
    "ProxyError": "the proxy refused to connect to the provider",
    "ReadError": "the connection broke while the answer was read",
    "ReadTimeout": "the provider did not answer in time",
    "RemoteProtocolError": "the provider closed the connection early or sent what is not HTTP",
    "UnsupportedProtocol": "the address must begin with http:// or https://",
    "WriteError": "the connection broke while the request was sent",
    "WriteTimeout": "sending the request took too long",
}

_LIBRARIES = frozenset({*SENTENCES, "RequestError", "StreamError", "TimeoutException"})


def failed(kind: str, detail: str = "") -> NetworkFailed:
    """The error for one kind of trouble; `detail` must be our own words."""
    sentence = SENTENCES.get(kind, SENTENCES["NetworkError"])
    return NetworkFailed(f"{sentence} ({detail})" if detail else sentence, kind=kind)


def untrusted(detail: str = "") -> CertificateRefused:
    """The error for a server that does not prove who it is."""
    sentence = "the server's TLS certificate is not to be trusted"
    return CertificateRefused(f"{sentence} ({detail})" if detail else sentence, kind="ConnectError")


def redrawn(error: BaseException, unwritable: str = "", *, kind: str = "") -> NetworkFailed:
    """What an exception of httpcore, httpx, httpx2 or the system means, in our words; `kind` where it is known."""
    names = [cls.__name__ for cls in type(error).__mro__]
    kind = kind or next((name for name in names if name in SENTENCES), "")
    if "TimeoutException" in names or isinstance(error, TimeoutError):
        kind = kind or "ReadTimeout"
    reason = _reason(error)
    if reason is not None and type(reason).__name__ == "SSLCertVerificationError":
        return untrusted(str(getattr(reason, "verify_message", "")))
    if not kind and isinstance(error, (TypeError, ValueError)):
        kind = "LocalProtocolError"
    if kind == "LocalProtocolError":
        return failed(kind, unwritable)
    return failed(kind or "NetworkError", _words(reason))


def of_the_network(error: Exception) -> bool:
    """Whether an HTTP library or the system says so; else it is a mistake in somebody's code, and theirs to see."""
    if isinstance(error, NetworkFailed):
        return False  # told in our words already
    return isinstance(error, OSError) or any(cls.__name__ in _LIBRARIES for cls in type(error).__mro__)


def _reason(error: BaseException) -> OSError | None:
    # Libraries wrap the system's error as the first argument or as the cause, sometimes several deep.
    seen = 0
    current: BaseException | None = error
    while current is not None and seen < 8:
        if isinstance(current, OSError):
            return current
        inner = current.args[0] if current.args and isinstance(current.args[0], BaseException) else None
        current = inner or current.__cause__ or current.__context__
        seen += 1
    return None


def _words(reason: OSError | None) -> str:
    if reason is None:
        return ""
    import socket
    import ssl

    if isinstance(reason, ssl.SSLError):
        why = getattr(reason, "reason", None)  # absent where Python code made it
        return f"TLS: {why}" if why else "TLS"
    if isinstance(reason, socket.gaierror):
        return "the host name does not resolve"
    return os.strerror(reason.errno) if reason.errno else ""
