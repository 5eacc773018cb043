"""A configured project on Google's Vertex AI."""

from __future__ import annotations

from collections.abc import Callable

from ..config import ResolvedProvider
from ..errors import ConfigError
from ..providers.base import Credential, Family
from ..providers.keyless import KEY_HEADERS
from ..providers.vertex import HOST, Vertex, host_of
from .google import google

VERSIONS = ("v1beta1", "v1")


def vertex(name: str, found: ResolvedProvider) -> tuple[Family, Callable[[], Credential] | None]:
    """Gemini, Claude and others in one project; or Google's own by a key alone. Raises ConfigError."""
    given = found.settings
    version = given.api_version or VERSIONS[0]
    if version not in VERSIONS:
        raise ConfigError(f"providers.{name}.api_version is no version of Vertex AI's; write {' or '.join(VERSIONS)}")
    headers = {field: value.get_secret_value() for field, value in found.headers.items()}
    if found.keys:
        if given.project and "project" not in found.from_variables:
            raise ConfigError(f"providers.{name}.project stands beside api_key; keep one of the two")
        base = given.base_url or f"https://{HOST}"
        return Vertex(name=name, base_url=f"{base}/{version}", headers=headers, express=True), None
    if not given.project:
        raise ConfigError(
            f"providers.{name} has no project; set `project`, or the variable GOOGLE_CLOUD_PROJECT"
            " (or api_key, a key of the express mode, for Google's own models)"
        )
    location = given.location or "global"
    base = given.base_url or f"https://{host_of(location)}"
    place = f"{base}/{version}/projects/{given.project}/locations/{location}"
    shown = any(field.lower() in KEY_HEADERS for field in headers)
    return Vertex(name=name, base_url=place, headers=headers), None if shown else lambda: google(name, found)
