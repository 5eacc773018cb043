"""
What pyreqwest's errors mean, in httpx's words.

Its classes say less than the chain of causes below them, whose texts are those of the Rust
libraries; the few that matter are named here and nowhere else.
"""

from __future__ import annotations

from pyreqwest import exceptions as rust

from ...errors import NetworkFailed
from .faults import failed, untrusted

_NAMED: tuple[tuple[type[rust.PyreqwestError], str], ...] = (
    (rust.PoolTimeoutError, "PoolTimeout"),
    (rust.WriteTimeoutError, "WriteTimeout"),
    (rust.RequestTimeoutError, "ReadTimeout"),
    (rust.WriteError, "WriteError"),
    (rust.DecodeError, "RemoteProtocolError"),
)


def redrawn_rust(error: Exception, unwritable: str = "") -> NetworkFailed:
    """The error behind an exception of pyreqwest's."""
    if isinstance(error, ValueError) and not isinstance(error, rust.PyreqwestError):
        return failed("LocalProtocolError", unwritable)  # refused while the request was put together
    causes = _causes(error)
    connecting = "client error (connect" in causes
    if isinstance(error, rust.BuilderError):
        return failed("UnsupportedProtocol" if "scheme" in causes else "LocalProtocolError", unwritable)
    if isinstance(error, rust.ClientClosedError):
        return failed("NetworkError", "the client has been closed")
    if connecting and isinstance(error, (rust.NetworkError, rust.RequestTimeoutError)):
        return _unconnected(error, causes)
    for cls, kind in _NAMED:
        if isinstance(error, cls):
            return failed(kind)
    return failed(_broken(error, causes))


def _unconnected(error: Exception, causes: str) -> NetworkFailed:
    if "certificate" in causes and "certificaterequired" not in causes.replace(" ", ""):
        return untrusted(_why(causes))
    if isinstance(error, rust.RequestTimeoutError):
        return failed("ConnectTimeout")
    if "tunnel" in causes or "proxy" in causes or "socks" in causes:
        return failed("ProxyError")
    if "dns error" in causes:
        return failed("ConnectError", "the host name does not resolve")
    if "refused" in causes:
        return failed("ConnectError", "Connection refused")
    if "too many open files" in causes:
        return failed("ConnectError", "Too many open files")
    return failed("ConnectError")


def _why(causes: str) -> str:
    for word, sentence in (
        ("expired", "it has expired"),
        ("notvalidforname", "it is for another host"),
        ("not valid for name", "it is for another host"),
        ("unknownissuer", "its issuer is unknown"),
        ("unknown issuer", "its issuer is unknown"),
    ):
        if word in causes:
            return sentence
    return ""


def _broken(error: Exception, causes: str) -> str:
    if "reset by peer" in causes or "broken pipe" in causes:
        return "ReadError"
    if "before message completed" in causes or "eof" in causes or "end of file" in causes or "chunk" in causes:
        return "RemoteProtocolError"
    if isinstance(error, rust.NetworkError):
        return "ReadError"
    return "RemoteProtocolError" if isinstance(error, rust.RequestError) else "NetworkError"


def _causes(error: Exception) -> str:
    if not isinstance(error, rust.DetailedPyreqwestError):
        return str(error).lower()
    # The first of them quotes the address, whose own words must not be taken for a cause.
    texts = [cause["message"] for cause in error.details.get("causes") or ()]
    return "\n".join(text for text in texts if " for url (" not in text).lower()


def unanswered(error: Exception) -> bool:
    """Whether the connection ended before any of the answer came."""
    causes = _causes(error)
    return "client error (sendrequest)" in causes and (
        "before message completed" in causes or "reset by peer" in causes or "broken pipe" in causes
    )
