"""
Brings pictures along for a place that fetches none by itself.

It stands at the head of a target's branch, above breaker and retry: a picture that cannot be had says nothing about the
target, and is not fetched again for each attempt.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from ..errors import InvalidRequest
from ..message import Body, Handler, Request, Response
from ..providers.pictures import Picture, brought, kind_of, named
from ..runtime import Clock

MOST: Final = 20
"""Pictures of one call that are fetched."""
LARGEST: Final = 40 * 2**20
"""Bytes of all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """The layer. `fetch` gives the bytes behind an address, by a moment; raises InvalidRequest where it cannot."""

    clock: Clock
    fetch: Callable[[str, float | None], Awaitable[bytes]]

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        if request.operation != "chat":
            return await handler(request)
        try:
            addresses = named(request.body.json)
        except (ValueError, RecursionError):
            addresses = []  # no JSON, or nested without end: who reads it next will say so
        if not addresses:
            return await handler(request)
        if len(addresses) > MOST:
            raise _elsewhere(f"{len(addresses)} pictures are named by an address; at most {MOST} are fetched")
        pictures: dict[str, Picture] = {}
        size = 0
        for address in addresses:
            raw = await self.fetch(address, request.deadline)
            kind = kind_of(raw)
            if not kind:
                raise _elsewhere("what stands at a picture's address is no PNG, JPEG, GIF or WebP picture")
            pictures[address] = Picture(kind, base64.b64encode(raw).decode())
            size += len(raw)
            if size > LARGEST:
                raise _elsewhere(f"the pictures named by addresses hold more than {LARGEST // 2**20} MiB in all")
        request.notes.say(self.clock.now(), "pictures", fetched=len(pictures), bytes=size)
        return await handler(replace(request, body=Body(json=brought(request.body.json, pictures)), native=None))


def _elsewhere(message: str) -> InvalidRequest:
    """A refusal; another target may fetch pictures by itself."""
    refused = InvalidRequest(message)
    refused.elsewhere = True
    return refused
