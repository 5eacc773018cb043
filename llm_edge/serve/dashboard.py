"""What the dashboard reads: `/admin/live`, and the story of one call. The page itself is a file (`pages.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .. import exact
from ..errors import InvalidRequest
from ..runtime import Clock
from ..story import Story
from .callers import ADMIN
from .live import COARSE, FINE, SLICES, Live
from .problems import NoSuchPath
from .sums import summed
from .workers import Workers

if TYPE_CHECKING:
    from .app import Sidecar

_WINDOWS = {str(FINE * SLICES): FINE, str(COARSE * SLICES): COARSE}


class Dashboard:
    """The paths under /admin that only look. Hears of every call from when it is made."""

    def __init__(self, sidecar: Sidecar, clock: Clock, folder: Path | None = None) -> None:
        self._sidecar, self._clock = sidecar, clock
        self.live = Live(clock)
        self.workers = Workers(self.live, folder)
        sidecar.edge.listen(self.live)

    def routes(self) -> list[BaseRoute]:
        return [Route("/admin/live", self.now), Route("/admin/calls/{number}", self.call)]

    async def now(self, request: Request) -> Response:
        """How things stand, and how they went in the window."""
        await self._sidecar.admitted(request, ADMIN, ("window",))
        step = _WINDOWS.get(request.query_params.get("window", "900"))
        if step is None:
            raise InvalidRequest(f"`window` must be one of {', '.join(_WINDOWS)}: seconds")
        told = self.workers.told(step)
        found = summed(told, step, self._clock.time())
        config, edge = self._sidecar.config, self._sidecar.edge
        found["health"] = self._sidecar.health.parts()
        found["workers"] = {"told": len(told), "all": config.workers, "here": told[0]["pid"]}
        found["began"] = min(worker["began"] for worker in told)
        found["cache"] = _cache(edge.cache.stats())
        found["allowances"] = any(getattr(route, "path", "") == "/admin/limits" for route in request.app.routes)
        return Response(exact.write(found), media_type="application/json")

    async def call(self, request: Request) -> Response:
        """One of the last calls, told in full."""
        await self._sidecar.admitted(request, ADMIN)
        for worker in self.workers.told(FINE):
            for kept in worker["stories"]:
                if kept["n"] == request.path_params["number"]:
                    story = Story(kept["story"])
                    return Response(exact.write({"story": story, "text": str(story)}), media_type="application/json")
        raise NoSuchPath("that call is not kept any more: the last ones are")


def _cache(report: Any) -> dict[str, Any]:
    names = (
        "hits", "misses", "coalesced", "stale", "bypassed", "refreshed", "entries", "bytes", "saved_seconds", "second",
    )  # fmt: skip
    return {name: getattr(report, name) for name in names}
