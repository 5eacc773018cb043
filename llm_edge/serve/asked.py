"""Asks a sidecar how it is, with nothing but the standard library: a health check must load little and start fast."""

from __future__ import annotations

import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit


def ready(url: str, seconds: float) -> tuple[bool, str]:
    """Whether the sidecar at this address takes more work, and its own words."""
    parts = urlsplit(url)
    try:
        connection = _connection(parts.scheme, parts.hostname or "127.0.0.1", parts.port, seconds)
    except ValueError:
        return False, "the address must be like http://127.0.0.1:8080"
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/health/ready")
        answer = connection.getresponse()
        return answer.status == 200, answer.read(1000).decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        return False, f"nobody answers at {parts.hostname}: {str(error) or type(error).__name__}"
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int | None, seconds: float) -> HTTPConnection:
    if scheme == "http":
        return HTTPConnection(host, port, timeout=seconds)
    if scheme != "https":
        raise ValueError("no such scheme")
    # Its certificate names the outside; nothing secret is said here, and one word is believed.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return HTTPSConnection(host, port, timeout=seconds, context=context)
