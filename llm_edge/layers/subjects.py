"""Who a call is counted for, by the kinds of limits there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..message import Request
from ..policy.plan import Scope, Subjects
from ..providers.base import Target
from ..providers.cargo import mapping, string

_NOBODY = ""
"""Those who do not say who they are share one subject: a limit is not escaped by keeping silent."""


def of_call(scopes: Sequence[Scope]) -> Callable[[Request], Subjects]:
    """For limits on calls as they come in."""
    if tuple(scopes) == ("global",):
        everyone: Subjects = (("global", ""),)
        return lambda request: everyone
    readers: list[tuple[Scope, Callable[[Request], str | None]]] = [(scope, _READERS[scope]) for scope in scopes]

    def subjects(request: Request) -> Subjects:
        return tuple([(scope, subject) for scope, read in readers if (subject := read(request)) is not None])

    return subjects


def of_target(scopes: Sequence[Scope], target: Target) -> Callable[[Request], Subjects]:
    """For limits on what one place is asked."""
    names = {"provider": target.provider, "model": target.name}
    fixed: Subjects = tuple((scope, names[scope]) for scope in scopes)
    return lambda request: fixed


def _user(request: Request) -> str:
    named = request.controls.user
    if named or request.operation == "opaque":
        return named
    body: Any = request.body.json
    return (
        string(body.get("safety_identifier")) or string(body.get("user"))
        or string(mapping(body.get("metadata")).get("user_id"))
    )  # fmt: skip


_READERS: dict[Scope, Callable[[Request], str | None]] = {
    "global": lambda request: _NOBODY,
    "tenant": lambda request: request.controls.tenant,
    "key": lambda request: request.scope,
    "user": _user,
    "route": lambda request: request.route or None,
}
