"""The admin's paths for what callers may use: limits, budgets, spending, tenants."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ..errors import ConfigError, InvalidRequest
from .callers import ADMIN
from .changes import Kind

if TYPE_CHECKING:
    from ..money.spend import By
    from .admin import Admin
    from .app import Sidecar

_BY: Mapping[str, By] = {
    "tenant": "tenant", "key": "key", "user": "user", "route": "route", "model": "model",
    "provider": "provider", "target": "target", "hour": "hour", "day": "day", "month": "month",
}  # fmt: skip
ASKED = ("since", "until", "source", "tenant", "key", "user", "route", "model", "target")


class Allowances:
    """The paths under /admin that say what callers may use, and what they did."""

    def __init__(self, sidecar: Sidecar, admin: Admin) -> None:
        self._sidecar, self._admin = sidecar, admin

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/admin/limits", self.limits, methods=["GET"]),
            Route("/admin/limits/{name:path}", self.change_limit, methods=["PUT", "DELETE"]),
            Route("/admin/budgets", self.budgets, methods=["GET"]),
            Route("/admin/budgets/{name:path}", self.change_budget, methods=["PUT", "DELETE"]),
            Route("/admin/spend", self.spend, methods=["GET"]),
            Route("/admin/tenants", self.tenants, methods=["GET"]),
            Route("/admin/tenants/{tenant:path}", self.change_tenant, methods=["PUT", "DELETE"]),
        ]

    async def limits(self, request: Request) -> Response:
        """The limits and tiers that hold now, and which of them were set here."""
        await self._sidecar.admitted(request, ADMIN)
        config = self._sidecar.edge.config
        tiers = {name: each.model_dump(exclude_none=True) for name, each in config.tiers.items()}
        return self._admin.said({"limits": self._set("limits", config.limits), "tiers": tiers})

    async def budgets(self, request: Request) -> Response:
        """The budgets that hold now, and how they stand for whoever has called."""
        await self._sidecar.admitted(request, ADMIN)
        edge = self._sidecar.edge
        standings = [
            {
                "budget": each.budget, "subject": each.subject, "period": each.period, "hard": each.hard,
                "limit_usd": each.limit_nano_usd / 1e9, "spent_usd": each.spent_nano_usd / 1e9,
                "reserved_usd": each.reserved_nano_usd / 1e9, "unconfirmed_usd": each.unconfirmed_nano_usd / 1e9,
                "resets_in": each.resets_in,
            }
            for each in await edge.abudgets()
        ]  # fmt: skip
        return self._admin.said({"budgets": self._set("budgets", edge.config.budgets), "standings": standings})

    async def change_limit(self, request: Request) -> Response:
        """A limit set, or a change of it taken back."""
        return await self._change(request, "limits")

    async def change_budget(self, request: Request) -> Response:
        """A budget set, or a change of it taken back."""
        return await self._change(request, "budgets")

    async def spend(self, request: Request) -> Response:
        """Who spent what: from the usage log where there is one, else from this worker's memory."""
        await self._sidecar.admitted(request, ADMIN, ("by", *ASKED))
        asked = dict(request.query_params)
        by = _BY.get(asked.pop("by", "tenant"))
        if by is None:
            raise InvalidRequest(f"`by` must be one of {', '.join(_BY)}")
        try:
            found = await self._sidecar.edge.aspend(by, **cast("Any", asked))  # looked at just now
        except ConfigError as error:
            raise InvalidRequest(str(error)) from None
        rows = [
            {
                "name": each.name, "calls": each.calls, "hits": each.hits, "failed": each.failed, "usd": each.usd,
                "saved_usd": each.saved_nano_usd / 1e9, "input_tokens": each.input_tokens,
                "output_tokens": each.output_tokens, "unpriced": each.unpriced,
            }
            for each in found
        ]  # fmt: skip
        source = asked.get("source") or ("log" if self._sidecar.edge.config.telemetry.usage_log else "memory")
        return self._admin.said({"by": by, "source": source, "spend": rows})

    async def tenants(self, request: Request) -> Response:
        """Who has keys, limits or budgets of their own."""
        _, keys = await self._admin.allowed(request)
        now, config = self._admin.now(), self._sidecar.edge.config
        found: dict[str, dict[str, Any]] = {}
        for key in await asyncio.to_thread(keys.every):
            mine = found.setdefault(key.tenant, {"tenant": key.tenant, "keys": 0, "tiers": []})
            if key.state(now) == "active":
                mine["keys"] += 1
                if key.tier and key.tier not in mine["tiers"]:
                    mine["tiers"].append(key.tier)
        for name in [*config.limits, *config.budgets]:
            scope, _, subject = name.partition(":")
            if scope == "tenant" and subject:
                found.setdefault(subject, {"tenant": subject, "keys": 0, "tiers": []})
        for tenant, mine in found.items():
            mine["limits"] = f"tenant:{tenant}" in config.limits
            mine["budgets"] = f"tenant:{tenant}" in config.budgets
        return self._admin.said({"tenants": sorted(found.values(), key=lambda each: each["tenant"])})

    async def change_tenant(self, request: Request) -> Response:
        """All active keys of a tenant: put into a tier, or ended."""
        caller, keys = await self._admin.allowed(request)
        tenant, ended = request.path_params["tenant"], request.method == "DELETE"
        tier: str | None = None
        if not ended:
            asked = await self._admin.asked(request, {"tier"})
            if "tier" not in asked:
                raise InvalidRequest("`tier` must be given; an empty one takes theirs away")
            tier = self._admin.tier(asked)
        count = await asyncio.to_thread(lambda: keys.of_tenant(caller.name, tenant, tier=tier, revoked=ended))
        return self._admin.said(
            {"tenant": tenant, "keys": count, **({"state": "revoked"} if ended else {"tier": tier})}
        )

    def _set(self, kind: Kind, now: Mapping[str, Any]) -> dict[str, Any]:
        made = self._sidecar.changes.made(kind)
        return {
            name: {**each.model_dump(exclude_unset=True), "set_by": "admin" if name in made else "configuration"}
            for name, each in now.items()
        }

    async def _change(self, request: Request, kind: Kind) -> Response:
        caller, keys = await self._admin.allowed(request)
        name, changes = request.path_params["name"], self._sidecar.changes
        if request.method == "DELETE":
            if name not in changes.made(kind):
                raise InvalidRequest("nothing was set under that name here; the configuration's own stay as they are")
            await asyncio.to_thread(keys.set, caller.name, f"{kind}/{name}", None)
        else:
            value = await self._admin.asked(request, None)
            if not value:
                raise InvalidRequest("the body must hold the settings, as the configuration has them")
            changes.checked(kind, name, value)
            self._countable()
            await asyncio.to_thread(keys.set, caller.name, f"{kind}/{name}", value)
        changes.apply()
        return self._admin.said({kind: {name: changes.made(kind).get(name)}})

    def _countable(self) -> None:
        config = self._sidecar.edge.config
        if config.serve.workers > 1 and config.store.kind == "memory":
            raise InvalidRequest("each worker would count for itself; whoever runs the gateway sets a shared [store]")
