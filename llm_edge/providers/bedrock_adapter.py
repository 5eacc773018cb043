"""How calls are written down for Bedrock: Converse, InvokeModel, and the two OpenAI-like APIs beside them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ..errors import BadAnswer, InvalidRequest
from ..message import Body, ByteSource, Headers, Request
from . import capabilities
from .base import Target, Wire
from .bedrock_models import is_embedder, path_of, vendor
from .cargo import mapping, parse, string
from .compatible import Compatible
from .eventstream import CONTENT_TYPE, Frame, Frames
from .passing import passable
from .table import Row

_ACTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "bedrock.converse": ("converse", "converse-stream"),
    "anthropic.messages": ("invoke", "invoke-with-response-stream"),
    "bedrock.llama": ("invoke", "invoke-with-response-stream"),
    "bedrock.count": ("count-tokens", "count-tokens"),
    "bedrock.embed": ("invoke", "invoke"),
}
"""What stands behind the model in the path, for a whole answer and for a stream."""

_OLD_VERSION: Final = "bedrock-2023-05-31"
_NEW_VERSION: Final = "2026-10-21"

OPENAI: Final = Row(
    name="bedrock",
    base_url="",
    paths={"openai.chat": "/openai/v1/chat/completions", "openai.responses": "/openai/v1/responses"},
    models_path="/openai/v1/models",
    developer=True,
)
MANTLE: Final = Row(
    name="bedrock",
    base_url="",
    paths={
        "openai.chat": "/v1/chat/completions",
        "openai.responses": "/v1/responses",
        "anthropic.messages": "/anthropic/v1/messages",
    },
    models_path="/v1/models",
    headers={"anthropic.messages": {"anthropic-version": "2023-06-01"}},
    developer=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bedrock:
    """
    Writes a request for Converse, or for InvokeModel in the model's own words.

    What is spoken depends on the model: `for_model` gives the adapter that knows which it is.
    """

    name: str = "bedrock"
    base_url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Sent with every call, in place of any of the same name."""
    invoke: bool = False
    """Models are told in their own words where those are known here, not in Converse's."""
    model: str = ""

    def __post_init__(self) -> None:
        # Frozen, so filled in the long way.
        object.__setattr__(self, "headers", {name.lower(): value for name, value in self.headers.items()})

    def for_model(self, model: str) -> Bedrock:
        """The adapter for one model."""
        return replace(self, model=model)

    def speaks(self, dialect: str, /) -> bool:
        whose = vendor(self.model)
        if dialect == "bedrock.count":
            return True
        if dialect == "bedrock.embed" or is_embedder(self.model):
            return dialect == "bedrock.embed"
        if self.invoke:
            # An ARN that tells no vendor: whoever asks for InvokeModel knows what is behind it.
            own = {"anthropic": "anthropic.messages", "": "anthropic.messages", "meta": "bedrock.llama"}
            return dialect == own.get(whose, "bedrock.converse")
        return dialect == "bedrock.converse" or (dialect == "anthropic.messages" and whose == "anthropic")

    def encode(self, request: Request, target: Target, /) -> Wire:
        """Raises InvalidRequest for a dialect that is not spoken here."""
        actions = _ACTIONS.get(request.dialect)
        if actions is None or request.operation not in ("chat", "count", "embeddings"):
            what = f"{request.dialect}, {request.operation}"
            raise InvalidRequest(
                f"{self.name} takes chats and embeddings, and counts tokens, for {target.model or 'its models'};"
                f" it has no {what}"
            )
        if not target.model.strip("."):
            raise InvalidRequest(f"`model`: {target.model!r} is no model's name")  # it would climb up the path
        path = path_of(target.model, actions[request.streaming])
        return Wire(
            url=(target.base_url or self.base_url).rstrip("/") + path,
            headers=self._headers(request, target),
            content=_body(request, target).raw,
        )

    def decode(self, body: Body, request: Request, /) -> Body:
        return body

    def reframed(self, headers: Headers, source: ByteSource, request: Request, /) -> tuple[Headers, ByteSource]:
        """The model's own events out of Amazon's frames; Converse's stream is such frames, and stays."""
        if request.dialect == "bedrock.converse" or not headers.get("content-type", "").startswith(CONTENT_TYPE):
            return headers, source
        return headers.having({"content-type": "text/event-stream; charset=utf-8"}), Unwrapped(source)

    def _headers(self, request: Request, target: Target) -> Headers:
        fields = {
            "content-type": "application/json",
            "accept": CONTENT_TYPE if request.streaming else "application/json",
            # A compressed stream comes in lumps.
            "accept-encoding": "identity" if request.streaming else "gzip, deflate",
        }
        if "user-agent" not in request.headers:
            fields["user-agent"] = "llm_edge"
        if target.key:
            fields["authorization"] = f"Bearer {target.key}"
        fields.update(self.headers)
        kept = (pair for pair in passable(request.headers) if pair[0].lower() not in _IN_THE_BODY.union(fields))
        return Headers((*fields.items(), *kept))


_IN_THE_BODY = frozenset(("anthropic-version", "anthropic-beta"))


def _body(request: Request, target: Target) -> Body:
    """The body; InvokeModel has there what Anthropic has in headers, and in the path what it has in the body."""
    if request.dialect == "bedrock.converse":
        return request.body.without_fields("modelId")
    if request.dialect != "anthropic.messages":
        return request.body
    body = request.body.without_fields("model", "stream")
    if "anthropic_version" not in body.json:
        body = body.with_fields(anthropic_version=_version(request, target))
    betas = [beta.strip() for beta in request.headers.get("anthropic-beta", "").split(",") if beta.strip()]
    if betas and "anthropic_beta" not in body.json:
        body = body.with_fields(anthropic_beta=betas)
    return body


def _version(request: Request, target: Target) -> str:
    """The caller's where the model knows it: those since Claude 4.7, which are those that take no temperature."""
    asked = request.headers.get("anthropic-version", "")
    known = capabilities.of("bedrock", target.model).sampling == "no"
    return _NEW_VERSION if asked == _NEW_VERSION and known else _OLD_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Native(Compatible):
    """Bedrock's addresses that speak the dialects of OpenAI and Anthropic themselves."""

    model: str = ""

    def for_model(self, model: str) -> Native:
        """The adapter for one model: Anthropic's are asked in Anthropic's words, all others in OpenAI's."""
        paths = self.row.paths
        if "anthropic.messages" in paths:
            own = vendor(model) == "anthropic"
            paths = {name: path for name, path in paths.items() if name.startswith("anthropic.") == own}
        return replace(self, model=model, row=replace(self.row, paths=paths))


class Unwrapped:
    """The events inside the frames of an InvokeModel stream, as server-sent events."""

    __slots__ = ("_began", "_frames", "_over", "_source")

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._frames = Frames()
        self._began = self._over = False

    async def __anext__(self) -> bytes:
        while not self._over:
            frames = self._frames.feed(await self._source.__anext__())
            self._over = bool(self._frames.garbled)
            said = b"".join(map(_event, frames))
            if said:
                self._began = True
                return said
        if self._began:
            raise StopAsyncIteration  # cut short, as whoever watches will see
        raise BadAnswer(f"the stream is garbled: {self._frames.garbled}")

    async def aclose(self) -> None:
        await self._source.aclose()


def _event(frame: Frame) -> bytes:
    payload = mapping(parse(frame.payload))
    if frame.error:
        message = string(payload.get("message")) or frame.text(":error-message") or frame.error
        error = Body(json={"type": "error", "error": {"type": frame.error, "message": message}}).raw
        return b"event: error\ndata: " + error + b"\n\n"
    if frame.event != "chunk":
        return b""
    try:
        data = base64.b64decode(string(payload.get("bytes")), validate=True)
    except (binascii.Error, ValueError):
        return b""
    if not data:
        return b""
    kind = string(mapping(parse(data)).get("type"))
    named = f"event: {kind}\n".encode() if kind.isidentifier() else b""
    return named + b"data: " + data.replace(b"\r", b"").replace(b"\n", b"") + b"\n\n"
