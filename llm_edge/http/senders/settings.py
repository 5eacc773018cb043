"""How to reach the providers over HTTP: one frozen object for all engines."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from ...errors import ConfigError

Engine: TypeAlias = Literal["auto", "httpx2", "httptools", "pyreqwest"]
TlsMinimum: TypeAlias = Literal["1.2", "1.3"]

IDLE = 55.0
"""Seconds an unused connection is kept: load balancers commonly hang up after 60."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """What the engines need to know. Certificates are always verified: there is no switch for that."""

    engine: Engine = "auto"
    """`auto` takes httptools where it is installed, else httpx2.

    What httptools does not do goes over httpx2: proxies, HTTP/2, bodies sent piece by piece. With pyreqwest, a call
    on an event loop that is cancelled before its answer begins goes on at the provider until it begins, or until
    the call's deadline.
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
    public: bool = False
    """Connect to addresses of the public internet alone; httpx2 does, and no other engine."""
    max_body: int = 64 * 1024 * 1024
    """Bytes an answer may have once inflated."""


def check(settings: HttpSettings) -> None:
    """Raises ConfigError for what can be seen to be wrong before the first call."""
    for name in ("ca_file", "cert_file", "key_file"):
        path: str | None = getattr(settings, name)
        if path is not None and not (Path(path).is_file() and os.access(path, os.R_OK)):
            raise ConfigError(f"http.{name}: {path!r} cannot be read; it must be a file with PEM text")
    if settings.key_file is not None and settings.cert_file is None:
        raise ConfigError("http.key_file: a key alone is of no use; set http.cert_file too")
    if settings.proxy is not None and not _is_proxy(settings.proxy):
        raise ConfigError("http.proxy: not an address of a proxy; write it as http://host:port or socks5://host:port")
    if settings.proxy is not None and settings.proxy.startswith("socks"):
        need("socksio", "http.proxy: a SOCKS proxy", "socks")
    if settings.http2:
        need("h2", "http.http2 = true", "http2")


def _is_proxy(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https", "socks5", "socks5h") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def need(package: str, wish: str, extra: str) -> None:
    """Raises ConfigError when a package that the wish depends on is not installed; our extra brings it."""
    if find_spec(package) is None:
        raise ConfigError(f"{wish} needs the package {package}: pip install 'llm_edge[{extra}]'")
