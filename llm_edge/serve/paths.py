"""The paths that ask no model: how it stands, which models there are, pages for people, what only passes through."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .. import exact
from ..errors import EdgeError
from ..message import Headers
from .admin import Admin
from .allowances import Allowances
from .callers import CALL, HEALTH, METRICS, Caller
from .calls import id_of
from .coding import Packed
from .health import LIVE
from .intake import Gone, body_of
from .pages import routes as pages
from .passing import Models, Passed, request_to
from .problems import Forbidden, NoSuchPath, Refused, WrongMethod, refusal, shown
from .wire import Message, RawPairs, Receive, Scope, Send, answer, guards

if TYPE_CHECKING:
    from .app import Sidecar

log = logging.getLogger("llm_edge.serve")


class Paths:
    """Ordinary Starlette routes, behind the same doors as calls, and refused in the same shape."""

    def __init__(self, sidecar: Sidecar, admin: Admin, models: Models) -> None:
        self._sidecar, self._config, self._door, self._models = sidecar, sidecar.config, sidecar.door, models
        self.routes = self._routes(admin)
        self._routed = Starlette(routes=self.routes, exception_handlers=_TELLERS)

    async def __call__(self, dialect: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; `dialect` is that of its path, where it is one that asks a model by another method."""
        headers: Headers | None = None
        out = _Guarded(send, scope.get("scheme", "http"))
        try:
            if scope["path"] == "/health/live":
                await answer(send, 200, [(b"content-type", b"application/json"), *guards(scope["scheme"])], LIVE)
                return
            if self._sidecar.addresses.limited:
                self._sidecar.addresses.admit(scope)
            head = self._sidecar.calls.head(scope["headers"])
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
            await self._routed(
                scope, receive, Packed(out, headers.get("accept-encoding")) if self._config.compress else out
            )
        except Exception as error:
            identity = id_of(headers)
            if not isinstance(error.__cause__ or error, EdgeError):
                log.error(
                    "a page failed inside: %s", type(error).__name__, exc_info=error, extra={"request_id": identity}
                )
            if out.started:
                raise  # the server cuts the connection: there is no other way left to say so
            await answer(out, *refusal(shown(error), dialect, identity, []))

    def _routes(self, admin: Admin) -> list[BaseRoute]:
        return [
            Route("/health", self._health_page),
            Route("/health/ready", self._ready),
            Route("/metrics", self._metrics),
            *([] if self._sidecar.dashboard is None else self._sidecar.dashboard.routes()),
            *pages(dashboard=self._config.dashboard, docs=self._config.docs, open_door=self._door.open),
            *admin.routes(),
            *Allowances(self._sidecar, admin).routes(),
            Route("/v1/models", self._list),
            Route("/v1/models/{name:path}", self._one),
            Route("/v1/{rest:path}", self._pass, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ]

    async def _health(self, headers: Headers) -> bytes:
        try:
            (await self._door.admit(headers)).need(HEALTH)
        except Refused:
            if self._config.auth.health:
                raise
            # Whoever may not know more is told whether it is well: that is what load balancers ask.
            return self._sidecar.health.told(all_of_it=False)
        return self._sidecar.health.told()

    async def _health_page(self, request: Request) -> Response:
        return Response(await self._health(request.state.headers), media_type="application/json")

    async def _ready(self, request: Request) -> Response:
        status, body = self._sidecar.health.ready()
        return Response(body, status, media_type="application/json")

    async def _metrics(self, request: Request) -> Response:
        if self._config.metrics_port is not None:
            raise NoSuchPath("metrics have a port of their own here")
        headers, body = await self.numbers(request.state.headers)
        return Response(body, headers={name.decode(): value.decode() for name, value in headers})

    async def numbers(self, headers: Headers) -> tuple[RawPairs, bytes]:
        """What Prometheus reads. Raises Refused when who asks may not know."""
        if self._sidecar.counts is None:
            raise NoSuchPath("metrics are switched off; whoever runs the gateway sets serve.metrics")
        if self._config.auth.metrics:
            (await self._door.admit(headers)).need(METRICS)
        body, kind = self._sidecar.counts.told(headers.get("accept", ""))
        return [(b"content-type", kind.encode())], body

    async def _list(self, request: Request) -> Response:
        caller = await self._sidecar.admitted(request, CALL)
        rows = [_row(name, owner) for name, owner in await self._models.names() if _may_ask(caller, name)]
        if "anthropic-version" in request.state.headers:
            listed = [_anthropic_row(row["id"]) for row in rows]
            first, last = (listed[0]["id"], listed[-1]["id"]) if listed else (None, None)
            return said({"data": listed, "has_more": False, "first_id": first, "last_id": last})
        return said({"object": "list", "data": rows})

    async def _one(self, request: Request) -> Response:
        caller = await self._sidecar.admitted(request, CALL)
        wanted: str = request.path_params["name"]
        for name, owner in await self._models.names():
            if name == wanted and _may_ask(caller, name):
                return said(_anthropic_row(name) if "anthropic-version" in request.state.headers else _row(name, owner))
        raise NoSuchPath("there is no such model; GET /v1/models lists those that can be asked")

    async def _pass(self, request: Request) -> Passed:
        """A path we do not know, for the one provider that is asked for such paths."""
        provider, rest = self._config.pass_through, f"/{request.path_params['rest']}"
        caller = await self._sidecar.admitted(request, CALL)
        if provider is None:
            raise NoSuchPath("nothing is served under this path; serve.pass_through names a provider for such paths")
        if caller.models:
            raise Forbidden("this key may ask certain models only, and this path names none")
        if ".." in rest or "//" in rest or not rest.isprintable():
            raise Refused("the path holds what no path of a provider has")
        headers: Headers = request.state.headers
        config = self._config
        body = await body_of(request.receive, headers, largest=config.max_body, seconds=config.body_timeout)
        # The server has unescaped the path: what was no `?`, `#` or `..` is to be none at the provider either.
        path = quote(rest, safe="/:@!$&'()*+,;=~") + (f"?{request.url.query}" if request.url.query else "")
        call = request_to(self._sidecar.edge, provider, request.method, path, headers, body)
        return Passed(self._sidecar.calls, caller.signed(call))


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
        error = _wrong(request) if error.status_code == 405 else NoSuchPath("nothing is served under this path")
    if isinstance(error, Gone):
        error = Refused("the body broke off, or its framing is broken")
    dialect = "anthropic.messages" if "anthropic-version" in request.headers else "openai.chat"
    status, headers, body = refusal(shown(error), dialect, id_of(request.state.headers), [])
    return Response(body, status, headers={name.decode(): value.decode() for name, value in headers})


def _wrong(request: Request) -> WrongMethod:
    """Says what the path takes; of several routes that share one, Starlette knows the first alone."""
    routes: list[BaseRoute] = request.app.routes
    here = [each for each in routes if isinstance(each, Route) and each.path_regex.match(request.scope["path"])]
    methods = ", ".join(sorted({method for route in here for method in route.methods or ()}))
    wrong = WrongMethod(f"this path takes {methods}")
    wrong.allowed = methods
    return wrong


_TELLERS: Mapping[Any, Any] = {HTTPException: _told, EdgeError: _told, Gone: _told, Exception: _told}
"""Starlette's own type for it says less than it takes."""
