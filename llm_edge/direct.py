"""Direct calls: what `edge.chat()` and `edge.embed()` ask of the chain, and how its answers are given back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, TypeVar

from .errors import CallError, InvalidRequest
from .exact import unwritable, write
from .message import NO_CONTROLS, Body, Handler, Headers, Operation, Request, Response
from .notes import Notes
from .policy.controls import from_field, from_keyword
from .providers.dialects import by_name
from .reply import Reply
from .runtime import Clock

Messages: TypeAlias = str | Sequence[Mapping[str, Any]]
Input: TypeAlias = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]
Edge: TypeAlias = Mapping[str, object]

R = TypeVar("R", bound=Reply)
_NO_HEADERS = Headers()
_OF_SDKS: Final = {
    "api_key": "keys are set in [providers]",
    "base_url": "addresses are set in [providers]",
    "extra_body": "give its fields to the call itself",
    "extra_headers": "what is for llm_edge goes into `edge`, what is for a provider into `headers` under [providers]",
    "extra_query": "direct calls have no query",
    "max_retries": "how often is tried is set in [retry] `attempts`",
}
"""Fields of no API, which a call would take along to the provider: a key in its body, too."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Makes requests of arguments. Raises InvalidRequest, which names the argument and what it should be."""

    routes: Collection[str]
    clock: Clock

    def chat(
        self, model: str, messages: Messages, edge: Edge | None, fields: Mapping[str, Any], *, stream: bool
    ) -> Request:
        """A question, or a conversation that goes on."""
        asked = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        # Types say so already; apps without a type checker are told in words.
        if not _are_messages(asked):
            raise InvalidRequest('`messages` must be a question, or a list such as [{"role": "user", "content": "Hi"}]')
        body = {"model": model, "messages": list(asked), **fields}
        if stream:
            body["stream"] = True
            # The tokens used are told at a stream's end only when asked for.
            body.setdefault("stream_options", {"include_usage": True})
        return self._request("openai.chat", "chat", model, body, edge, streaming=stream)

    def embeddings(self, model: str, texts: Input, edge: Edge | None, fields: Mapping[str, Any]) -> Request:
        """One text, or a list of them."""
        if not texts or not isinstance(texts, (str, list, tuple)):
            raise InvalidRequest("`input` must be a text, or a list of texts that is not empty")
        body = {"model": model, "input": texts, **fields}
        return self._request("openai.embeddings", "embeddings", model, body, edge, streaming=False)

    def _request(
        self,
        dialect: str,
        operation: Operation,
        model: str,
        body: dict[str, Any],
        edge: Edge | None,
        *,
        streaming: bool,
    ) -> Request:
        if not _is_name(model):
            raise InvalidRequest("`model` must be a route, `provider/model` or a model's name")
        foreign = _OF_SDKS.keys() & body.keys()
        if foreign:
            name = min(foreign)
            raise InvalidRequest(f"`{name}` is an option of SDKs and no field of a request: {_OF_SDKS[name]}")
        timeout = body.pop("timeout", None)
        if timeout is not None and not (isinstance(timeout, (int, float)) and 0 < timeout < 1e9):
            raise InvalidRequest("`timeout` must be a number of seconds above 0")
        elsewhere = from_field(body["cache"]) if "cache" in body else None
        if elsewhere:
            del body["cache"]
        try:
            # Written at once: what JSON cannot say is told here, and what the caller changes later is not ours.
            written = Body(write(body))
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"{unwritable(body)} cannot be written as JSON: {error}") from None
        controls = from_keyword(edge) if edge else NO_CONTROLS
        if elsewhere:
            controls = replace(controls, **elsewhere)
        route = controls.route or (model if model in self.routes else "")
        notes = Notes(model=model, operation=operation, started=self.clock.now(), route=route)
        return Request(
            operation=operation, dialect=dialect, body=written, model=model, streaming=streaming, timeout=timeout,
            headers=_NO_HEADERS, route=route, controls=controls, notes=notes,
        )  # fmt: skip


async def answered(request: Request, handler: Handler, clock: Clock) -> Response:
    """Sends it through the chain and notes when it was over; a stream notes its end itself."""
    notes = request.notes
    try:
        response = await handler(request)
    except CallError as error:
        notes.ended, notes.error = clock.now(), type(error).__name__
        error.notes = notes
        raise
    if response.stream is None:
        notes.ended = clock.now()
    return response


def replied(kind: type[R], request: Request, response: Response) -> R:
    """A whole answer, as callers get it."""
    dialect = by_name(request.dialect)
    assert dialect is not None and response.body is not None, "direct calls speak a dialect we know"
    return kind(response.body.json, dialect, request.notes, response.headers)


def _are_messages(given: Any) -> bool:
    listed: Sequence[object] = given  # isinstance would leave the entries unknown to type checkers
    if not isinstance(given, (list, tuple)) or not given:
        return False
    for each in listed:  # noqa: SIM110  it is asked of every call: no generator
        if not isinstance(each, (dict, Mapping)):  # dict first: whether something is a Mapping is slow to find out
            return False
    return True


def _is_name(given: object) -> bool:
    return isinstance(given, str) and given != ""
