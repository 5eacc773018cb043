"""A configured resource on Azure: OpenAI's models, or Anthropic's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..config import ResolvedProvider
from ..errors import ConfigError
from ..providers.azure import DATED, Azure, deployments, root_of
from ..providers.base import Adapter, Credential
from ..providers.compatible import Compatible
from ..providers.keyless import KEY_HEADERS
from ..providers.table import ROWS
from .entra import entra


def azure(name: str, found: ResolvedProvider) -> tuple[Adapter, Callable[[], Credential] | None]:
    """OpenAI's models, by deployments where a dated version is set, else by the v1 API. Raises ConfigError."""
    base = root_of(_base(name, found, "openai.azure.com", "AZURE_OPENAI_ENDPOINT"))
    version = found.settings.api_version or ""
    row = ROWS["azure"]
    if version and not DATED.fullmatch(version):
        raise ConfigError(
            f"providers.{name}.api_version is no version of Azure's; write a date, as in 2024-10-21, or leave it out"
            " (and OPENAI_API_VERSION unset) for the v1 API"
        )
    if version:
        row = replace(row, paths=deployments(row))
    adapter = Azure(
        row=row, name=name, base_url=f"{base}/openai" if version else f"{base}/openai/v1", headers=_headers(found),
        api_version=version,
    )  # fmt: skip
    return adapter, _credential(name, found, base)


def foundry(name: str, found: ResolvedProvider) -> tuple[Adapter, Callable[[], Credential] | None]:
    """Anthropic's models in Azure's Foundry. Raises ConfigError."""
    base = _base(name, found, "services.ai.azure.com", "ANTHROPIC_FOUNDRY_RESOURCE")
    base = base.removesuffix("/v1").removesuffix("/anthropic")
    adapter = Compatible(row=ROWS["azure-anthropic"], name=name, base_url=f"{base}/anthropic", headers=_headers(found))
    return adapter, _credential(name, found, base)


def _base(name: str, found: ResolvedProvider, domain: str, variable: str) -> str:
    given = found.settings
    if given.base_url and given.resource:
        raise ConfigError(f"providers.{name}.resource stands beside base_url; keep one of the two")
    if given.base_url:
        return given.base_url
    if given.resource:
        return f"https://{given.resource}.{domain}"
    raise ConfigError(
        f"providers.{name} has no address; set `resource` (the name before .{domain}), `base_url`,"
        f" or the variable {variable}"
    )


def _headers(found: ResolvedProvider) -> dict[str, str]:
    return {field: value.get_secret_value() for field, value in found.headers.items()}


def _credential(name: str, found: ResolvedProvider, base: str) -> Callable[[], Credential] | None:
    if found.keys or any(field.lower() in KEY_HEADERS for field in found.headers):
        return None
    return lambda: entra(name, found, base)
