"""One call to a model: from ASGI into the chain, and its answer out again."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from ..config import ServeConfig
from ..errors import CallError
from ..http.face import Front
from ..message import Body, Headers, Request, Response
from ..notes import new_id
from ..providers.dialects import added, by_name
from ..providers.table import ROWS, by_prefix
from ..providers.translation.core import Exchange
from ..providers.translation.table import translation
from .callers import CALL, Caller, Door, without_claims
from .coding import SMALLEST, compressed
from .intake import Gone, headers_of, json_object, kind_is_json, too_slow, whole_body
from .leaving import fields, told
from .lookout import Lookout, Watch
from .problems import Forbidden, NoSuchPath, Refused, refusal, shown
from .repeats import Head, Repeats
from .streams import Outflow
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
AT_ONCE, PIECE = 512 * 1024, 64 * 1024
"""Bytes of an answer that go out at once; a larger one goes bit by bit, of which the server below keeps eight."""
LONGEST = 512
"""Characters of a model's name, which stands in header fields, in metrics, and in memory."""
_GOOGLE = re.compile(
    r"(/v1(?:beta)?/models/)([^?#]+):((?:stream)?[gG]enerateContent|embedContent|batchEmbedContents|countTokens)"
)


def dialect_of(path: str) -> str:
    """The dialect of a path; empty for none."""
    found = PATHS.get(path)
    if found is not None or ":" not in path:
        return found or ""
    match = _GOOGLE.fullmatch(path)
    if match is None:
        return ""
    return "gemini.count" if match[3] == "countTokens" else "gemini.embed" if "mbed" in match[3] else "gemini.generate"


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
    pace: Callable[[Scope], None] | None = None
    """Raises RateLimited for an address that asks too often."""
    active: int = 0
    repeats: Repeats = field(default_factory=Repeats)
    _lookout: Lookout | None = None

    def __call__(self, dialect: str, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """Answers one request; whatever goes wrong is told in the dialect of its path."""
        return _One(self, dialect, scope, receive, send).through()

    def head(self, pairs: RawPairs) -> Head:
        """The header fields of a request. Raises for those that no request may have."""
        key = tuple(pairs)
        try:
            head = self.repeats.heads.get(key)
        except TypeError:  # a server that gives each pair as a list
            key = tuple([(name, value) for name, value in pairs])
            head = self.repeats.heads.get(key)
        if head is None:
            headers = headers_of(pairs)
            head = Head(headers, without_claims(headers))
            if self.may_come(headers):
                self.repeats.heads.put(key, head)
            else:
                head.stranger = True
        return head

    def request(self, dialect: str, scope: Scope, head: Head, caller: Caller, raw: bytes) -> Request:
        """The envelope of a call. Raises for what is no request, and for models nobody here answers for."""
        body = Body(raw, json=json_object(raw))
        path = _addressed(scope)
        call = self.front.inward("POST", path, path, head.inner, None, body)
        if call.dialect != dialect:
            raise Refused("a stream from this path comes as events only: add `?alt=sse`")
        if not call.model and not call.route:
            raise Refused("`model` is missing: name a route, or `provider/model`")
        if len(call.model) > LONGEST:
            raise Refused(f"`model` is longer than any name: it may have {LONGEST} characters")
        if not (call.route or call.model).isprintable():
            raise Refused("`model` holds characters that no name has: line breaks, controls, or half a character")
        caller.need_model(call.route or call.model)
        if not call.route:
            self._served(call.model)
        return caller.signed(call)

    def lookout(self) -> Lookout:
        """Who looks after the calls of the running loop."""
        loop = asyncio.get_running_loop()
        if self._lookout is None or self._lookout.loop is not loop:
            self._lookout = Lookout(loop)
        return self._lookout

    def _served(self, model: str) -> None:
        name, slash, _ = model.partition("/")
        if not slash:
            row = by_prefix(model)
            name = row.name if row is not None else ""
        if name not in self.providers and (name in ROWS or not slash or name not in added()):
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
        calls, watch = self._calls, None
        calls.active += 1
        try:
            head = self._head()
            caller = await calls.door.admit(head.all)
            caller.need(CALL)
            watch = calls.lookout().watch(self._receive, calls.config.body_timeout)
            await self._answered(head, caller, watch)
        except asyncio.CancelledError:
            if watch is None or not (watch.gone or watch.late):
                raise
            task = asyncio.current_task()
            assert task is not None, "a server runs each request in a task"
            task.uncancel()  # the caller left, or was too slow: that ends the call, not the server's task
            if watch.late and not self._started:
                await self._refuse(too_slow(self._calls.config.body_timeout))
        except Gone:
            # Gone, or a body whose framing is broken: then there is somebody to tell.
            await self._refuse(Refused("the body broke off, or its framing is broken"))
        except Exception as error:
            await self._refuse(error)
        finally:
            if self._call is not None and self._call.notes.later is not None:
                self._tell_of_it(self._call)
            calls.active -= 1
            if watch is not None:
                watch.over()

    def _head(self) -> Head:
        """The header fields. Raises for those that nobody may come with."""
        calls = self._calls
        if calls.pace is not None:
            calls.pace(self._scope)
        head = calls.head(self._scope["headers"])
        self._headers = head.all
        if head.stranger:
            raise Forbidden("pages of that origin may not ask here; whoever runs the gateway sets serve.cors")
        if not head.json:
            kind_is_json(head.all)
            head.json = True
        return head

    async def _answered(self, head: Head, caller: Caller, watch: Watch) -> None:
        calls, scope = self._calls, self._scope
        raw = await whole_body(self._receive, head.framing, calls.config.max_body)
        watch.asked()
        same = (head, scope["path"], scope.get("query_string", b""), raw)
        known = calls.repeats.call(same, caller)
        call = calls.request(self._dialect, scope, head, caller, raw) if known is None else calls.front.again(known)
        self._call, call.notes.later = call, []
        response = await calls.front.handler(call)
        if response.stream is not None:
            await self._stream(call, response, watch)
        else:
            await self._whole(call, response, watch)
        if known is None:
            calls.repeats.remember(same, caller, call)

    async def _whole(self, call: Request, response: Response, watch: Watch) -> None:
        assert response.body is not None, "an answer is a body or a stream"
        raw, headers = response.body.raw, fields(self._calls.front, call, response, self._scheme)
        if len(raw) >= SMALLEST and self._calls.config.compress and self._headers is not None:
            marks, raw = await compressed(raw, self._headers.get("accept-encoding"))
            headers += marks
        self._started = True
        if len(raw) > AT_ONCE:
            self._tell_of_it(call)
            out = self._outflow(watch)
            headers.append((b"content-length", str(len(raw)).encode()))
            await out.run(response.status, headers, _pieces(raw), events=False)
            await out.end()
            return
        await self._send({"type": "http.response.start", "status": response.status, "headers": headers})
        sent = self._send({"type": "http.response.body", "body": raw})
        # granian has begun to send, on a thread of its own: meanwhile the books are closed, before anybody else's turn.
        self._tell_of_it(call)
        await sent

    def _tell_of_it(self, call: Request) -> None:
        """Tell those who listen that the call is over, if they do not know."""
        later, call.notes.later = call.notes.later, None
        for tell in later or ():
            tell()

    async def _stream(self, call: Request, response: Response, watch: Watch) -> None:
        stream, out = response.stream, self._outflow(watch)
        assert stream is not None, "asked before"
        headers = fields(self._calls.front, call, response, self._scheme)
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

    def _outflow(self, watch: Watch) -> Outflow:
        config = self._calls.config
        return Outflow(self._send, heartbeat=config.heartbeat, patience=config.write_timeout, stuck=watch.leave)

    async def _refuse(self, error: Exception) -> None:
        told_of, call = shown(error), self._call
        identity = call.notes.request_id if call is not None else id_of(self._headers)
        if not isinstance(error, CallError):
            log.error("a call failed inside: %s", type(error).__name__, exc_info=error, extra={"request_id": identity})
        if self._started:
            raise told_of from error  # the server cuts the connection: there is no other way left to say so
        if call is not None:
            status, headers, body = self._calls.front.refusal(call, told_of)
            headers = told(headers, self._scheme)
        else:
            status, headers, body = refusal(told_of, self._dialect, identity, guards(self._scheme))
        self._started = True
        await answer(self._send, status, headers, body)


async def _pieces(raw: bytes) -> AsyncIterator[bytes]:
    """A large answer bit by bit: whoever reads none of it is cut, and it is not kept for them."""
    for at in range(0, len(raw), PIECE):
        yield raw[at : at + PIECE]


def _last_words(call: Request, error: CallError) -> bytes:
    """A failure in mid-answer as an event of the caller's dialect."""
    spoken = translation(call.dialect)
    if spoken is not None:
        return spoken.writer(Exchange(request_id=call.notes.request_id)).fail(error)
    dialect = by_name(call.dialect)
    assert dialect is not None, "a stream is of a dialect we know"
    return b"data: " + Body(json=dialect.refusal(error, call.notes.request_id)).raw + b"\n\n"
