"""How to reach the providers over HTTP: one frozen object for both engines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Engine: TypeAlias = Literal["auto", "httpx2", "pyreqwest"]
TlsMinimum: TypeAlias = Literal["1.2", "1.3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """What the engines need to know. Certificates are always verified: there is no switch for that."""

    engine: Engine = "auto"
    """`auto` takes pyreqwest for threads where it is installed, and httpx2 for event loops.

    Named here, pyreqwest serves event loops too, at half the cost; but a call that is cancelled before
    its answer begins then goes on at the provider until it begins, or until the call's deadline.
    """
    connect: float = 5.0
    """Seconds for one connection attempt, TLS included."""
    pool: int = 100
    """Connections at most, in each loop and for all threads together."""
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    """Goes before the proxies of the environment: `http://user:password@host:port`, or `socks5://…`."""
    ca_file: str | None = None
    """PEM file of certificates to trust besides the system's own."""
    cert_file: str | None = None
    """PEM file of the certificate (and its chain) to show to servers that ask for one."""
    key_file: str | None = None
    """PEM file of its private key; None when `cert_file` holds it too."""
    tls_minimum: TlsMinimum = "1.2"
    http2: bool = False
    """Offer HTTP/2. A cancelled call may then go on, and bill, at the provider."""
    trust_env: bool = True
    """Take HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY from the environment where `proxy` is None."""
    max_body: int = 64 * 1024 * 1024
    """Bytes an answer may have once inflated."""
