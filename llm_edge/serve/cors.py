"""Pages in browsers: those of the origins that are named may ask, and read what comes back."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .wire import App, Message, RawPairs, Receive, Scope, Send, answer, guards

_AGE = b"600"
_METHODS = b"GET, POST, PUT, PATCH, DELETE"
_USUAL = b"authorization, content-type, x-api-key, anthropic-version, x-request-id"
_NAMES = re.compile(rb"[A-Za-z0-9_-]{1,64}(?: *, *[A-Za-z0-9_-]{1,64}){0,63}")
_READ = b"*"
"""What pages may read of an answer: all, as all that leaves here is meant for the caller (`leaving.py`)."""


class Cors:
    """Answers a browser's question beforehand, and marks what its pages may read."""

    def __init__(self, app: App, origins: Sequence[str]) -> None:
        self._app, self._origins = app, frozenset(origin.encode("latin-1") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = next((value for name, value in scope.get("headers", ()) if name == b"origin"), None)
        if scope["type"] != "http" or origin not in self._origins or origin is None:
            await self._app(scope, receive, send)
            return
        marks: RawPairs = [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        if scope["method"] == "OPTIONS":
            allowed: RawPairs = [
                (b"access-control-allow-methods", _METHODS),
                (b"access-control-allow-headers", _asked(scope)),
                (b"access-control-max-age", _AGE),
            ]
            await answer(send, 204, [*marks, *allowed, *guards(scope.get("scheme", "http"))], b"")
            return
        exposed = (b"access-control-expose-headers", _READ)

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *marks, exposed]}
            await send(message)

        await self._app(scope, receive, marked)


def _asked(scope: Scope) -> bytes:
    """
    The header fields that a page may send: those it asks for.

    SDKs send dozens of their own, other ones with each version. None of them opens anything: keys do.
    """
    wanted: bytes = next((value for name, value in scope["headers"] if name == b"access-control-request-headers"), b"")
    return wanted if _NAMES.fullmatch(wanted) else _USUAL
