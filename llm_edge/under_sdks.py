"""Clients of the HTTP libraries whose calls go through an `EdgeClient`: what an SDK is given as its `http_client`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ConfigError

if TYPE_CHECKING:
    import httpx
    import httpx2

    from .client import EdgeClient


def http_client(edge: EdgeClient, library: str, options: dict[str, Any]) -> httpx2.Client | httpx.Client:
    """A client of that library. Raises ConfigError for one we do not know."""
    options = {"timeout": None, "follow_redirects": True, **options}
    if library == "httpx":
        from .http._clients_httpx import Client as OldClient
        from .httpx import EdgeTransport as OldTransport

        return OldClient(OldTransport(edge), **options)
    _one_of_two(library)
    from .http._clients_httpx2 import Client
    from .transports import EdgeTransport

    return Client(EdgeTransport(edge), **options)


def async_http_client(
    edge: EdgeClient, library: str, options: dict[str, Any]
) -> httpx2.AsyncClient | httpx.AsyncClient:
    """The same for event loops."""
    options = {"timeout": None, "follow_redirects": True, **options}
    if library == "httpx":
        from .http._clients_httpx import AsyncClient as OldClient
        from .httpx import AsyncEdgeTransport as OldTransport

        return OldClient(OldTransport(edge), **options)
    _one_of_two(library)
    from .http._clients_httpx2 import AsyncClient
    from .transports import AsyncEdgeTransport

    return AsyncClient(AsyncEdgeTransport(edge), **options)


def _one_of_two(library: str) -> None:
    if library != "httpx2":
        raise ConfigError(f'library={library!r} is not known: use "httpx2", or "httpx" for SDKs that still use it')
