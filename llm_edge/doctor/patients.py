"""Who is asked, and for which model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..config import EdgeConfig, Resolved
from ..errors import ConfigError
from ..providers.table import ROWS

NAMELESS = "no-model-named"
"""Asked for where nobody names a model: that it is not known shows all the rest."""

SMALL = {
    "openai": "gpt-5.4-mini",
    "anthropic": "claude-haiku-4-5",
    "azure-anthropic": "claude-haiku-4-5",
    "gemini": "gemini-3.8-flash",
    "vertex": "gemini-3.8-flash",
    "mistral": "mistral-small-latest",
    "deepseek": "deepseek-chat",
    "perplexity": "sonar",
}
"""A cheap model of each kind that has one of its own, for when no route names any. November 2026."""


@dataclass(frozen=True, slots=True)
class Patient:
    """One provider and the model it is asked for."""

    provider: str
    model: str

    @property
    def target(self) -> str:
        return f"{self.provider}/{self.model}"

    @property
    def nameless(self) -> bool:
        return self.model == NAMELESS


def patients(
    config: EdgeConfig, secrets: Resolved, *, only: Sequence[str] = (), models: Sequence[str] = (), every: bool = False
) -> list[Patient]:
    """
    Each provider that is configured, asked for by a route, or known by a key in its variable.

    `only` names those that are wanted, `models` says `provider/model` in place of what routes say; with `every`
    all models that routes name are asked for, not only each provider's first. Raises ConfigError for a name
    that is neither.
    """
    named = [*models, *_in_routes(config)]
    known = dict.fromkeys([*config.providers, *(target.partition("/")[0] for target in named)])
    # A variable such as AWS_REGION alone, well written or not, does not say that its cloud is to be asked.
    keyed = [name for name, found in secrets.providers.items() if found.keys]
    known |= dict.fromkeys(sorted([*keyed, *secrets.meant]))
    for name in only:
        if name not in known and name not in ROWS:
            raise ConfigError(f"there is no provider {name!r}; known here: {', '.join(known) or 'none'}")
    found: list[Patient] = []
    for provider in only or known:
        asked = [target.partition("/")[2] for target in named if target.partition("/")[0] == provider]
        asked = list(dict.fromkeys(asked)) or [_model_of(provider, config)]
        found += [Patient(provider, model) for model in (asked if every else asked[:1])]
    return found


def _in_routes(config: EdgeConfig) -> Iterator[str]:
    for route in config.routes.values():
        yield from (each.target for each in route.targets)


def _model_of(provider: str, config: EdgeConfig) -> str:
    given = config.providers.get(provider)
    if given is not None and given.base_url:
        return NAMELESS  # a server of its own has models of its own
    return SMALL.get((given and given.kind) or provider, NAMELESS)
