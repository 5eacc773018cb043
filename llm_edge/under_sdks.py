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
        import httpx

        from .httpx import EdgeTransport as OldTransport

        return httpx.Client(transport=OldTransport(edge), **options)
    _one_of_two(library)
    import httpx2

    from .transports import EdgeTransport

    return httpx2.Client(transport=EdgeTransport(edge), **options)


def async_http_client(
    edge: EdgeClient, library: str, options: dict[str, Any]
) -> httpx2.AsyncClient | httpx.AsyncClient:
    """The same for event loops."""
    options = {"timeout": None, "follow_redirects": True, **options}
    if library == "httpx":
        import httpx

        from .httpx import AsyncEdgeTransport as OldTransport

        return httpx.AsyncClient(transport=OldTransport(edge), **options)
    _one_of_two(library)
    import httpx2

    from .transports import AsyncEdgeTransport

    return httpx2.AsyncClient(transport=AsyncEdgeTransport(edge), **options)


def _one_of_two(library: str) -> None:
    if library != "httpx2":
        raise ConfigError(f'library={library!r} is not known: use "httpx2", or "httpx" for SDKs that still use it')
