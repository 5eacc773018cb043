"""
`/openapi.json`: what can be asked, as OpenAPI 3.1, made of the models in `shapes.py` and the table of operations here.

Only what this sidecar serves stands in it: an operation whose path is switched off is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ..money.spend import WHO
from . import shapes as s
from .operations import OPERATIONS, Operation

_IN_PATH = {"model": "A route, or a model's name.", "id": "Its id.", "target": "`provider/model`."}

_TELLS: Mapping[str, tuple[str, type[BaseModel]]] = {
    "OpenAI": ("OpenAI's SDKs, and the models there are", s.OpenAIError),
    "Anthropic": ("Anthropic's SDKs", s.AnthropicError),
    "Google": ("Google's SDKs", s.GoogleError),
    "Operation": ("How it stands, for machines", s.OpenAIError),
    "Admin": ("For keys with the permission `admin`", s.OpenAIError),
}
_SAYS = (
    "An LLM gateway: the SDKs' own APIs in front, any provider behind. Fields that are not named here are carried as"
    " they are. Many calls over one WebSocket: `/v1/ws`."
)
_REFUSALS = {
    "400": "The request makes no sense; the message says what to change.",
    "401": "No key, or one that is not known.",
    "403": "The key may not do this.",
    "404": "There is no such path, model or thing.",
    "default": "Refused, or failed at the provider: its status and its words, in the dialect of the path.",
}


@dataclass(slots=True)
class Document:
    """Writes the description, for the operations of this sidecar."""

    version: str
    open_door: bool
    served: frozenset[str]
    """Paths of the pages that are switched on, as the router has them."""
    _schemas: dict[str, Any] = field(default_factory=dict[str, Any])

    def written(self, root: str) -> dict[str, Any]:
        """The whole of it; `root` is where the sidecar is mounted."""
        chosen = [each for each in OPERATIONS if each.model_call or each.path in self.served]
        models = _models(chosen)
        refs, defined = models_json_schema(
            [(m, "validation") for m in models], ref_template="#/components/schemas/{model}"
        )
        self._schemas = {m.__name__: refs[m, "validation"] for m in models}
        paths: dict[str, dict[str, Any]] = {}
        for each in chosen:
            paths.setdefault(each.path, {})[each.method.lower()] = self._operation(each)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "llm_edge", "version": self.version, "description": _SAYS,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": root or "/"}],
            "tags": [{"name": name, "description": says} for name, (says, _) in _TELLS.items()],
            "security": [] if self.open_door else [{"bearer": []}, {"x-api-key": []}],
            "paths": paths,
            "components": {
                "schemas": defined["$defs"],
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer", "description": "A key, or a token of the issuer."},
                    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "A key."},
                },
            },
        }  # fmt: skip

    def _operation(self, each: Operation) -> dict[str, Any]:
        made: dict[str, Any] = {
            "tags": [each.tag], "summary": each.summary, "operationId": each.id,
            "parameters": [*_in_path(each), *_in_query(each)],
            "responses": self._responses(each),
        }  # fmt: skip
        if each.open:
            made["security"] = []
        if each.body is not None:
            schema = self._schemas[each.body.__name__]
            made["requestBody"] = {
                "required": each.body_needed, "content": {"application/json": {"schema": schema}},
            }  # fmt: skip
        return made

    def _responses(self, each: Operation) -> dict[str, Any]:
        kinds: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
        if each.text:
            kinds = {"text/plain": {"schema": {"type": "string"}}}
        if each.stream:
            kinds["text/event-stream"] = {"schema": {"type": "string"}}
        own, usual = (self._schemas[_TELLS[name][1].__name__] for name in (each.dialect, "OpenAI"))
        # What is no path after all, for a character in it, belongs to no dialect, and is told in the usual one.
        error = {"application/json": {"schema": own if own == usual else {"anyOf": [own, usual]}}}
        found = {str(each.good): {"description": "Answered.", "content": kinds}}
        return found | {status: {"description": says, "content": error} for status, says in _REFUSALS.items()}


def _models(chosen: Sequence[Operation]) -> list[type[BaseModel]]:
    """All that is described by itself, each once."""
    found: dict[str, type[BaseModel]] = {error.__name__: error for _, error in _TELLS.values()}
    found |= {each.body.__name__: each.body for each in chosen if each.body is not None}
    return list(found.values())


def _in_path(each: Operation) -> Iterable[Mapping[str, Any]]:
    for name in each.in_path:
        says = _IN_PATH.get(name, "Its name.")
        schema = {"type": "string", "minLength": 1, "pattern": r"^[A-Za-z0-9._:-]+$"}
        yield {"name": name, "in": "path", "required": True, "description": says, "schema": schema}


def _in_query(each: Operation) -> Iterable[Mapping[str, Any]]:
    for name in each.query:
        yield {"name": name, "in": "query", "required": name == "alt", "schema": _QUERIES[name]}


_BY = ["tenant", "key", "user", "route", "model", "provider", "target", "hour", "day", "month"]
_QUERIES: Mapping[str, Any] = {
    "alt": {"type": "string", "enum": ["sse"]},
    "window": {"type": "integer", "enum": [900, 21600], "default": 900},
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    "by": {
        "type": "string",
        "enum": _BY,
    },
    "since": {"type": "string", "examples": ["24h"]},
    "until": {"type": "string", "examples": ["2026-11-21"]},
    "source": {"type": "string", "enum": ["memory", "log"]},
    **{name: {"type": "string"} for name in WHO},
}
