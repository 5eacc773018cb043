"""A provider made of one row of the table and its settings: any place that speaks a dialect we know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote

from ..errors import InvalidRequest
from ..message import Body, Headers, Request
from .base import Target, Wire
from .cargo import listing, mapping
from .counting import for_google
from .gemini import action_of, embedding_of
from .passing import passable
from .table import Row

Making: TypeAlias = Callable[[Headers], Headers]
"""Makes the fields of a request of those that its caller gave."""

_COMPRESSED = "gzip, deflate"
_GENERATE = ("generateContent", "streamGenerateContent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compatible:
    """Writes a request for a provider of the table. Its answers are taken as they come."""

    row: Row
    name: str = ""
    base_url: str = ""
    """In place of the row's own; a target's goes before both."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Sent with every call, in place of any of the same name."""
    _making: dict[tuple[str, str, bool, str], Making] = field(
        default_factory=dict[tuple[str, str, bool, str], Making], init=False, repr=False, compare=False
    )
    _unsaid: Headers = field(default_factory=Headers, init=False, repr=False, compare=False)
    """Of direct calls, which bring no fields."""

    def __post_init__(self) -> None:
        # Frozen, so filled in the long way: a name of its own is only needed beside another of the same kind.
        object.__setattr__(self, "name", self.name or self.row.name)
        object.__setattr__(self, "headers", {name.lower(): value for name, value in self.headers.items()})

    def speaks(self, dialect: str, /) -> bool:
        return dialect in self.row.paths

    def encode(self, request: Request, target: Target, /) -> Wire:
        """Raises InvalidRequest for a dialect that is not spoken here."""
        base = (target.base_url or self.base_url or self.row.base_url).rstrip("/")
        if request.operation == "models":
            return Wire(
                method="GET",
                url=base + self._path(self.row.models_path, request, target),
                headers=self._headers(request, target, ""),
            )
        path = self.row.paths.get(request.dialect)
        if path is None:
            spoken = ", ".join(self.row.paths)
            raise InvalidRequest(f"{self.name} does not speak {request.dialect}; it speaks {spoken}")
        return Wire(
            method=request.method,
            url=base + self._path(path, request, target),
            headers=self._headers(request, target, request.dialect),
            content=self._body(request, target).raw,
        )

    def decode(self, body: Body, request: Request, /) -> Body:
        return body

    def _path(self, path: str, request: Request, target: Target) -> str:
        return _filled(path, request, target) if "{" in path else path

    def _headers(self, request: Request, target: Target, dialect: str) -> Headers:
        """Made once of fields that are given again: a client says the same in call after call."""
        asked = target.key, dialect, request.streaming, request.operation
        make = self._making.get(asked)
        if make is None:
            make = self._making[asked] = lambda given: self._fields(*asked, given)
        return (request.headers if request.headers.pairs else self._unsaid).once(make)

    def _fields(self, key: str, dialect: str, streaming: bool, operation: str, given: Headers) -> Headers:
        row = self.row
        fields = {
            "content-type": "application/json",
            "accept": given.get("accept") or ("text/event-stream" if streaming else "application/json"),
            # A compressed stream comes in lumps.
            "accept-encoding": "identity" if streaming else _COMPRESSED,
        }
        if operation == "models":
            del fields["content-type"]
        fields.update({name: value for name, value in row.headers.get(dialect, {}).items() if name not in given})
        if "user-agent" not in given:
            fields["user-agent"] = "llm_edge"
        if key:
            header = row.key_headers.get(dialect, "authorization")
            fields[header] = f"Bearer {key}" if header == "authorization" else key
        fields.update(self.headers)
        kept = (pair for pair in passable(given) if pair[0].lower() not in fields)
        return Headers((*fields.items(), *kept))

    def _body(self, request: Request, target: Target) -> Body:
        body, dialect, model = request.body, request.dialect, target.model
        if dialect == "gemini.embed":
            return embedding_of(body, model)
        if dialect == "gemini.count":
            return for_google(body, model)
        if dialect.startswith("gemini."):
            return body
        if model and body.json.get("model") != model:
            body = Body(json={**body.json, "model": model})
        if dialect == "openai.chat":
            return _fitted(body, self.row)
        if dialect.startswith("anthropic."):
            body = body.without_fields("anthropic_version")  # which belongs to a cloud the caller had addressed
        return body


def _filled(path: str, request: Request, target: Target) -> str:
    """Google's way: the model and what to do with it stand in the path."""
    action = request.url.partition("?")[0].rpartition(":")[2]
    if "/" in action or not action:  # the caller spoke another dialect, or addressed nobody
        action = _action(request)
    filled = path.format(model=quote(target.model, safe=""), action=quote(action, safe=""))
    return f"{filled}?alt=sse" if request.streaming else filled


def _action(request: Request) -> str:
    if request.dialect == "gemini.count":
        return "countTokens"
    return action_of(request.body.json) if request.dialect == "gemini.embed" else _GENERATE[request.streaming]


def _fitted(body: Body, row: Row) -> Body:
    """The chat request as this provider knows it; the same one when it has nothing to change."""
    for name, other in row.rename.items():
        if name in body.json:
            value = body.json[name]
            body = body.without_fields(name)
            if other not in body.json:
                body = body.with_fields(**{other: value})
    if row.drop:
        body = body.without_fields(*row.drop)
    if not row.developer:
        messages = listing(body.json.get("messages"))
        if any(mapping(message).get("role") == "developer" for message in messages):
            body = body.with_fields(messages=[_as_system(message) for message in messages])
    return body


def _as_system(message: Any) -> Any:
    if mapping(message).get("role") != "developer":
        return message
    return {**mapping(message), "role": "system"}
