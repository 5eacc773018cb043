"""What a bulk job is given and what it gives back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import EdgeError, InvalidRequest
from ..message import Body, Json
from ..providers.cargo import mapping, objects, string
from ..reply import Reply

Url = Literal["/v1/chat/completions", "/v1/embeddings"]
_LINE = frozenset({"custom_id", "method", "url", "body", "edge"})


@dataclass(frozen=True, slots=True)
class Item:
    """One request of a job."""

    index: int
    id: str
    """Its `custom_id`, or its place in the job as text."""
    url: Url
    body: Json
    edge: Mapping[str, object] | None = field(default=None, repr=False)

    @property
    def digest(self) -> str:
        """Fingerprint of what is asked, so that an answer written down is not taken for another question's."""
        return hashlib.sha256(self.url.encode() + Body(json=self.body).raw).hexdigest()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one request: an answer, or an error; never both."""

    index: int
    """Its place in the job, from 0."""
    id: str
    """Its `custom_id`, or its place as text."""
    request: Json = field(repr=False)
    body: Json | None = field(default=None, repr=False)
    """The provider's JSON; None when the call failed."""
    error: EdgeError | None = None
    reply: Reply | None = field(default=None, repr=False)
    """The answer with its story; None for a failure, and for an answer read from the file of an earlier run."""

    @property
    def resumed(self) -> bool:
        """It was answered in an earlier run."""
        return self.body is not None and self.reply is None

    @property
    def text(self) -> str:
        """The answer's text, the first choice's; empty when there is none."""
        for choice in objects(mapping(self.body).get("choices")):
            return string(mapping(choice.get("message")).get("content"))
        return ""


def item(given: object, index: int) -> Item:
    """
    A request of a job: the fields of a chat (`model`, `messages`, …) or of embeddings (`model`, `input`, …), or a
    line of OpenAI's batch format around them: `{"custom_id": …, "url": …, "body": {…}}`.

    Raises InvalidRequest, which names the request by its place.
    """
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"request {index} is no object; write it as {{'model': …, 'messages': […]}}")
    fields: dict[str, Any] = {str(name): value for name, value in given.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # anybody's
    if "body" not in fields:
        edge = fields.pop("edge", None)
        name = fields.pop("custom_id", None)
        return _made(index, name, _url_of(fields, index), fields, edge)
    unknown = sorted(fields.keys() - _LINE)
    if unknown:
        raise InvalidRequest(f"request {index} has the field `{unknown[0]}`, which no line has; put it into `body`")
    body = fields["body"]
    if not isinstance(body, Mapping):
        raise InvalidRequest(f"`body` of request {index} must be an object")
    asked: dict[str, Any] = {str(name): value for name, value in body.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # as above
    if fields.get("method", "POST") != "POST":
        raise InvalidRequest(f"`method` of request {index} must be POST")
    return _made(index, fields.get("custom_id"), fields.get("url") or _url_of(asked, index), asked, fields.get("edge"))


def _url_of(body: Json, index: int) -> Url:
    if "messages" in body:
        return "/v1/chat/completions"
    if "input" in body:
        return "/v1/embeddings"
    raise InvalidRequest(f"request {index} has neither `messages` nor `input`")


def _made(index: int, name: object, url: Any, body: Json, edge: object) -> Item:
    if name is not None and not (isinstance(name, str) and name):
        raise InvalidRequest(f"`custom_id` of request {index} must be a text that is not empty")
    if url != "/v1/chat/completions" and url != "/v1/embeddings":
        raise InvalidRequest(f"`url` of request {index} must be /v1/chat/completions or /v1/embeddings")
    if body.get("stream"):
        raise InvalidRequest(f"request {index} asks for a stream; leave `stream` out in bulk jobs")
    if edge is not None and not isinstance(edge, Mapping):
        raise InvalidRequest(f"`edge` of request {index} must be an object")
    needed = "messages" if url == "/v1/chat/completions" else "input"
    for field_name in ("model", needed):
        if not body.get(field_name):
            raise InvalidRequest(f"request {index} has no `{field_name}`")
    return Item(index, name or str(index), url, body, mapping(dict(edge)) if edge is not None else None)  # pyright: ignore[reportUnknownArgumentType]  # as above
