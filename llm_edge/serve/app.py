"""
The ASGI app: `create_app(edge)`.

Paths that ask a model go straight to `calls.py`; everything else is an ordinary Starlette route.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .. import exact
from ..client import EdgeClient
from ..config import ServeConfig
from ..errors import EdgeError
from ..message import Headers
from ..runtime import Clock, ThreadClock
from .addresses import Addresses
from .admin import Admin
from .allowances import Allowances
from .callers import ADMIN, CALL, HEALTH, METRICS, Caller, Door, OpenDoor
from .calls import PATHS, Calls, dialect_of, id_of
from .changes import Changes
from .coding import Packed
from .cors import Cors
from .dashboard import Dashboard
from .health import LIVE, Health
from .intake import Gone, body_of
from .keys import KeyStore
from .numbers import Numbers
from .origins import here, own_page
from .pages import routes as pages
from .passing import Models, request_to, whole
from .problems import Forbidden, NoSuchPath, Refused, WrongMethod, refusal, shown
from .wire import App, Message, RawPairs, Receive, Scope, Send, answer, guards
from .ws import Sockets

log = logging.getLogger("llm_edge.serve")


class Sidecar:
    """The gateway as an ASGI app. Made by `create_app`."""

    def __init__(
        self,
        edge: EdgeClient,
        config: ServeConfig,
        door: Door,
        *,
        own: bool = False,
        clock: Clock | None = None,
        shared: Path | None = None,
    ) -> None:
        self.edge, self.config, self.door = edge, config, door
        self._own = own
        self._clock: Clock = clock or ThreadClock()
        self._counts = edge.metrics if config.metrics else None  # from its first use on calls are counted
        self.dashboard = Dashboard(self, self._clock, shared) if config.dashboard else None
        self.health = Health(edge, self._clock, self._clock.now())
        self.models = Models(edge, self._clock)
        keys: KeyStore | None = getattr(door, "keys", None)
        self.changes = Changes(edge, keys, self._changed)
        self._admin = Admin(self, keys, self._clock)
        self.addresses = Addresses(config.addresses, self._clock)
        self._numbers: Numbers | None = None
        self.calls = Calls(
            front=edge.front("async"), door=door, config=config, providers=frozenset(edge.keyed),
            may_come=self._may_come, pace=self.addresses.admit if self.addresses.limited else None,
        )  # fmt: skip
        self.sockets = Sockets(self.calls, config)
        self._enter: App = Cors(self._inside, config.cors.origins) if config.cors.origins else self._inside
        self._pages = Starlette(routes=self._routes(), exception_handlers=_TELLERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._enter(scope, receive, send)

    async def _inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            path: str = scope["path"]
            root: str = scope.get("root_path", "")
            if root and path.startswith(root):
                path = path[len(root) :]
                scope = {**scope, "path": path, "root_path": ""}
            dialect = PATHS.get(path) or dialect_of(path)
            if dialect and scope["method"] == "POST":
                await self.calls(dialect, scope, receive, send)
            else:
                await self._page(dialect, scope, receive, send)
        elif kind == "lifespan":
            await self._life(receive, send)
        else:
            await self.sockets(scope, receive, send)

    # ------------------------------------------------------------------ everything that asks no model

    async def _page(self, dialect: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers | None = None
        out = _Guarded(send, scope.get("scheme", "http"))
        try:
            if scope["path"] == "/health/live":
                await answer(send, 200, [(b"content-type", b"application/json"), *guards(scope["scheme"])], LIVE)
                return
            if self.addresses.limited:
                self.addresses.admit(scope)
            head = self.calls.head(scope["headers"])
            headers = head.all
            if head.stranger:
                raise Forbidden("pages of that origin may not ask here; whoever runs the gateway sets serve.cors")
            if scope["path"] == "/health" and scope["method"] == "GET":
                kind = (b"content-type", b"application/json")
                await answer(send, 200, [kind, *guards(scope["scheme"])], await self._health(headers))
                return
            if dialect:
                raise WrongMethod("this path takes POST")
            scope.setdefault("state", {})["headers"] = headers
            await self._pages(
                scope, receive, Packed(out, headers.get("accept-encoding")) if self.config.compress else out
            )
        except Exception as error:
            identity = id_of(headers)
            if not isinstance(error, EdgeError):
                log.error(
                    "a page failed inside: %s", type(error).__name__, exc_info=error, extra={"request_id": identity}
                )
            if not out.started:
                await answer(out, *refusal(shown(error), dialect, identity, []))

    def _routes(self) -> list[BaseRoute]:
        return [
            Route("/health", self._health_page),
            Route("/health/ready", self._ready),
            Route("/metrics", self._metrics),
            *([] if self.dashboard is None else self.dashboard.routes()),
            *pages(dashboard=self.config.dashboard, docs=self.config.docs, open_door=self.door.open),
            *self._admin.routes(),
            *Allowances(self, self._admin).routes(),
            Route("/v1/models", self._models),
            Route("/v1/models/{name:path}", self._model),
            Route("/v1/{rest:path}", self._pass, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ]

    async def admitted(self, request: Request, permission: str) -> Caller:
        """Who asks, when that is allowed. Raises Unauthenticated or Forbidden."""
        caller = await self.door.admit(request.state.headers)
        caller.need(permission)
        if permission == ADMIN and self.door.open and not here(request.state.headers):
            raise Forbidden(
                "everybody is let in, so this is only for who asks by an address or as `localhost`: a page of a foreign"
                " name could be led here else; whoever runs the gateway sets serve.auth"
            )
        return caller

    async def _health(self, headers: Headers) -> bytes:
        try:
            (await self.door.admit(headers)).need(HEALTH)
        except Refused:
            if self.config.auth.health:
                raise
            # Whoever may not know more is told whether it is well: that is what load balancers ask.
            return self.health.told(all_of_it=False)
        return self.health.told()

    async def _health_page(self, request: Request) -> Response:
        return Response(await self._health(request.state.headers), media_type="application/json")

    async def _ready(self, request: Request) -> Response:
        status, body = self.health.ready()
        return Response(body, status, media_type="application/json")

    async def _metrics(self, request: Request) -> Response:
        if self.config.metrics_port is not None:
            raise NoSuchPath("metrics have a port of their own here")
        headers, body = await self._numbers_told(request.state.headers)
        return Response(body, headers={name.decode(): value.decode() for name, value in headers})

    async def _numbers_told(self, headers: Headers) -> tuple[RawPairs, bytes]:
        if self._counts is None:
            raise NoSuchPath("metrics are switched off; whoever runs the gateway sets serve.metrics")
        if self.config.auth.metrics:
            (await self.door.admit(headers)).need(METRICS)
        body, kind = self._counts.told(headers.get("accept", ""))
        return [(b"content-type", kind.encode())], body

    async def _models(self, request: Request) -> Response:
        caller = await self.admitted(request, CALL)
        rows = [_row(name, owner) for name, owner in await self.models.names() if _may_ask(caller, name)]
        if "anthropic-version" in request.state.headers:
            listed = [_anthropic_row(row["id"]) for row in rows]
            first, last = (listed[0]["id"], listed[-1]["id"]) if listed else (None, None)
            return said({"data": listed, "has_more": False, "first_id": first, "last_id": last})
        return said({"object": "list", "data": rows})

    async def _model(self, request: Request) -> Response:
        caller = await self.admitted(request, CALL)
        wanted: str = request.path_params["name"]
        for name, owner in await self.models.names():
            if name == wanted and _may_ask(caller, name):
                return said(_row(name, owner))
        raise NoSuchPath("there is no such model; GET /v1/models lists those that can be asked")

    async def _pass(self, request: Request) -> Response:
        """A path we do not know, for the one provider that is asked for such paths."""
        provider, rest = self.config.pass_through, f"/{request.path_params['rest']}"
        caller = await self.admitted(request, CALL)
        if provider is None:
            raise NoSuchPath("nothing is served under this path; serve.pass_through names a provider for such paths")
        if caller.models:
            raise Forbidden("this key may ask certain models only, and this path names none")
        if ".." in rest or "//" in rest or not rest.isprintable():
            raise Refused("the path holds what no path of a provider has")
        headers: Headers = request.state.headers
        config = self.config
        body = await body_of(request.receive, headers, largest=config.max_body, seconds=config.body_timeout)
        query = f"?{request.url.query}" if request.url.query else ""
        call = request_to(self.edge, provider, request.method, rest + query, headers, body)
        response = await self.edge.handler("async")(caller.signed(call))
        kind = response.headers.get("content-type", "application/octet-stream")
        return Response(await whole(response), response.status, headers={"content-type": kind})

    def _may_come(self, headers: Headers) -> bool:
        """No page in a browser, but ours and those named: pages of any origin could spend the house's money else."""
        origin = headers.get("origin")
        return (
            origin is None or origin in self.config.cors.origins or own_page(origin, headers, open_door=self.door.open)
        )

    # ------------------------------------------------------------------ beginning and end

    async def _life(self, receive: Receive, send: Send) -> None:
        await receive()
        if self.dashboard is not None:
            self.dashboard.workers.start()
        self.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    def start(self) -> None:
        """The server is about to answer its first."""
        self.changes.apply()
        self.changes.start()
        config = self.config
        if config.metrics_port is not None and self._counts is not None:
            loop = asyncio.get_running_loop()
            self._numbers = Numbers(config.host, config.metrics_port, self._numbers_told, loop)

    async def stop(self) -> None:
        """The server has answered its last: connections go, when they are ours."""
        self.health.stopping = True
        self.sockets.stop()
        if self.dashboard is not None:
            await self.dashboard.workers.stop()
        if self._numbers is not None:
            await asyncio.to_thread(self._numbers.close)
        await self.changes.stop()
        if self._own:
            await self._settled()
            await self.edge.aclose()

    def _changed(self) -> None:
        """Calls pass another chain from now on."""
        self.calls.front = self.edge.front("async")

    async def _settled(self) -> None:
        """The server may say stop when the last byte is out; what that call used and what is kept of it comes after."""
        for _ in range(int(self.config.drain / _STEP)):
            if not self.calls.active:
                return
            await asyncio.sleep(_STEP)


def create_app(
    edge: EdgeClient,
    *,
    config: ServeConfig | None = None,
    door: Door | None = None,
    own: bool = False,
    shared: Path | None = None,
) -> Sidecar:
    """
    The sidecar as an ASGI app, to serve or to mount: `Mount("/llm", app=create_app(edge))`.

    `config` is the edge's own `[serve]` section unless given. With `own` the edge is closed when the server stops.
    `shared` is a directory in which several workers of one server tell each other what their dashboards show.
    """
    return Sidecar(edge, config or edge.config.serve, door or OpenDoor(), own=own, shared=shared)


_STEP = 0.01
_EPOCH = "1970-01-01T00:00:00Z"


def said(value: Mapping[str, Any], status: int = 200) -> Response:
    """A JSON answer."""
    return Response(exact.write(value), status, media_type="application/json")


def _row(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


def _anthropic_row(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": _EPOCH}


def _may_ask(caller: Caller, model: str) -> bool:
    try:
        caller.need_model(model)
    except Forbidden:
        return False
    return True


class _Guarded:
    """Sends with the header fields that every answer carries; knows whether an answer has begun."""

    def __init__(self, send: Send, scheme: str) -> None:
        self._send, self._guards = send, guards(scheme)
        self.started = False

    async def __call__(self, message: Message, /) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            given = {name for name, _ in message["headers"]}
            more = [pair for pair in self._guards if pair[0] not in given]
            message = {**message, "headers": [*message["headers"], *more]}
        await self._send(message)


async def _told(request: Request, error: Exception) -> Response:
    """Whatever goes wrong in a page, in the one shape there is."""
    if isinstance(error, HTTPException):
        error = (
            WrongMethod("this path takes another method")
            if error.status_code == 405
            else NoSuchPath("nothing is served under this path")
        )
    if isinstance(error, Gone):
        error = Refused("the body broke off, or its framing is broken")
    dialect = "anthropic.messages" if "anthropic-version" in request.headers else "openai.chat"
    status, headers, body = refusal(shown(error), dialect, id_of(request.state.headers), [])
    return Response(body, status, headers={name.decode(): value.decode() for name, value in headers})


_TELLERS: Mapping[Any, Any] = {HTTPException: _told, EdgeError: _told, Gone: _told, Exception: _told}
"""Starlette's own type for it says less than it takes."""
