"""The TLS side of the httpx2 engine: whom to trust, what to show, how old is too old."""

from __future__ import annotations

import ssl
from pathlib import Path

from ...errors import ConfigError
from .settings import HttpSettings


def tls_context(settings: HttpSettings) -> ssl.SSLContext:
    """The system's trust plus `ca_file`; raises ConfigError for a file that cannot be used."""
    import httpcore2

    context = httpcore2.default_ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if settings.tls_minimum == "1.3" else ssl.TLSVersion.TLSv1_2
    if settings.ca_file is not None:
        try:
            context.load_verify_locations(cafile=settings.ca_file)
        except (OSError, ValueError):
            raise ConfigError(unusable("ca_file", settings.ca_file, "PEM certificates")) from None
    if settings.cert_file is not None:
        try:
            # The password is asked for in a function, or OpenSSL would ask on the terminal.
            context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: b"")
        except (OSError, ValueError):
            raise ConfigError(unusable("cert_file", settings.cert_file, "a PEM certificate and its open key")) from None
    return context


def read_pem(name: str, path: str) -> bytes:
    """The bytes of a PEM file; raises ConfigError when it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError:
        raise ConfigError(unusable(name, path, "PEM text")) from None


def unusable(name: str, path: str, wanted: str) -> str:
    """The words for a file that cannot be used."""
    return f"http.{name}: {path!r} cannot be used; it must be a readable file with {wanted}"
