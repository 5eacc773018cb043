"""Clients of the HTTP libraries whose calls go through an `EdgeClient`: what an SDK is given as its `http_client`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .errors import ConfigError

_OF_THE_ENGINE: Final = {
    "verify": (True, "http.ca_file"),
    "cert": (None, "http.cert_file and http.key_file"),
    "proxy": (None, "http.proxy"),
    "http1": (True, "http.engine"),
    "http2": (False, "http.http2"),
    "limits": (None, "http.pool"),
    "transport": (None, ""),
}
"""Options of the library's clients that say how to send, which is not for them here: what changes nothing, and ours."""

if TYPE_CHECKING:
    import httpx
    import httpx2

    from .client import EdgeClient


def http_client(edge: EdgeClient, library: str, options: dict[str, Any]) -> httpx2.Client | httpx.Client:
    """A client of that library. Raises ConfigError for one we do not know, and for options that nobody would heed."""
    options = {"timeout": None, "follow_redirects": True, **_heeded(options)}
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
    options = {"timeout": None, "follow_redirects": True, **_heeded(options)}
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


def _heeded(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a client that sends nothing itself: a proxy of its own would lead past llm_edge."""
    for name, (nothing, ours) in _OF_THE_ENGINE.items():
        if name in options and options[name] is not nothing:
            setting = f"set {ours}, or " if ours else ""
            raise ConfigError(
                f"http_client({name}=…) has no effect, for llm_edge sends the calls: {setting}give a transport of your"
                " own, as in httpx2.Client(transport=EdgeTransport(edge, transport=…))"
            )
    return {name: value for name, value in options.items() if name not in _OF_THE_ENGINE}
