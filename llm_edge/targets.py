"""Who may answer a call: routes first, then `provider/model`, then where the caller's SDK pointed, then known names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from .clouds.own import Place as Own, own
from .clouds.table import CLOUDS
from .config import EdgeConfig, ProviderConfig, Resolved, ResolvedProvider, RouteConfig
from .config.trees import Path, dotted
from .errors import ConfigError, InvalidRequest, NoTarget
from .layers.keys import GuardedKeyring
from .message import Body, Request
from .policy.keys import fingerprint
from .providers.base import Adapter, Credential, Family, Target, Wire
from .providers.compatible import Compatible
from .providers.dialects import load
from .providers.table import ROWS, by_host, by_prefix


class Targets:
    """Knows the configured providers and routes. Holds the keys; shows them to nobody but the adapters."""

    def __init__(self, config: EdgeConfig, secrets: Resolved, credentials: Mapping[str, object] | None = None) -> None:
        self._config, self._secrets, self._own = config, secrets, dict(credentials or {})
        self._credentials: dict[str, Credential] = {}
        self._kinds = {name: _kind(name, given) for name, given in config.providers.items()}
        self._adapters: dict[str, Adapter | Family] = {
            name: self._made(name, config.providers[name]) for name in config.providers
        }
        for name in self._own:
            self._named(f"{name}/")  # a mistake in it is told now, and not at the first call
        self._routes = {name: self._routed(name, route) for name, route in config.routes.items()}
        self._known: dict[tuple[str, str], _Found] = {}
        """Who answers for a model that was asked for at an address, or at none."""

        self.rings = {
            name: GuardedKeyring([key.get_secret_value() for key in found.keys])
            for name, found in secrets.providers.items()
            if len(found.keys) > 1
        }
        """Of providers that have several keys. The targets given out here have the first."""

    def of(self, request: Request) -> Sequence[Target]:
        """At least one target. Raises `NoTarget`, or `InvalidRequest` for a route that does not exist."""
        return self._found(request).targets

    def named(self, names: Iterable[str]) -> tuple[Target, ...]:
        """The targets of these names. Raises ConfigError when nobody knows a provider."""
        return tuple(self._named(name) for name in names)

    def place(self, request: Request) -> str:
        """A word for who may be asked, as far as the request itself does not say so: for the cache's key."""
        route, model = request.route, request.model
        if not route and request.url and "/" not in model:
            return ""
        try:
            return self._found(request).place
        except (NoTarget, InvalidRequest, ConfigError):
            return ""  # nobody will be asked

    def _found(self, request: Request) -> _Found:
        route = request.route
        if route:
            if route not in self._routes:
                raise InvalidRequest(
                    f"there is no route {route!r}{_meant(route, self._routes)}; routes stand in [routes]"
                )
            return self._routes[route]
        asked = request.model, request.url
        found = self._known.get(asked)
        if found is None:
            found = self._understood(self._without_route(request))
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[asked] = found
        return found

    def _understood(self, targets: Sequence[Target]) -> _Found:
        known = self._secrets.providers
        words = [f"{each.name} {each.base_url}{_manner(known.get(each.provider))}" for each in targets]
        if self._config.on_unsupported_param == "reject":
            words.append("reject")  # what it refuses others answer, and keep
        return _Found(tuple(targets), " ".join(words))

    def _routed(self, name: str, route: RouteConfig) -> _Found:
        found = self._understood(
            [self._named(each.target, ("routes", name, "targets", at)) for at, each in enumerate(route.targets)]
        )
        if route.strategy == "failover":
            return found
        # Who is a fallback to that one may be first choice to another strategy, whose answers are kept.
        return found._replace(place=f"{found.place} {route.strategy if isinstance(route.strategy, str) else 'own'}")

    def _without_route(self, request: Request) -> Sequence[Target]:
        """What a request's model and address say, and nothing else of it."""
        model = request.model
        provider, slash, _ = model.partition("/")
        if slash and provider in self._config.providers and not self._keeps_slashes(request):
            return (self._named(model),)
        if "://" in request.url:  # a path alone addresses nobody
            return (_addressed(request),)
        if slash and self._knows(provider):
            return (self._named(model),)
        row = by_prefix(model)
        if row is not None and not slash:
            return (self._named(f"{row.name}/{model}"),)
        raise NoTarget(self._unknown(model))

    def _unknown(self, model: str) -> str:
        """Why nobody answers for a model, and what was probably meant."""
        provider, slash, _ = model.partition("/")
        known = [*self._routes, *(f"{name}/…" for name in self._config.providers)]
        configured = f". Configured: {', '.join(known)}" if known else ""
        meant = _meant(model, self._routes)
        if slash and not meant:
            near = _meant(provider, [*self._config.providers, *ROWS])
            return (
                f"nobody is known to answer for the model {model!r}: no provider is called {provider!r}{near};"
                f" a server of your own needs a base_url under [providers]{configured}"
            )
        return (
            f"nobody is known to answer for the model {model!r}{meant};"
            f" name it as provider/model, or make it a route{configured}"
        )

    def models(self, provider: str) -> Wire:
        """
        The request that asks a provider for its models, credential included: what it takes to speak to it at all.

        Raises ConfigError when nobody knows the provider, or when it is no place with an address.
        """
        target = self._named(f"{provider}/")
        adapter = self._adapters[provider]
        if not isinstance(adapter, _Place):
            raise ConfigError(f"the provider {provider!r} has no list of models that could be asked for")
        return adapter.encode(Request(operation="models", method="GET", body=Body(b"")), target)

    def keyed(self) -> list[str]:
        """The providers that can be asked without more ado."""
        found = {name for name, each in self._secrets.providers.items() if each.keys}
        return [*self._config.providers, *sorted((found | self._own.keys()) - self._config.providers.keys())]

    def adapter(self, target: Target) -> Adapter:
        """How to speak to a target that `of` has named. Raises InvalidRequest for a model its provider cannot have."""
        adapter = self._adapters[target.provider]
        return adapter.for_model(target.model) if isinstance(adapter, Family) else adapter

    def credential(self, target: Target) -> Credential | None:
        """What shows this target who calls; None where its key does, or the caller's own."""
        return None if target.addressed else self._credentials.get(target.provider)

    def priced_as(self, provider: str) -> str:
        """Whose prices hold for a provider: whose host it is at, or which kind it is."""
        given = self._config.providers.get(provider)
        if given is None:
            return provider
        return by_host(urlsplit(given.base_url).netloc) if given.base_url else given.kind or provider

    def _named(self, name: str, at: Path = ()) -> Target:
        """The target `provider/model`, found in the setting `at`. Raises ConfigError when nobody knows the provider."""
        provider, _, model = name.partition("/")
        if provider in self._secrets.unusable:
            raise ConfigError(str(self._secrets.unusable[provider]))
        if provider not in self._adapters:
            self._adapters[provider] = self._made(provider, ProviderConfig.unset(), at)
        adapter = self._adapters[provider]
        found = self._secrets.providers.get(provider)
        key = found.keys[0].get_secret_value() if found and found.keys and provider not in self._own else ""
        base_url = adapter.base_url if isinstance(adapter, Compatible | Family) else ""
        if isinstance(adapter, Compatible):
            base_url = base_url or adapter.row.base_url
        return Target(provider=provider, model=model, base_url=base_url, key=key, kind=self._kinds.get(provider, ""))

    def _made(self, name: str, given: ProviderConfig, at: Path = ()) -> Adapter | Family:
        kind = given.kind or name
        _refuse_what_means_nothing(name, kind, given)
        found = self._secrets.providers.get(name) or ResolvedProvider(settings=given)
        if name in self._own:
            if given.api_key:
                raise ConfigError(f"credentials[{name!r}] stands beside providers.{name}.api_key; keep one of the two")
            found = replace(found, keys=())
        if kind in CLOUDS:
            made, credential = CLOUDS[kind](name, found)
            if name in self._own:
                base = made.base_url if isinstance(made, Compatible | Family) else ""
                self._credentials[name] = own(Own(name, kind, found, base), self._own[name])
            elif credential is not None:
                self._credentials[name] = credential()
            return made
        row = ROWS.get(kind)
        if row is None:
            added = load(kind)
            if added is not None:
                return added
            if given.base_url is None or kind != name:
                at = at or (("providers", name, "kind") if given.kind else ("providers", name))
                place = self._config.place(at)
                raise ConfigError(
                    f"{dotted(at)}{'' if place == 'default' else f' ({place})'}:"
                    f" nobody knows a provider of the kind {kind!r}{_meant(kind, ROWS)};"
                    f' set kind = "openai" and a base_url for a server that speaks its protocol'
                )
            # An address of its own and no kind: what nearly every such server speaks.
            row = replace(ROWS["openai"], name=name, prefixes=(), hosts=(), key_env=(), key_optional=True)
        if name in self._own:
            self._credentials[name] = own(Own(name, kind, found, given.base_url or row.base_url), self._own[name])
        headers = {field: value.get_secret_value() for field, value in found.headers.items()}
        return _Place(
            row=row, name=name, base_url=given.base_url or "", headers=headers, once=given.idempotency_header or ""
        )

    def _knows(self, provider: str) -> bool:
        return provider in ROWS or load(provider) is not None

    def _keeps_slashes(self, request: Request) -> bool:
        """Whether the place the SDK pointed at has model names with slashes of its own: they are meant for it."""
        if "://" not in request.url:
            return False
        row = ROWS.get(_whose(request.url))
        return row is not None and row.slashes


_MOST = 1024


class _Found(NamedTuple):
    """Who may answer a call."""

    targets: tuple[Target, ...]
    place: str
    """A word for who they are."""


def _manner(found: ResolvedProvider | None) -> str:
    """A word for what is set of a provider, besides its address and its keys, and can change its answers."""
    if found is None:
        return ""
    given = found.settings
    words = [f"{name}={value}" for name in _TELLING if (value := getattr(given, name))]
    words += [f"{name.lower()}: {value.get_secret_value()}" for name, value in sorted(found.headers.items())]
    return f" {fingerprint(*words)}" if words else ""


_TELLING = ("kind", "api", "api_version", "region")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place(Compatible):
    """A configured provider. A caller who pointed at this very place brings its own key where none is configured."""

    once: str = ""
    """The header by which it knows a call it has seen before."""

    def encode(self, request: Request, target: Target, /) -> Wire:
        wire = Compatible.encode(self, request, target)
        if self.once and self.once not in wire.headers:
            wire = replace(wire, headers=wire.headers.having({self.once: request.notes.same_for_all_attempts()}))
        if target.key or not request.url or _origin(request.url) != _origin(wire.url):
            return wire
        brought = {name: request.headers[name] for name in _CREDENTIALS if name in request.headers}
        return replace(wire, headers=wire.headers.having(brought)) if brought else wire


def _kind(name: str, given: ProviderConfig) -> str:
    """
    Whose place it is; empty where its name says so.

    A server at an address of its own that speaks as OpenAI does is not OpenAI.
    """
    kind = given.kind or name
    if kind == name:
        return ""
    host = by_host(urlsplit(given.base_url).netloc) if given.base_url else ""
    if host in ROWS:
        return host
    return "" if given.base_url and kind == "openai" else kind


_CLOUDY = frozenset(name for row in ROWS.values() for name in row.settings) - {"base_url"}


def _refuse_what_means_nothing(name: str, kind: str, given: ProviderConfig) -> None:
    """Raises ConfigError for a setting that is another cloud's."""
    row = ROWS.get(kind)
    own = row.settings.keys() if row else set[str]()
    lost = sorted(given.model_fields_set & _CLOUDY - own)
    if kind in CLOUDS and given.idempotency_header:
        lost.append("idempotency_header")
    if lost:
        fix = "write `location`" if lost[0] == "region" and "location" in own else "remove it"
        raise ConfigError(f"providers.{name}.{lost[0]} means nothing to a provider of the kind {kind!r}; {fix}")


_CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")


def _addressed(request: Request) -> Target:
    """The place the SDK pointed at; named by its host, as nobody configured it."""
    return Target(provider=_whose(request.url), model=request.model, addressed=True)


@lru_cache(maxsize=256)
def _whose(url: str) -> str:
    return by_host(urlsplit(url).netloc)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _meant(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
