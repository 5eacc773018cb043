"""
Limits and budgets changed while the sidecar runs.

A change rests beside the keys, over what the configuration says, so it outlives a restart and reaches every worker:
each looks for changes all the while, and puts its chain together anew when there is one. Counts go on where they stood.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from ..client import EdgeClient
from ..config import BudgetConfig, EdgeConfig, LimitConfig
from ..errors import ConfigError, EdgeError, InvalidRequest
from .keys import FRESH, KeyStore

log = logging.getLogger("llm_edge.serve")

Kind: TypeAlias = Literal["limits", "budgets"]
_NOTHING: Mapping[str, str] = {}


class Changes:
    """What was changed, and the client that is held to it."""

    def __init__(self, edge: EdgeClient, keys: KeyStore | None, changed: Callable[[], None]) -> None:
        self._edge, self._keys, self._changed = edge, keys, changed
        self._base = edge.config
        self._seen: object = None
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look for changes from now on."""
        if self._keys is not None:
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    def made(self, kind: Kind) -> Mapping[str, Mapping[str, Any]]:
        """What was changed, by name."""
        settings = self._settings()
        return {
            name.partition("/")[2]: json.loads(value) for name, value in settings.items() if name.startswith(f"{kind}/")
        }

    def checked(self, kind: Kind, name: str, value: Mapping[str, Any]) -> None:
        """Raises InvalidRequest for a change that could not be made, in the words of the configuration."""
        try:
            self._config({kind: {**self.made(kind), name: value}})
        except ConfigError as error:
            raise InvalidRequest(str(error)) from None

    def apply(self) -> None:
        """Hold calls to what is set now."""
        settings = self._settings()
        if settings is self._seen:
            return
        first, self._seen = self._seen is None, settings
        if first and not settings:
            return
        try:
            config = self._config({})
        except ConfigError as error:
            # Set under another configuration, whose tier, say, is no more: all that was set before goes on.
            log.error("limits and budgets set by an admin do not go with this configuration: %s", error)
            return
        self._edge.hold_to(config)
        self._changed()

    def _settings(self) -> Mapping[str, str]:
        return _NOTHING if self._keys is None else self._keys.settings()

    def _config(self, wanted: Mapping[Kind, Mapping[str, Any]]) -> EdgeConfig:
        base = self._base
        limits: Mapping[str, LimitConfig | BudgetConfig] = base.limits
        budgets: Mapping[str, LimitConfig | BudgetConfig] = base.budgets
        sections: Any = {
            "limits": _over(limits, wanted.get("limits", self.made("limits"))),
            "budgets": _over(budgets, wanted.get("budgets", self.made("budgets"))),
        }
        return base.model_copy(update={"limits": {}, "budgets": {}}).changed(**sections)

    async def _look(self) -> None:
        while True:
            try:
                self.apply()
            except EdgeError:
                pass  # the store is away: what is known goes on
            await asyncio.sleep(FRESH)


def _over(configured: Mapping[str, LimitConfig | BudgetConfig], made: Mapping[str, Any]) -> dict[str, Any]:
    """What was set takes the place of what the configuration has under that name, whole."""
    kept = {name: each.model_dump(exclude_unset=True) for name, each in configured.items() if name not in made}
    return {**kept, **made}
