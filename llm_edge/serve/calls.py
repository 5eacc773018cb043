"""One call to a model: from ASGI into the chain, and its answer out again."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, unquote

from ..config import ServeConfig
from ..errors import CallError
from ..http.face import Front
from ..message import Body, Headers, Request, Response
from ..notes import new_id
from ..providers.dialects import by_name
from ..providers.table import ROWS, by_prefix
from ..providers.translation.core import Exchange
from ..providers.translation.table import translation
from .callers import CALL, Caller, Door, without_claims
from .intake import Gone, body_of, headers_of, json_object, kind_is_json
from .problems import Forbidden, NoSuchPath, Refused, refusal, shown
from .streams import Outflow, Watch
from .wire import RawPairs, Receive, Scope, Send, answer, guards

log = logging.getLogger("llm_edge.serve")

PATHS = {
    "/v1/chat/completions": "openai.chat",
    "/v1/completions": "openai.completions",
    "/v1/embeddings": "openai.embeddings",
    "/v1/responses": "openai.responses",
    "/v1/messages": "anthropic.messages",
    "/v1/messages/count_tokens": "anthropic.count",
    "/v1/responses/input_tokens": "openai.count",
}
_GOOGLE = re.compile(
    r"(/v1(?:beta)?/models/)([^?#]+):((?:stream)?[gG]enerateContent|embedContent|batchEmbedContents|countTokens)"
)

_TOLD = frozenset({
    b"content-type", b"request-id", b"x-request-id", b"retry-after", b"retry-after-ms", b"x-should-retry",
    b"openai-model", b"openai-processing-ms", b"openai-version",
})  # fmt: skip
_TOLD_FAMILIES = (b"x-llm-edge-", b"x-ratelimit-", b"anthropic-ratelimit-")
"""What of an answer's header fields a caller is told; all else is between us and the provider."""


def dialect_of(path: str) -> str:
    """The dialect of a path; empty for none."""
    found = PATHS.get(path)
    if found is not None or ":" not in path:
        return found or ""
    match = _GOOGLE.fullmatch(path)
    if match is None:
        return ""
    return "gemini.count" if match[3] == "countTokens" else "gemini.embed" if "mbed" in match[3] else "gemini.generate"


def told(pairs: RawPairs, scheme: str) -> RawPairs:
    """The header fields of an answer as they leave the house."""
    kept = [pair for pair in pairs if (name := pair[0].lower()) in _TOLD or name.startswith(_TOLD_FAMILIES)]
    return [*kept, *guards(scheme)]


def id_of(headers: Headers | None) -> str:
    """The id of a call: the caller's own, where it brings one that can be told."""
    given = headers.get("x-request-id", "") if headers is not None else ""
    return given if given and given.isprintable() and given.isascii() and len(given) <= 128 else new_id()


@dataclass(slots=True)
class Calls:
    """Answers the paths that ask a model."""

    front: Front
    door: Door
    config: ServeConfig
    providers: frozenset[str]
    """Who may be asked by name: the configured ones, and those whose key is there."""
    may_come: Callable[[Headers], bool]
    """Whether a page in a browser may ask from where it stands."""
    active: int = 0

    async def __call__(self, dialect: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; whatever goes wrong is told in the dialect of its path."""
        self.active += 1
        one = _One(self, dialect, scope, receive, send)
        try:
            await one.through()
        finally:
            self.active -= 1

    def request(self, dialect: str, scope: Scope, headers: Headers, caller: Caller, raw: bytes) -> Request:
        """The envelope of a call. Raises for what is no request, and for models nobody here answers for."""
        body = Body(raw, json=json_object(raw))
        path = _addressed(scope)
        call = self.front.inward("POST", path, path, without_claims(headers), None, body)
        if call.dialect != dialect:
            raise Refused("a stream from this path comes as events only: add `?alt=sse`")
        if not call.model and not call.route:
            raise Refused("`model` is missing: name a route, or `provider/model`")
        caller.need_model(call.route or call.model)
        if not call.route:
            self._served(call.model)
        return caller.signed(call)

    def _served(self, model: str) -> None:
        name, slash, _ = model.partition("/")
        if not slash:
            row = by_prefix(model)
            name = row.name if row is not None else ""
        if name not in self.providers and (name in ROWS or not slash):
            raise NoSuchPath("nobody here answers for that `model`; GET /v1/models lists those that can be asked")


def _addressed(scope: Scope) -> str:
    """The path as the chain reads it; a model's own slashes do not part it."""
    path: str = scope["path"]
    query: bytes = scope.get("query_string", b"")
    if ":" in path and (match := _GOOGLE.fullmatch(path)):
        path = f"{match[1]}{quote(unquote(match[2]), safe='')}:{match[3]}"
    return f"{path}?alt=sse" if b"alt=sse" in query else path  # the rest may hold a key


class _One:
    """One request on its way."""

    __slots__ = ("_call", "_calls", "_dialect", "_headers", "_receive", "_scheme", "_scope", "_send", "_started")

    def __init__(self, calls: Calls, dialect: str, scope: Scope, receive: Receive, send: Send) -> None:
        self._calls, self._dialect, self._scope, self._receive, self._send = calls, dialect, scope, receive, send
        self._scheme: str = scope.get("scheme", "http")
        self._headers: Headers | None = None
        self._call: Request | None = None
        self._started = False

    async def through(self) -> None:
        watch: Watch | None = None
        try:
            self._call = call = await self._read()
            watch = Watch(self._receive)
            response = await self._calls.front.handler(call)
            if response.stream is not None:
                await self._stream(call, response, watch)
            else:
                await self._whole(call, response)
        except asyncio.CancelledError:
            if watch is None or not watch.gone:
                raise
            task = asyncio.current_task()
            assert task is not None, "a server runs each request in a task"
            task.uncancel()  # the caller left: that ends the call, not the server's task
        except Gone:
            # Gone, or a body whose framing is broken: then there is somebody to tell.
            await self._refuse(Refused("the body broke off, or its framing is broken"))
        except Exception as error:
            await self._refuse(error)
        finally:
            if watch is not None:
                watch.over()

    async def _read(self) -> Request:
        calls = self._calls
        self._headers = headers = headers_of(self._scope["headers"])
        if not calls.may_come(headers):
            raise Forbidden("pages of that origin may not ask here; whoever runs the gateway sets serve.cors")
        caller = await calls.door.admit(headers)
        caller.need(CALL)
        kind_is_json(headers)
        config = calls.config
        raw = await body_of(self._receive, headers, largest=config.max_body, seconds=config.body_timeout)
        return calls.request(self._dialect, self._scope, headers, caller, raw)

    async def _whole(self, call: Request, response: Response) -> None:
        assert response.body is not None, "an answer is a body or a stream"
        headers = told(self._calls.front.outward(call, response), self._scheme)
        self._started = True
        await answer(self._send, response.status, headers, response.body.raw)

    async def _stream(self, call: Request, response: Response, watch: Watch) -> None:
        stream, config = response.stream, self._calls.config
        assert stream is not None, "asked before"
        out = Outflow(self._send, heartbeat=config.heartbeat, patience=config.write_timeout, stuck=watch.leave)
        headers = told(self._calls.front.outward(call, response), self._scheme)
        self._started = True
        try:
            await out.run(response.status, headers, stream, events=True)
        except CallError as error:
            call.notes.error = type(error).__name__
            if not out.between:
                raise  # half an event is out: only a cut connection says that it will never be whole
            await out.end(_last_words(call, error))
        else:
            await out.end()
        finally:
            await stream.aclose()

    async def _refuse(self, error: Exception) -> None:
        told_of = shown(error)
        if not isinstance(error, CallError):
            log.error("a call failed inside: %s", type(error).__name__, exc_info=error)
        if self._started:
            raise told_of from error  # the server cuts the connection: there is no other way left to say so
        call = self._call
        if call is not None:
            status, headers, body = self._calls.front.refusal(call, told_of)
            headers = told(headers, self._scheme)
        else:
            status, headers, body = refusal(told_of, self._dialect, id_of(self._headers), guards(self._scheme))
        self._started = True
        await answer(self._send, status, headers, body)


def _last_words(call: Request, error: CallError) -> bytes:
    """A failure in mid-answer as an event of the caller's dialect."""
    spoken = translation(call.dialect)
    if spoken is not None:
        return spoken.writer(Exchange(request_id=call.notes.request_id)).fail(error)
    dialect = by_name(call.dialect)
    assert dialect is not None, "a stream is of a dialect we know"
    return b"data: " + Body(json=dialect.refusal(error, call.notes.request_id)).raw + b"\n\n"
