"""
Models on Google's Vertex AI: Gemini, Claude, and what others have there.

One project, three languages: a model's publisher decides which is spoken. `gemini-…` is Google's and `claude-…`
Anthropic's; others are named with their publisher, as in `meta/llama-4-scout`, and speak the OpenAI chat format.
`endpoints/1234` is a tuned Gemini.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote

from ..errors import InvalidRequest
from ..message import Body, Headers, Request
from .base import Adapter, Target, Wire
from .compatible import Compatible
from .counting import for_vertex
from .table import GOOGLES, Row

HOST: Final = "aiplatform.googleapis.com"
NEWER: Final = "2026-10-21"
"""The version of Anthropic's API that has the same name here and there."""
OLDER: Final = "vertex-2023-10-16"

_GEMINI: Final = Row(
    name="vertex",
    base_url="",
    paths=dict.fromkeys(GOOGLES, "/models/{model}:{action}"),
    key_headers=dict.fromkeys((*GOOGLES, ""), "x-goog-api-key"),
)
_TUNED: Final = replace(
    _GEMINI, paths=dict.fromkeys(("gemini.generate", "gemini.count"), "/endpoints/{model}:{action}")
)
_CLAUDE: Final = Row(
    name="vertex",
    base_url="",
    paths={"anthropic.messages": "/models/{model}:{action}", "anthropic.count": "/models/count-tokens:rawPredict"},
)
_OTHERS: Final = Row(name="vertex", base_url="", paths={"openai.chat": "/chat/completions"})


def host_of(location: str) -> str:
    """Where a location is served: a region, `us` and `eu` as a whole, or `global`."""
    if location == "global":
        return HOST
    return f"aiplatform.{location}.rep.googleapis.com" if location in ("us", "eu") else f"{location}-{HOST}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertex:
    """One project in one location, or a key of the express mode, which has Google's own models alone."""

    name: str = "vertex"
    base_url: str
    """With the version, and with project and location where there are any."""
    headers: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    express: bool = False

    def for_model(self, model: str, /) -> Adapter:
        """How to speak to a model. Raises InvalidRequest for one that cannot be had with a key."""
        publisher = _publisher(model)
        if self.express and publisher != "google":
            refused = InvalidRequest(
                f"{self.name} has a key for Google's own models only; set `project` in place of `api_key` for {model}"
            )
            refused.elsewhere = True
            raise refused
        if publisher == "google":
            return self._made(_Gemini, _GEMINI, "/publishers/google")
        if publisher == "endpoints":
            return self._made(_Gemini, _TUNED, "")
        if publisher == "anthropic":
            return self._made(_Claude, _CLAUDE, "/publishers/anthropic")
        return self._made(_Others, _OTHERS, "/endpoints/openapi")

    def _made(self, kind: type[Compatible], row: Row, below: str) -> Compatible:
        return kind(row=row, name=self.name, base_url=self.base_url + below, headers=self.headers)


def _publisher(model: str) -> str:
    publisher, slash, _ = model.partition("/")
    return publisher if slash else "anthropic" if model.startswith("claude-") else "google"


def _below(target: Target, *, bare: bool = True) -> Target:
    """The target at its publisher's address, which the adapter knows, and by the model's bare name."""
    return replace(target, base_url="", model=target.model.rpartition("/")[2] if bare else target.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gemini(Compatible):
    def encode(self, request: Request, target: Target, /) -> Wire:
        wire = Compatible.encode(self, request, _below(target))
        if wire.url.endswith(":batchEmbedContents"):
            refused = InvalidRequest("Vertex AI embeds one text a call; send the texts one by one")
            refused.elsewhere = True
            raise refused
        return wire

    def _body(self, request: Request, target: Target) -> Body:
        if request.dialect == "gemini.count":
            return for_vertex(request.body)
        return Compatible._body(self, request, target)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Others(Compatible):
    def encode(self, request: Request, target: Target, /) -> Wire:
        return Compatible.encode(self, request, _below(target, bare=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claude(Compatible):
    """Anthropic's body, with the version inside and the model outside."""

    def encode(self, request: Request, target: Target, /) -> Wire:
        return Compatible.encode(self, request, _below(target))

    def _path(self, path: str, request: Request, target: Target) -> str:
        action = "streamRawPredict" if request.streaming else "rawPredict"
        return path.format(model=quote(target.model, safe="@"), action=action)

    def _headers(self, request: Request, target: Target, dialect: str) -> Headers:
        return Compatible._headers(self, request, target, dialect).without("anthropic-version")

    def _body(self, request: Request, target: Target) -> Body:
        counting = request.dialect == "anthropic.count"  # to which the model is told in the body, as the path has none
        body = request.body.with_fields(model=target.model) if counting else request.body.without_fields("model")
        if "anthropic_version" in body.json:
            return body
        version = request.headers.get("anthropic-version")
        return body.with_fields(anthropic_version=NEWER if version == NEWER else OLDER)
