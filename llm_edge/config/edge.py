"""The whole configuration as one frozen model, however it came together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, ValidationError, ValidationInfo, model_validator

from ..errors import ConfigError
from . import layers, values
from .absent import without_absent
from .budgets import BudgetConfig
from .guard import GuardConfig
from .layers import Layers, Places
from .limits import TIERS, LimitConfig, StoreConfig, TierConfig
from .prices import PricesConfig
from .problems import Problem, explain, failure
from .routes import RouteConfig, RouteDeadline
from .sections import CacheConfig, DeadlineConfig, HttpConfig, ProviderConfig, Section
from .serve import ServeConfig
from .telemetry import TelemetryConfig
from .traffic import BreakerConfig, HedgeConfig, RetryConfig
from .trees import Path, as_written, is_table

Settings = Mapping[str, object]
OnUnsupported = Literal["warn", "drop", "reject"]


class Sections(TypedDict, total=False):
    """The keywords of `EdgeConfig` and `EdgeClient`: each a section, as a mapping or as a model."""

    providers: Mapping[str, Settings | ProviderConfig]
    routes: Mapping[str, Settings | RouteConfig]
    deadline: Settings | DeadlineConfig
    cache: Settings | CacheConfig
    limits: Mapping[str, Settings | LimitConfig]
    tiers: Mapping[str, Settings | TierConfig]
    budgets: Mapping[str, Settings | BudgetConfig]
    store: Settings | StoreConfig
    retry: Settings | RetryConfig
    breaker: Settings | BreakerConfig
    hedge: Settings | HedgeConfig
    http: Settings | HttpConfig
    guard: Settings | GuardConfig
    prices: Settings | PricesConfig
    serve: Settings | ServeConfig
    telemetry: Settings | TelemetryConfig
    on_unsupported_param: OnUnsupported
    token_files: str | os.PathLike[str] | None


class EdgeConfig(Section):
    """Everything that can be set, checked and frozen. Raises ConfigError naming each setting that cannot be used.

    `EdgeConfig(cache={"ttl": 60}, retry={"attempts": 1})` sets what is named and leaves the rest at its defaults.
    """

    providers: Mapping[values.Name, ProviderConfig] = Field(
        default_factory=dict, description="Where calls go, by name: the part of a target before the slash."
    )
    routes: Mapping[values.RouteName, RouteConfig] = Field(
        default_factory=dict, description="Model names of your own, and who answers for them."
    )
    deadline: DeadlineConfig = Field(default_factory=DeadlineConfig.unset, description="How long a call may take.")
    cache: CacheConfig = Field(default_factory=CacheConfig.unset, description="Answers that are kept, in memory first.")
    limits: Mapping[values.LimitScope, LimitConfig] = Field(
        default_factory=dict,
        description="Limits on calls: for all together (`global`), or for each tenant, key, user, route, provider or"
        ' model. One of them has its own as in `"tenant:acme"`.',
    )
    tiers: Mapping[values.Name, TierConfig] = Field(
        default_factory=dict,
        description="Sets of limits by name. There without being configured: `free` (10 a second, 1000 a day, 5 at"
        " once, strict), `pro` (100, 100000, 50) and `enterprise` (1000, no day limit, 500).",
    )
    store: StoreConfig = Field(default_factory=StoreConfig.unset, description="Where limits count.")
    budgets: Mapping[values.LimitScope, BudgetConfig] = Field(
        default_factory=dict,
        description="What may be spent: by all together (`global`), or by each tenant, key, user, route, provider or"
        ' model. One of them has its own as in `"tenant:acme"`.',
    )
    retry: RetryConfig = Field(default_factory=RetryConfig.unset, description="Asking again after a failure.")
    hedge: HedgeConfig = Field(default_factory=HedgeConfig.unset, description="A second ask when the first takes long.")
    breaker: BreakerConfig = Field(default_factory=BreakerConfig.unset, description="Leaving a failing target alone.")
    http: HttpConfig = Field(default_factory=HttpConfig.unset, description="How calls travel.")
    guard: GuardConfig = Field(default_factory=GuardConfig.unset, description="Personal data in what is asked.")
    prices: PricesConfig = Field(default_factory=PricesConfig.unset, description="What models cost.")
    serve: ServeConfig = Field(default_factory=ServeConfig.unset, description="The sidecar, `llm_edge.serve`.")
    telemetry: TelemetryConfig = Field(default_factory=TelemetryConfig.unset, description="What is told about calls.")
    on_unsupported_param: OnUnsupported = Field(
        default="warn",
        description="What happens to a parameter that a provider of another dialect does not have:"
        ' "warn" leaves it out and says so in explain(); "drop" says nothing; "reject" refuses the call.',
    )

    token_files: values.FilePath | None = Field(
        default=None,
        description="A directory that holds tiktoken's vocabularies (o200k_base.tiktoken, cl100k_base.tiktoken, or as"
        " TIKTOKEN_CACHE_DIR has them), for closer guesses of a prompt's tokens. Needs the package tiktoken; nothing is"
        " downloaded.",
        examples=["/usr/share/tiktoken"],
    )

    _places: Places = PrivateAttr(default_factory=Places)

    if TYPE_CHECKING:
        # What may be passed, which is wider than what is kept: a mapping becomes a section.
        def __init__(self, **sections: Unpack[Sections]) -> None: ...

    @classmethod
    def load(
        cls,
        file: str | os.PathLike[str] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        environment: str | None = None,
        overrides: Mapping[str, object] | None = None,
        serving: bool = False,
    ) -> Self:
        """A configuration from a file, an environment's file beside it, variables and keywords, each over the last.

        `serving` also reads the short names that only a server may claim, such as `PORT`.
        `environment="production"` (or `LLM_EDGE_ENV` in `env`) adds `edge.production.toml` to `edge.toml`.
        Raises ConfigError when a file cannot be read or a setting cannot be used.
        """
        return cls._of(layers.gather(file, env, environment, overrides, serving=serving))

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """A configuration from variables alone, such as `os.environ`. Raises ConfigError."""
        return cls.load(env=env)

    @classmethod
    def from_file(cls, file: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> Self:
        """A configuration from a file, with variables over it. Raises ConfigError."""
        # Not all check types, and a variable that is not set gives None.
        if not file or not isinstance(file, (str, os.PathLike)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"from_file takes the path of a TOML file, not {file!r:.20}; from_env needs no file")
        return cls.load(file, env=env)

    def changed(self, **sections: Unpack[Sections]) -> Self:
        """This configuration with some settings changed; tables are joined. Raises ConfigError."""
        merged = Layers()
        merged.lay(self.model_dump(exclude_unset=True), self.place)
        merged.lay(sections, layers.keyword)
        return self._of(merged)

    def for_route(self, name: str) -> Self:
        """The configuration as one route sees it: its own deadline, cache and retry over the common ones."""
        route = self.routes.get(name)
        if route is None:
            return self
        return self.model_copy(
            update={
                "deadline": _deadline(self.deadline, route.deadline),
                "breaker": BreakerConfig.model_validate(_over(self.breaker, route.breaker)),
                "cache": CacheConfig.model_validate(_over(self.cache, route.cache)),
                "guard": GuardConfig.model_validate(_over(self.guard, route.guard)),
                "hedge": HedgeConfig.model_validate(_over(self.hedge, route.hedge)),
                "retry": RetryConfig.model_validate(_over(self.retry, route.retry)),
            }
        )

    def place(self, path: Path) -> str:
        """Where a setting was set: a file and line, a variable, a keyword, or `default`."""
        return self._places.of(path)

    def __eq__(self, other: object) -> bool:
        """Two configurations are equal when their settings are, wherever these came from."""
        return isinstance(other, EdgeConfig) and all(
            getattr(self, field) == getattr(other, field) for field in EdgeConfig.model_fields
        )

    __hash__ = None  # type: ignore[assignment]  # holds mappings; object's own hash would not fit __eq__

    @classmethod
    def _of(cls, gathered: Layers) -> Self:
        return cls.model_validate(gathered.tree, context=gathered)

    @model_validator(mode="wrap")
    @classmethod
    def _explained(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Turns what pydantic finds into one ConfigError. `data` is whatever was passed."""
        if not is_table(data):
            return handler(data)
        gathered = info.context if isinstance(info.context, Layers) else _keywords(data)
        tree, problems = without_absent(gathered.tree)
        config: Self | None = None
        try:
            config = handler(tree)
        except ValidationError as error:
            problems += [replace(each, path=as_written(each.path, gathered.tree)) for each in explain(error, cls)]
        if config is not None:
            problems += [*_in_routes(config), *_in_limits(config)]
        if config is None or problems:
            # Out here, so that pydantic's error, which knows the values, does not hang on ours.
            raise failure(problems, gathered.places.near)
        config._places = gathered.places
        return config


def as_config(given: object) -> EdgeConfig:
    """
    What stands before the keywords of an `EdgeClient`.

    Raises ConfigError for what people put there by mistake, in words that do not repeat it: it may be a key.
    """
    if isinstance(given, EdgeConfig):
        return given
    if isinstance(given, Mapping):
        fix = "Give a mapping of sections as keywords: EdgeClient(**settings)"
    elif isinstance(given, (str, os.PathLike)):
        fix = (
            "Read a file with EdgeClient.from_file(path); a key goes into the provider's variable, or into"
            ' EdgeClient(providers={"openai": {"api_key": key}})'
        )
    else:
        fix = 'Give sections by keyword, as in EdgeClient(cache={"ttl": 60})'
    name = type(given).__name__  # pyright: ignore[reportUnknownArgumentType]  # of what, is all the same
    raise ConfigError(f"EdgeClient takes an EdgeConfig before its keywords, not a {name}. {fix}.")


def _keywords(sections: Mapping[str, object]) -> Layers:
    gathered = Layers()
    gathered.lay(sections, layers.keyword)
    return gathered


def _over(common: Section, own: Section) -> dict[str, object]:
    return common.model_dump() | own.model_dump(exclude_none=True)


def _deadline(common: DeadlineConfig, own: RouteDeadline) -> DeadlineConfig:
    merged = _over(common, own)
    if own.total is None and common.total is not None:
        # What a route says about one operation counts for more than what is said about all of them everywhere.
        merged |= dict.fromkeys(("chat", "stream", "embeddings"), common.total) | own.model_dump(exclude_none=True)
        merged["total"] = None
    return DeadlineConfig.model_validate(merged)


def _in_routes(config: EdgeConfig) -> list[Problem]:
    """What is wrong with a route only once it is laid over the common sections."""
    problems: list[Problem] = []
    for name, route in config.routes.items():
        if any(each.target == name for each in route.targets):
            problems.append(Problem(("routes", name, "targets"), "holds the route itself", "Name another target."))
        retry = _over(config.retry, route.retry)
        try:
            RetryConfig.model_validate(retry)
        except ValidationError as error:
            problems += [
                Problem(("routes", name, "retry", *each.path), each.what, each.fix)
                for each in explain(error, RetryConfig)
            ]
    return problems


def _in_limits(config: EdgeConfig) -> list[Problem]:
    """Limits that name a tier or a route nobody has configured."""
    problems: list[Problem] = []
    tiers = {**TIERS, **config.tiers}
    for name, limit in config.limits.items():
        if limit.tier and limit.tier not in tiers:
            known = ", ".join(sorted(tiers))
            problems.append(Problem(("limits", name, "tier"), "is a tier nobody has set", f"Known are {known}."))
        scope, _, subject = name.partition(":")
        if scope == "route" and subject and subject not in config.routes:
            problems.append(Problem(("limits", name), "limits a route that is not there", "Set it in [routes]."))
    return problems
