"""
The ASGI app: `create_app(edge)`.

Paths that ask a model go straight to `calls.py`; everything else is in `paths.py`. Here is what holds them together,
and how it begins and ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request

from ..client import EdgeClient
from ..config import EdgeConfig, ServeConfig
from ..errors import EdgeError, InvalidRequest
from ..message import Headers
from ..runtime import Clock, ThreadClock
from .addresses import Addresses
from .admin import Admin
from .callers import ADMIN, Caller, Door, OpenDoor
from .calls import PATHS, Calls, dialect_of
from .changes import Changes
from .cors import Cors
from .dashboard import Dashboard
from .health import Health
from .keys import KeyStore
from .numbers import Numbers, Sharing
from .origins import here, own_page
from .pages import MOUNTED
from .passing import Models
from .paths import Paths
from .problems import Forbidden
from .wire import App, Receive, Scope, Send
from .ws import Sockets

log = logging.getLogger("llm_edge.serve")

_STEP = 0.01


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
        self._own, self._begun = own, False
        clock = clock or ThreadClock()
        self.counts = edge.metrics if config.metrics else None  # from its first use on calls are counted
        self._sharing = None if self.counts is None else Sharing(self.counts)
        self.dashboard = Dashboard(self, clock, shared) if config.dashboard else None
        self.health = Health(edge, clock, clock.now())
        keys: KeyStore | None = getattr(door, "keys", None)
        self.changes = Changes(edge, keys, self._changed)
        self.addresses = Addresses(config.addresses, clock)
        self._numbers: Numbers | None = None
        self.calls = Calls(
            front=edge.front("async"), door=door, config=config, providers=frozenset(edge.keyed),
            may_come=self._may_come, pace=self.addresses.admit if self.addresses.limited else None,
        )  # fmt: skip
        self.sockets = Sockets(self.calls, config)
        self.paths = Paths(self, Admin(self, keys, clock), Models(edge, clock))
        self._cors: App | None = Cors(self._inside, config.cors.origins) if config.cors.origins else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._cors is None:
            await self._inside(scope, receive, send)
        else:
            await self._cors(scope, receive, send)

    async def _inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if not self._begun and kind != "lifespan":
            self._keep_up()
        if kind == "http":
            path: str = scope["path"]
            root: str = scope.get("root_path", "")
            if root and path.startswith(root):
                path = path[len(root) :]
                scope = {**scope, "path": path, "root_path": "", MOUNTED: root}
            dialect = PATHS.get(path) or dialect_of(path)
            if dialect and scope["method"] == "POST":
                await self.calls(dialect, scope, receive, send)
            else:
                await self.paths(dialect, scope, receive, send)
        elif kind == "lifespan":
            await self._life(receive, send)
        else:
            await self.sockets(scope, receive, send)

    async def admitted(self, request: Request, permission: str, queries: Sequence[str] = ()) -> Caller:
        """
        Who asks, when that is allowed. Raises Unauthenticated or Forbidden.

        An admin who asks for what is in none of the `queries` would be given more than was meant, or change more:
        raises InvalidRequest.
        """
        caller = await self.door.admit(request.state.headers)
        caller.need(permission)
        if permission == ADMIN and self.door.open and not here(request.state.headers):
            raise Forbidden(
                "everybody is let in, so this is only for who asks by an address or as `localhost`: a page of a foreign"
                " name could be led here else; whoever runs the gateway sets serve.auth"
            )
        if permission == ADMIN:
            _need_known([name for name, _ in request.query_params.multi_items()], queries)
        return caller

    def _may_come(self, headers: Headers) -> bool:
        """No page in a browser, but ours and those named: pages of any origin could spend the house's money else."""
        origin = headers.get("origin")
        return (
            origin is None or origin in self.config.cors.origins or own_page(origin, headers, open_door=self.door.open)
        )

    # ------------------------------------------------------------------ beginning and end

    async def _life(self, receive: Receive, send: Send) -> None:
        await receive()
        self.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    def start(self) -> None:
        """The server is about to answer its first. To be called on its loop."""
        self._begun = True
        self._keep_up()
        self.changes.start()
        if self.dashboard is not None:
            self.dashboard.workers.start()
        if self._sharing is not None:
            self._sharing.start()
        port = self.config.metrics_port
        if port is not None and self.counts is not None:
            try:
                self._numbers = Numbers(self.config.host, port, self.paths.numbers, asyncio.get_running_loop())
            except OSError as error:  # it was free when the sidecar looked: calls are answered all the same
                log.error("serve.metrics_port: %d cannot be listened on: %s", port, error.strerror)

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
        if self._sharing is not None:
            self._sharing.stop()

    def _keep_up(self) -> None:
        """What an admin set; at each request where nobody says that it starts: an app does not start what it mounts."""
        try:
            self.changes.apply()
        except EdgeError:
            pass  # the store is away: what is known goes on

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

    `config` is the edge's own `[serve]` section unless given, and `door` the one that its `auth` describes. With `own`
    the edge is closed when the server stops. `shared` is a directory in which several workers of one server tell each
    other what their dashboards show. Raises ConfigError when `serve.auth` cannot be used.
    """
    settings = config or edge.config.serve
    if door is None:
        door = _door(edge.config.model_copy(update={"serve": settings})) if settings.auth.on else OpenDoor()
    return Sidecar(edge, settings, door, own=own, shared=shared)


def _need_known(asked: Sequence[str], known: Sequence[str]) -> None:
    for name in asked:
        if name not in known:
            there = f"there are {', '.join(known)}" if known else "this path takes none"
            raise InvalidRequest(f"the query parameter `{name[:100]}` is not known here; {there}")
        if asked.count(name) > 1:
            raise InvalidRequest(f"the query parameter `{name}` is there more than once")


def _door(config: EdgeConfig) -> Door:
    # Not before it is needed: tokens and keys have libraries of their own.
    from .auth import door_of

    return door_of(config, os.environ, ThreadClock())
