"""ASGI as this room uses it: its words, and an answer said in two messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
RawPairs: TypeAlias = list[tuple[bytes, bytes]]

GUARDS: RawPairs = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
"""Header fields on every answer: no browser may guess, frame, tell or keep it."""
HSTS: RawPairs = [(b"strict-transport-security", b"max-age=31536000")]


def guards(scheme: str) -> RawPairs:
    """The header fields that every answer carries."""
    return [*GUARDS, *HSTS] if scheme == "https" else GUARDS


async def answer(send: Send, status: int, headers: RawPairs, body: bytes) -> None:
    """A whole answer."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
