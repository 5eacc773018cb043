"""What an `EdgeClient` was made with, until it is put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from .config import EdgeConfig, Sections
    from .message import Layer
    from .runtime import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The arguments. Shows nothing of them: there are keys in the environment."""

    config: EdgeConfig | None
    sections: Sections
    env: Mapping[str, str]
    layers: tuple[Layer, ...]
    clock: Clock | None
    chance: Callable[[], float] | None
    credentials: Mapping[str, object] | None
    tracer_provider: TracerProvider | None
    meter_provider: MeterProvider | None

    def __repr__(self) -> str:
        return "<what a client was made with>"

    @property
    def settles(self) -> bool:
        """Whether any of it might be wrong, and so has to be looked at at once."""
        return self.config is not None or bool(self.sections) or self.credentials is not None


def own_layers(given: Iterable[Layer]) -> tuple[Layer, ...]:
    """The app's own layers. Raises ConfigError for what cannot be one."""
    try:
        layers = tuple(given)
    except TypeError:
        raise ConfigError("layers must be a list of functions, as in EdgeClient(layers=[stamp])") from None
    for number, layer in enumerate(layers):
        if not callable(layer):
            raise ConfigError(
                f"layers[{number}] is a {type(layer).__name__}, not a function `async def (request, handler)`"
            )
    return layers
