"""Who is calling: what a request may do, and under whose name it is kept apart and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Protocol

from ..message import Headers, Request
from .problems import Forbidden

CALL, ADMIN, METRICS, HEALTH = "call", "admin", "metrics", "health"
"""What may be allowed: to ask models, to change the gateway, to read its numbers, to see how its parts stand."""

PERMISSIONS = frozenset({CALL, ADMIN, METRICS, HEALTH})

_CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization")
_CLAIMS = ("x-llm-edge-tenant", "x-llm-edge-tier", "x-llm-edge-priority")
"""What only the app itself may say of a call; in the sidecar the caller's key says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who was let in."""

    name: str = ""
    """For logs and the audit trail; never the credential."""
    scope: str = ""
    """Keeps what is kept for one credential from all others."""
    tenant: str = ""
    tier: str = ""
    permissions: frozenset[str] = frozenset({CALL})
    models: Sequence[str] = ()
    """Patterns of the models that may be asked; none for all."""

    def need(self, permission: str) -> None:
        """Raises Forbidden when this is not allowed."""
        if permission not in self.permissions:
            raise Forbidden(f"this key may not do that: it lacks the permission `{permission}`")

    def need_model(self, model: str) -> None:
        """Raises Forbidden when this model may not be asked."""
        if self.models and not any(fnmatchcase(model, pattern) for pattern in self.models):
            raise Forbidden("this key may not ask that model")

    def signed(self, request: Request) -> Request:
        """The request under this caller's name."""
        controls = request.controls
        if controls.tenant != self.tenant or controls.tier != self.tier:
            controls = replace(controls, tenant=self.tenant, tier=self.tier)
        elif request.scope == self.scope:
            return request
        return replace(request, scope=self.scope, controls=controls)


ANYBODY = Caller(name="anybody", permissions=PERMISSIONS)


class Door(Protocol):
    """Says who is calling. Raises Unauthenticated when nobody knows."""

    open: bool
    """Whether everybody is let in."""

    async def admit(self, headers: Headers, /) -> Caller: ...


class OpenDoor:
    """Lets everybody in."""

    open = True

    async def admit(self, headers: Headers, /) -> Caller:
        return ANYBODY


def without_claims(headers: Headers) -> Headers:
    """The header fields that go on to the chain: no credential of the sidecar's, no claim that is not the caller's."""
    return headers.without(*_CREDENTIALS, *_CLAIMS)
