"""
OpenAI's models on Azure, by either of its two surfaces.

The v1 surface is OpenAI's own, at another address. The older one has the deployment in the path and a dated
version in the query. The body is the same; what a filter took away may be missing from the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from ..message import Body, Request
from .base import Target
from .cargo import listing, mapping
from .compatible import Compatible
from .table import OPENAI_PATHS, Row

DATED: Final = re.compile(r"20\d\d-\d\d-\d\d(-preview)?")
"""A version of the older surface."""

_SURFACE: Final = re.compile(r"/openai(?:/v1|/deployments(?:/.*)?)?$")


def root_of(base_url: str) -> str:
    """The address of a resource, without the path of either surface: people copy it with and without."""
    return _SURFACE.sub("", base_url.rstrip("/"))


def deployments(row: Row) -> dict[str, str]:
    """The paths of the older surface, for the dialects of a row."""
    # Responses name the deployment in their body.
    return {
        dialect: f"/deployments/{{model}}{path}" if dialect in OPENAI_PATHS else path
        for dialect, path in row.paths.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Azure(Compatible):
    """Writes a request for one resource."""

    api_version: str = ""
    """The version of the older surface; empty for v1."""

    def decode(self, body: Body, request: Request, /) -> Body:
        """The answer; a choice that the filter left without a message gets an empty one, as clients look there."""
        if request.dialect != "openai.chat":
            return body
        choices = listing(body.json.get("choices"))
        if all("message" in mapping(choice) for choice in choices):
            return body
        return body.with_fields(choices=[_with_message(choice) for choice in choices])

    def _path(self, path: str, request: Request, target: Target) -> str:
        filled = path.replace("{model}", quote(target.model, safe=""))
        return f"{filled}?api-version={self.api_version}" if self.api_version else filled


def _with_message(choice: Any) -> Any:
    if "message" in mapping(choice):
        return choice
    return {**mapping(choice), "message": {"role": "assistant", "content": None}}
