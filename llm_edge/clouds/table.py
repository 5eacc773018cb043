"""The clouds that need more than a row: what makes an adapter of their settings, and what shows who calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from ..config import ResolvedProvider
from ..providers.base import Adapter, Credential, Family
from .aws import bedrock
from .azure import azure, foundry
from .vertex import vertex

Made: TypeAlias = tuple[Adapter | Family, Callable[[], Credential] | None]
"""How to speak to a provider; and what makes its credential, or None where a key or a header is one."""

CLOUDS: Final[Mapping[str, Callable[[str, ResolvedProvider], Made]]] = {
    "azure": azure,
    "azure-anthropic": foundry,
    "vertex": vertex,
    "bedrock": bedrock,
}
"""By kind. Each takes the provider's name and settings, and raises ConfigError for settings that cannot work."""
