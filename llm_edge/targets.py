"""Who may answer a call: routes first, then `provider/model`, then where the caller's SDK pointed, then known names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from urllib.parse import urlsplit

from .config import EdgeConfig
from .errors import InvalidRequest, NoTarget
from .message import Request
from .providers.base import Adapter, Target
from .providers.compatible import Compatible
from .providers.dialects import load
from .providers.table import ROWS, Row, by_host, by_prefix


class Targets:
    """Knows the configured providers and routes. Holds the keys; shows them to nobody but the adapters."""

    def __init__(self, config: EdgeConfig, keys: Mapping[str, Sequence[str]]) -> None:
        self._config, self._keys = config, keys
        self._adapters: dict[str, Adapter] = {}
        self._routes = {name: tuple(self._named(each.target) for each in route.targets) for name, route in config.routes.items()}

    def of(self, request: Request) -> Sequence[Target]:
        """At least one target. Raises `NoTarget`, or `InvalidRequest` for a route that does not exist."""
        route = request.route
        if route:
            if route not in self._routes:
                hint = _meant(route, self._routes)
                raise InvalidRequest(f"there is no route {route!r} in [routes]{hint}")
            return self._routes[route]
        provider, slash, _ = request.model.partition("/")
        if slash and provider in self._config.providers and not self._slashes_are_theirs(request):
            return (self._named(request.model),)
        if request.url:
            return (_addressed(request),)
        if slash and (provider in ROWS or load(provider) is not None):
            return (self._named(request.model),)
        row = by_prefix(request.model)
        if row is not None:
            return (self._target(row.name, request.model),)
        hint = _meant(request.model, self._routes)
        raise NoTarget(f"nobody answers for the model {request.model!r}: name it `provider/model`, or make it a route in [routes]{hint}")

    def adapter(self, provider: str) -> Adapter:
        """How to speak to a provider."""
        adapter = self._adapters.get(provider)
        if adapter is None:
            adapter = self._adapters[provider] = self._made(provider)
        return adapter
