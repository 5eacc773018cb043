"""A provider refuses a call that showed no key: its own words seldom say where the key would have to stand."""

from __future__ import annotations

from ..errors import ProviderFailed, Unauthorized
from .base import Target, Wire
from .table import ROWS

KEY_HEADERS = ("authorization", "api-key", "x-api-key", "x-goog-api-key")
"""Where providers look for a key or token."""


def told(failure: ProviderFailed, target: Target, wire: Wire) -> ProviderFailed:
    """The same failure, with the fix in its message where a configured or known provider was shown no key."""
    if not isinstance(failure, Unauthorized) or target.addressed or any(name in wire.headers for name in KEY_HEADERS):
        return failure
    failure.message = f"{failure.message} (no key was sent; {fix(target)})"
    failure.args = (failure.message,)
    return failure


def fix(target: Target) -> str:
    """How to give a provider its key."""
    row = ROWS.get(target.vendor)
    # A variable's key is for the provider's own address, and is never sent to another unasked.
    variables = " or ".join(row.key_env) if row is not None and target.base_url in ("", row.base_url) else ""
    return f"set {f'the variable {variables}, or ' if variables else ''}providers.{target.provider}.api_key"
