"""How the sidecar is: alive, ready for work, and how its parts stand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import exact
from ..client import EdgeClient
from ..runtime import Clock
from .certificates import Lifetime

LIVE = b'{"status":"ok"}'


@dataclass(slots=True)
class Health:
    """Answers the health paths."""

    edge: EdgeClient
    clock: Clock
    started: float
    stopping: bool = False
    certificate: Lifetime | None = None
    """Of the certificate that this process shows to its callers."""
    _looked: object = None
    _told: dict[bool, bytes] = field(default_factory=dict[bool, bytes])

    def told(self, *, all_of_it: bool = True) -> bytes:
        """How it is, as JSON: each part, or in one word. One look serves a second, unless a breaker changes."""
        breakers = self.edge.breakers.states()
        now = (int(self.clock.time()), self.stopping, tuple(breakers.items()), tuple(self.edge.stores.values()))
        if self._looked != now:
            parts = self.parts()
            self._told = {True: exact.write(parts), False: exact.write({"status": parts["status"]})}
            self._looked = now
        return self._told[all_of_it]

    def ready(self) -> tuple[int, bytes]:
        """Whether more work may come."""
        return (503, b'{"status":"stopping"}') if self.stopping else (200, LIVE)

    def parts(self) -> Mapping[str, Any]:
        """How each part stands; names of providers and models, no addresses and no keys."""
        breakers = self.edge.breakers.states()
        open_ones = [name for name, state in breakers.items() if state == "open"]
        stores = self.edge.stores
        failing = [name for name, state in stores.items() if state.endswith("failing")]
        shown: dict[str, str] = {}
        if self.certificate is not None:
            shown = {"status": self.certificate.state(self.clock.time()), "until": self.certificate.until}
        worse = open_ones or failing or shown.get("status", "ok") != "ok"
        status = "stopping" if self.stopping else "degraded" if worse else "ok"
        config = self.edge.config
        told = {
            "status": status,
            "uptime_seconds": round(self.clock.now() - self.started, 1),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.clock.time())),
            "providers": sorted(self.edge.keyed),
            "routes": sorted(config.routes),
            "breakers": breakers,
            "stores": stores,
        }
        return {**told, "certificate": shown} if shown else told
