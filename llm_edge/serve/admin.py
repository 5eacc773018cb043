"""
What may be changed while it runs, over HTTP: keys, breakers, the cache; and the trail of who did.

Every path needs the permission `admin`, and every change is a line in the trail before it is answered.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .. import exact
from ..config import TIERS
from ..errors import InvalidRequest
from ..exact import is_list
from ..runtime import Clock
from .callers import ADMIN, CALL, Caller
from .intake import body_of, json_object, kind_is_json
from .keys import OVERLAP, KeyStore
from .problems import NoSuchPath

if TYPE_CHECKING:
    from .app import Sidecar


class Admin:
    """The paths under /admin."""

    def __init__(self, sidecar: Sidecar, keys: KeyStore | None, clock: Clock) -> None:
        self._sidecar, self._keys, self._clock = sidecar, keys, clock

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/admin/keys", self.keys, methods=["GET"]),
            Route("/admin/keys", self.create, methods=["POST"]),
            Route("/admin/keys/{id}", self.revoke, methods=["DELETE"]),
            Route("/admin/keys/{id}/rotate", self.rotate, methods=["POST"]),
            Route("/admin/breakers", self.breakers, methods=["GET"]),
            Route("/admin/breakers/{target:path}", self.force, methods=["PUT"]),
            Route("/admin/cache/purge", self.purge, methods=["POST"]),
            Route("/admin/trail", self.trail, methods=["GET"]),
        ]

    async def keys(self, request: Request) -> Response:
        """All keys, as they stand."""
        _, store = await self.allowed(request)
        now = self._clock.time()
        # Thousands of keys take a while: calls go on meanwhile.
        return await asyncio.to_thread(lambda: _said({"keys": [key.shown(now) for key in store.every()]}))

    async def create(self, request: Request) -> Response:
        """A new key; the one time it is seen."""
        caller, store = await self.allowed(request)
        asked = await self.asked(request, {"name", "tenant", "tier", "permissions", "models", "days", "key"})
        days = asked.get("days")
        create = partial(
            store.create, caller.name, brought=None if asked.get("key") is None else _text(asked, "key"),
            name=_text(asked, "name"), tenant=_text(asked, "tenant"), tier=self.tier(asked),
            permissions=_texts(asked, "permissions", [CALL]), models=_texts(asked, "models", []),
            days=None if days is None else _number(asked, "days", 0.0),
        )  # fmt: skip
        text, made = await asyncio.to_thread(create)
        shown = {} if made.stretched else {"key": text}  # who brought it has it
        return _said({**shown, **made.shown(self._clock.time())}, 201)

    async def revoke(self, request: Request) -> Response:
        """The end of a key, at once."""
        caller, store = await self.allowed(request)
        await asyncio.to_thread(store.revoke, caller.name, request.path_params["id"])
        return _said({"id": request.path_params["id"], "state": "revoked"})

    async def rotate(self, request: Request) -> Response:
        """A new key in place of an old one, which opens a while longer."""
        caller, store = await self.allowed(request)
        asked = await self.asked(request, {"overlap"})
        overlap = _number(asked, "overlap", OVERLAP)
        text, made = await asyncio.to_thread(store.rotate, caller.name, request.path_params["id"], overlap)
        return _said({"key": text, **made.shown(self._clock.time())}, 201)

    async def breakers(self, request: Request) -> Response:
        """All breakers, as they stand."""
        await self._sidecar.admitted(request, ADMIN)
        return _said({"breakers": self._sidecar.edge.breakers.states()})

    async def force(self, request: Request) -> Response:
        """One breaker set by hand."""
        caller, store = await self.allowed(request)
        target = request.path_params["target"]
        state: Any = _text(await self.asked(request, {"state"}), "state")
        self._sidecar.edge.breakers.force(target, state)
        await asyncio.to_thread(store.note, caller.name, "breakers.force", target, {"state": state})
        return _said({"target": target, "state": self._sidecar.edge.breakers.get(target, state)})

    async def purge(self, request: Request) -> Response:
        """Answers forgotten: those that have all of what is named, or all there are."""
        caller, store = await self.allowed(request)
        asked = await self.asked(request, {"tenant", "namespace", "model", "key"})
        named = {name: _text(asked, name) for name in asked}
        if empty := [name for name, text in named.items() if not text]:
            raise InvalidRequest(f"`{empty[0]}` is empty; leave it out to mean any")
        told = await self._sidecar.edge.cache.aclear(**named)
        await asyncio.to_thread(store.note, caller.name, "cache.purge", "cache", named)
        return _said({"purged": named, "second_tier_told": told})

    async def trail(self, request: Request) -> Response:
        """The newest changes first."""
        _, store = await self.allowed(request, ("limit",))
        most = request.query_params.get("limit", "100")
        if not re.fullmatch("[0-9]{1,4}", most) or not 0 < int(most) <= 1000:
            raise InvalidRequest("`limit` must be a whole number from 1 to 1000")
        return _said({"trail": await asyncio.to_thread(store.trail, int(most))})

    def now(self) -> float:
        """The time of day."""
        return self._clock.time()

    def said(self, value: Mapping[str, Any]) -> Response:
        """A JSON answer."""
        return _said(value)

    async def allowed(self, request: Request, queries: Sequence[str] = ()) -> tuple[Caller, KeyStore]:
        """Who asks, and the store of keys that every change is written down in."""
        caller = await self._sidecar.admitted(request, ADMIN, queries)
        if self._keys is None:
            raise NoSuchPath("there is no database of keys here; whoever runs the gateway sets serve.auth.database")
        return caller, self._keys

    def tier(self, asked: Mapping[str, Any]) -> str:
        """The tier that is asked for: one that limits know, or none."""
        tier, known = _text(asked, "tier"), {**TIERS, **self._sidecar.edge.config.tiers}
        if tier and tier not in known:
            raise InvalidRequest(
                f"`tier` is {tier!r}, which this configuration does not have; there are {', '.join(sorted(known))}"
            )
        return tier

    async def asked(self, request: Request, known: set[str] | None) -> Mapping[str, Any]:
        """The JSON object that was sent, with none but the fields that are known; None for any."""
        headers, config = request.state.headers, self._sidecar.config
        kind_is_json(headers)
        raw = await body_of(request.receive, headers, largest=64 * 1024, seconds=config.body_timeout)
        asked: Mapping[str, Any] = json_object(raw) if raw else {}
        if known is not None and (unknown := asked.keys() - known):
            raise InvalidRequest(f"`{min(unknown)}` is not known here; there are {', '.join(sorted(known))}")
        return asked


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name, "")
    if not isinstance(value, str):
        raise InvalidRequest(f"`{name}` must be text")
    return value


def _texts(asked: Mapping[str, Any], name: str, default: list[str]) -> list[str]:
    value: Any = asked.get(name, default)
    if not is_list(value) or not all(isinstance(each, str) for each in value):
        raise InvalidRequest(f"`{name}` must be a list of texts")
    return list(value)


def _number(asked: Mapping[str, Any], name: str, default: float) -> float:
    value = asked.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRequest(f"`{name}` must be a number")
    return float(value)


def _said(value: Mapping[str, Any], status: int = 200) -> Response:
    return Response(exact.write(value), status, media_type="application/json")
