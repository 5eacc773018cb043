"""
What is asked of one provider as it stands: its list of models, and the paths we do not know.

What a path we do not know answers goes out as it comes in, be it events, a film or a list: none of it is gathered here,
and a caller who leaves ends it at the provider.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..client import EdgeClient
from ..errors import CallError, ConfigError
from ..message import Body, Headers, Request, Response
from ..providers.cargo import objects, string
from ..providers.passing import passable
from ..runtime import Clock
from .leaving import fields
from .lookout import Watch
from .streams import Outflow
from .wire import RawPairs, Receive, Scope, Send, answer

if TYPE_CHECKING:
    from .calls import Calls

log = logging.getLogger("llm_edge.serve")

FRESH = 300.0
"""Seconds a provider's list of models is believed."""
PATIENCE = 5.0
SMALL = 256 * 1024
"""Bytes; an answer that says it is no larger goes out whole, compressed where that is asked for."""
_KEPT = (
    "content-disposition", "content-encoding", "content-language", "content-range", "accept-ranges", "location",
    "etag", "last-modified",
)  # fmt: skip
"""Fields that say what comes, besides those of every answer."""


def request_to(
    edge: EdgeClient, provider: str, method: str, path: str, headers: Headers, body: bytes, timeout: float | None = None
) -> Request:
    """
    A call to a path of a provider, given from after `/v1`, with the sidecar's own credential.

    Raises ConfigError when that provider has no address.
    """
    door = edge.door(provider)
    models = door.url.partition("?")[0]
    root = models.removesuffix("/models")
    ours = {name: value for name, value in door.headers.items() if name not in {"accept", "accept-encoding"}}
    kept = [pair for pair in passable(headers) if pair[0].lower() not in ours]
    fields = Headers([*ours.items(), *kept, ("accept-encoding", "identity")])
    for name in ("content-type", "accept"):
        if name in headers:
            fields = fields.having({name: headers[name]})
    return Request(
        operation="opaque", dialect="opaque", method=method, url=root + path, headers=fields, body=Body(body),
        timeout=timeout,
    )  # fmt: skip


class Passed:
    """An answer that passes, as an ASGI app. Raises what the call raises; the server cuts what has begun."""

    def __init__(self, calls: Calls, call: Request) -> None:
        self._calls, self._call = calls, call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watch = self._calls.lookout().watch(receive, math.inf)
        watch.asked()
        self._calls.active += 1
        try:
            response = await self._calls.front.handler(self._call)
            told = fields(self._calls.front, self._call, response, scope.get("scheme", "http"))
            headers = [pair for pair in told if pair[0] != b"x-llm-edge-target"]  # here it is an address
            headers += [(name.encode(), value.encode()) for name in _KEPT if (value := response.headers.get(name))]
            await self._out(response, headers, watch, send)
        except asyncio.CancelledError:
            if not watch.gone:
                raise
            task = asyncio.current_task()
            assert task is not None, "a server runs each request in a task"
            task.uncancel()  # the caller left: that ends the call, not the server's task
        finally:
            self._calls.active -= 1
            watch.over()

    async def _out(self, response: Response, headers: RawPairs, watch: Watch, send: Send) -> None:
        length, config = response.headers.get("content-length", ""), self._calls.config
        if response.stream is None or (length.isdecimal() and int(length) <= SMALL):
            await answer(send, response.status, headers, await whole(response))
            return
        out = Outflow(send, heartbeat=config.heartbeat, patience=config.write_timeout, stuck=watch.leave)
        events = response.headers.get("content-type", "").startswith("text/event-stream")
        try:
            await out.run(response.status, headers, response.stream, events=events)
            await out.end()
        finally:
            await response.stream.aclose()


async def whole(response: Response) -> bytes:
    """All bytes of an answer that passes untouched."""
    if response.stream is None:
        return b"" if response.body is None else response.body.raw
    return b"".join([chunk async for chunk in response.stream])


@dataclass(slots=True)
class Models:
    """The models that can be asked: routes and their targets, and what the providers say they have."""

    edge: EdgeClient
    clock: Clock
    _known: dict[str, tuple[float, Sequence[str]]] = field(default_factory=dict[str, tuple[float, Sequence[str]]])

    async def names(self) -> list[tuple[str, str]]:
        """Each model with its owner, routes first."""
        config = self.edge.config
        found = dict.fromkeys(config.routes, "llm_edge")
        for route in config.routes.values():
            found.update({each.target: each.target.partition("/")[0] for each in route.targets})
        providers = self.edge.keyed
        for provider, names in zip(providers, await asyncio.gather(*map(self._of, providers)), strict=True):
            found.update({f"{provider}/{name}": provider for name in names if f"{provider}/{name}" not in found})
        return list(found.items())

    async def _of(self, provider: str) -> Sequence[str]:
        kept = self._known.get(provider)
        if kept is not None and self.clock.now() - kept[0] < FRESH:
            return kept[1]
        names: Sequence[str] = ()
        about = {"request_id": ""}
        try:
            request = request_to(self.edge, provider, "GET", "/models", Headers(), b"", PATIENCE)
            about = request.notes.about
            names = await self._asked(request)
        except (CallError, ConfigError, ValueError) as error:
            log.info("%s did not say which models it has: %s", provider, type(error).__name__, extra=about)
        self._known[provider] = (self.clock.now(), names)
        return names

    async def _asked(self, request: Request) -> Sequence[str]:
        async with asyncio.timeout(PATIENCE):
            response = await self.edge.handler("async")(request)
            raw = await whole(response)
        return _listed(Body(raw).json) if response.status == 200 else ()


def _listed(answer: Mapping[str, Any]) -> list[str]:
    """The names in a provider's list, whichever way it writes it."""
    entries = objects(answer.get("data")) or objects(answer.get("models"))
    names = [string(entry.get("id")) or string(entry.get("name")) for entry in entries]
    return [name.removeprefix("models/") for name in names if name]
