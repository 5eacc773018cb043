"""
What the sidecar takes and gives, as models of the fields that are documented. They describe; cargo is not held to them.

A call may have fields that nobody here has heard of, as the chain carries them all.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Open(BaseModel):
    """An object that may have more fields than are named."""

    model_config = ConfigDict(extra="allow")


class ModelNamed(Open):
    """A call to a model."""

    model: str = Field(min_length=1, description="A route, `provider/model`, or a model's name known by its prefix.")


class ChatMessage(Open):
    """One message of a conversation."""

    role: str
    content: str | list[dict[str, Any]] | None = None


class ChatRequest(ModelNamed):
    """OpenAI's chat completions."""

    messages: list[ChatMessage]
    stream: bool | None = Field(default=None, description="As server-sent events.")
    temperature: float | None = None
    top_p: float | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    seed: int | None = None
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None
    user: str | None = None


class CompletionRequest(ModelNamed):
    """OpenAI's older completions."""

    prompt: str | list[Any]
    stream: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None


class EmbeddingRequest(ModelNamed):
    """OpenAI's embeddings."""

    input: str | list[Any]
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None


class ResponsesRequest(ModelNamed):
    """OpenAI's responses."""

    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    previous_response_id: str | None = None


class MessagesRequest(ModelNamed):
    """Anthropic's messages."""

    messages: list[ChatMessage]
    max_tokens: int
    system: str | list[dict[str, Any]] | None = None
    stream: bool | None = None
    temperature: float | None = None


class CountRequest(ModelNamed):
    """Anthropic's question how many tokens a prompt has."""

    messages: list[ChatMessage]
    system: str | list[dict[str, Any]] | None = None


class GenerateRequest(Open):
    """Google's contents."""

    contents: list[dict[str, Any]] | None = None
    systemInstruction: dict[str, Any] | None = None  # noqa: N815  Google's word
    generationConfig: dict[str, Any] | None = None  # noqa: N815


class EmbedRequest(Open):
    """Google's embeddings."""

    content: dict[str, Any] | None = None


class KeyRequest(BaseModel):
    """A new key."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="", max_length=200)
    tenant: str = Field(default="", max_length=200, description="Whom its calls count for; else its own id.")
    tier: str = Field(default="", max_length=200)
    permissions: list[Literal["call", "admin", "metrics", "health"]] = ["call"]
    models: list[str] = Field(default=[], description="Patterns of the models it may ask; none for all.")
    days: float | None = Field(default=None, gt=0, lt=36_500, description="After these it opens no more.")
    key: str | None = Field(
        default=None, pattern="^[!-~]{8,200}$", description="One that callers have already, to be taken over as it is."
    )


class RotateRequest(BaseModel):
    """A new key in an old one's place."""

    model_config = ConfigDict(extra="forbid")

    overlap: float = Field(default=86_400, ge=0, le=90 * 86_400, description="Seconds that the old key opens yet.")


class BreakerRequest(BaseModel):
    """A breaker set by hand."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["open", "closed", "off"]


class PurgeRequest(BaseModel):
    """Answers to be forgotten: those that have all of these."""

    model_config = ConfigDict(extra="forbid")

    tenant: str | None = Field(default=None, min_length=1)
    namespace: str | None = Field(default=None, min_length=1)
    model: str | None = Field(default=None, min_length=1)
    key: str | None = Field(default=None, min_length=1)


class OpenAIProblem(Open):
    """What went wrong."""

    message: str
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class OpenAIError(Open):
    """A refusal or a failure in OpenAI's words; also of all paths that belong to no dialect."""

    error: OpenAIProblem


class AnthropicProblem(Open):
    """What went wrong."""

    type: str
    message: str


class AnthropicError(Open):
    """A refusal or a failure in Anthropic's words."""

    type: Literal["error"]
    error: AnthropicProblem


class GoogleProblem(Open):
    """What went wrong."""

    code: int
    message: str
    status: str


class GoogleError(Open):
    """A refusal or a failure in Google's words."""

    error: GoogleProblem


class LimitRequest(Open):
    """A limit, as the configuration has it."""

    requests_per_second: float | None = None
    requests_per_minute: float | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    tier: str | None = None


class BudgetRequest(Open):
    """A budget, as the configuration has it."""

    usd_per_day: float | None = None
    usd_per_month: float | None = None
    hard: bool | None = None


class TenantRequest(BaseModel):
    """A tenant's tier."""

    model_config = ConfigDict(extra="forbid")

    tier: str
