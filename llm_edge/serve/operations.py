"""The operations that `/openapi.json` tells of; those whose paths are not served are left out there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from . import shapes as s
from .allowances import ASKED


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    tag: str
    summary: str
    body: type[BaseModel] | None = None
    body_needed: bool = True
    dialect: str = "OpenAI"
    """Whose words its errors are in."""
    query: tuple[str, ...] = ()
    stream: bool = False
    text: bool = False
    """Whether it answers in plain text."""
    open: bool = False
    """Whether it needs no key."""
    good: int = 200

    @property
    def model_call(self) -> bool:
        """Whether it asks a model: such paths are always there."""
        return self.method == "POST" and self.path.startswith(("/v1/", "/v1beta/"))

    @property
    def in_path(self) -> list[str]:
        """The names in its path."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def id(self) -> str:
        """A name of its own, made of its path."""
        words = re.sub(r"[^a-zA-Z]+", "_", self.path).strip("_")
        return f"{self.method.lower()}_{words}"


_GOOGLE = "/v1beta/models/{model}:"

_CALLS: Sequence[Operation] = (
    Operation("POST", "/v1/chat/completions", "OpenAI", "Ask a model in a chat", s.ChatRequest, stream=True),
    Operation("POST", "/v1/completions", "OpenAI", "Have a text gone on with", s.CompletionRequest, stream=True),
    Operation("POST", "/v1/responses", "OpenAI", "Ask for a response", s.ResponsesRequest, stream=True),
    Operation(
        "POST", "/v1/responses/input_tokens", "OpenAI", "Count the tokens of a response's input", s.ResponsesRequest
    ),
    Operation("POST", "/v1/embeddings", "OpenAI", "Turn texts into vectors", s.EmbeddingRequest),
    Operation("GET", "/v1/models", "OpenAI", "List the models that can be asked"),
    Operation("GET", "/v1/models/{name}", "OpenAI", "Look at one model"),
    Operation(
        "POST",
        "/v1/messages",
        "Anthropic",
        "Ask a model for a message",
        s.MessagesRequest,
        stream=True,
        dialect="Anthropic",
    ),
    Operation(
        "POST",
        "/v1/messages/count_tokens",
        "Anthropic",
        "Count the tokens of a prompt",
        s.CountRequest,
        dialect="Anthropic",
    ),
    Operation("POST", _GOOGLE + "generateContent", "Google", "Ask for content", s.GenerateRequest, dialect="Google"),
    Operation(
        "POST",
        _GOOGLE + "streamGenerateContent",
        "Google",
        "Ask for content as a stream; add `alt=sse`",
        s.GenerateRequest,
        dialect="Google",
        query=("alt",),
        stream=True,
    ),
    Operation(
        "POST", _GOOGLE + "embedContent", "Google", "Turn a text into a vector", s.EmbedRequest, dialect="Google"
    ),
    Operation(
        "POST", _GOOGLE + "countTokens", "Google", "Count the tokens of contents", s.GenerateRequest, dialect="Google"
    ),
    Operation("GET", "/health", "Operation", "How each part stands", open=True),
    Operation("GET", "/health/live", "Operation", "Whether it runs", open=True),
    Operation("GET", "/health/ready", "Operation", "Whether more work may come", open=True),
    Operation("GET", "/metrics", "Operation", "What Prometheus reads", text=True),
)


_ADMIN: Sequence[Operation] = (
    Operation("GET", "/admin/live", "Admin", "How it does: what the dashboard shows", query=("window",)),
    Operation("GET", "/admin/calls/{number}", "Admin", "The story of one of the last calls"),
    Operation("GET", "/admin/keys", "Admin", "List keys"),
    Operation(
        "POST", "/admin/keys", "Admin", "Make a key; it is shown this once", s.KeyRequest, body_needed=False, good=201
    ),
    Operation("DELETE", "/admin/keys/{id}", "Admin", "End a key"),
    Operation(
        "POST",
        "/admin/keys/{id}/rotate",
        "Admin",
        "Make a key in an old one's place",
        s.RotateRequest,
        body_needed=False,
        good=201,
    ),
    Operation("GET", "/admin/tenants", "Admin", "List who has keys, limits or budgets of their own"),
    Operation("PUT", "/admin/tenants/{tenant}", "Admin", "Put all keys of a tenant into a tier", s.TenantRequest),
    Operation("DELETE", "/admin/tenants/{tenant}", "Admin", "End all keys of a tenant"),
    Operation("GET", "/admin/limits", "Admin", "List limits and tiers"),
    Operation("PUT", "/admin/limits/{name}", "Admin", "Set a limit", s.LimitRequest),
    Operation("DELETE", "/admin/limits/{name}", "Admin", "Take a change of a limit back"),
    Operation("GET", "/admin/budgets", "Admin", "List budgets, and how they stand"),
    Operation("PUT", "/admin/budgets/{name}", "Admin", "Set a budget", s.BudgetRequest),
    Operation("DELETE", "/admin/budgets/{name}", "Admin", "Take a change of a budget back"),
    Operation("GET", "/admin/spend", "Admin", "Who spent what", query=("by", *ASKED)),
    Operation("GET", "/admin/breakers", "Admin", "List breakers"),
    Operation("PUT", "/admin/breakers/{target}", "Admin", "Set a breaker by hand", s.BreakerRequest),
    Operation("POST", "/admin/cache/purge", "Admin", "Forget answers", s.PurgeRequest, body_needed=False),
    Operation("GET", "/admin/trail", "Admin", "Who changed what, newest first", query=("limit",)),
)

OPERATIONS: Sequence[Operation] = (*_CALLS, *_ADMIN)
