"""
`/v1/ws`: many calls over one WebSocket, for pages in browsers.

Each message of the client's is a JSON object with a `type`: a call (`chat`, `completions`, `responses`, `messages`,
`embeddings`) with its `id` and `body`, `cancel` with the id of one, `ping`, or first of all `auth` with a `key`. Each
call is answered by events with its id: `chunk` for each event of a stream, and at last `done` or `error`. The calls go
through the same chain as those over HTTP, and each is let in anew, so a key that is revoked opens nothing more.

One reader, one task for each call, one lock for writing: a client that does not read holds its calls up, and they their
providers; a client that leaves ends them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .. import exact
from ..config import ServeConfig
from ..errors import CallError, InvalidRequest
from ..exact import is_object
from ..message import Headers, Request, Stream
from ..providers.sse import Splitter
from .callers import CALL, without_claims
from .calls import Calls, id_of
from .intake import json_object
from .problems import Forbidden, TooLarge, Unauthenticated, shown
from .repeats import Head
from .wire import Message, Receive, Scope, Send
from .ws_words import data_of, error_of, fields_in, has_key, id_in, kept, refused, text_of, with_key

log = logging.getLogger("llm_edge.serve")

PATH: Final = "/v1/ws"
PROTOCOL: Final = "llm-edge"
_KEYS: Final = ("llm-edge-key.", "openai-insecure-api-key.")
"""Subprotocols that carry a key, as OpenAI's realtime API has it: nothing else of a handshake can a page choose."""
TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "chat": ("/v1/chat/completions", "openai.chat"),
    "completions": ("/v1/completions", "openai.completions"),
    "responses": ("/v1/responses", "openai.responses"),
    "messages": ("/v1/messages", "anthropic.messages"),
    "embeddings": ("/v1/embeddings", "openai.embeddings"),
}
GOING, POLICY, LARGE = 1001, 1008, 1009
"""Why a connection is closed."""


class _Left(Exception):
    """The client is gone."""


class _TooLarge(TooLarge):
    """A message that is larger than any may be: the rest of it is not read."""


class _Socket:
    """One connection."""

    def __init__(
        self,
        calls: Calls,
        config: ServeConfig,
        headers: Headers,
        protocols: Sequence[str],
        receive: Receive,
        send: Send,
    ) -> None:
        self._calls, self._config = calls, config
        self._receive, self._to_client = receive, send
        self._protocol = PROTOCOL if PROTOCOL in protocols else None
        key = next((word[len(start) :] for word in protocols for start in _KEYS if word.startswith(start)), "")
        self._headers = with_key(kept(headers), key) if key else kept(headers)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._writing = asyncio.Lock()
        self._wrote = 0.0
        self._code = 0
        """Why it is closed, once it is."""
        task = asyncio.current_task()
        assert task is not None, "a server runs each connection in a task"
        self._reader = task

    async def through(self) -> None:
        """From the first message to the last."""
        await self._to_client({"type": "websocket.accept", "subprotocol": self._protocol})
        beat = asyncio.get_running_loop().create_task(self._beat())
        code = POLICY
        try:
            if await self._let_in():
                while True:
                    await self._take(await self._next())
        except _Left:
            code = GOING
        except _TooLarge as error:
            code = LARGE
            await self._say({"type": "error", "error": refused(error)})
        except asyncio.CancelledError:
            if not self._code:
                raise
            self._reader.uncancel()
        finally:
            self._code = self._code or code
            beat.cancel()
            await self._end_all()
            await self._close()

    def end(self, code: int) -> None:
        """Ends it from outside."""
        if not self._code:
            self._code = code
            self._reader.cancel()

    async def _let_in(self) -> bool:
        """Whether the client may stay: with a key from the handshake or the first message, where one is needed."""
        try:
            if not self._calls.door.open and not has_key(self._headers):
                async with asyncio.timeout(self._config.header_timeout):
                    first = await self._next()
                asked = json_object(first)
                if asked.get("type") != "auth" or not isinstance(asked.get("key"), str):
                    raise Unauthenticated('no key was shown: let the first message be {"type": "auth", "key": "…"}')
                self._headers = with_key(self._headers, asked["key"])
            (await self._calls.door.admit(self._headers)).need(CALL)
        except TimeoutError:
            await self._say({"type": "error", "error": refused(Unauthenticated("no key was shown in time"))})
            return False
        except CallError as error:
            await self._say({"type": "error", "error": refused(error)})
            return False
        await self._say({"type": "ready"})
        return True

    async def _next(self) -> bytes:
        """The next message. Raises when the client is gone, or says too much at once."""
        message: Message = await self._receive()
        if message["type"] != "websocket.receive":
            raise _Left
        text = message.get("text")
        raw: bytes = text.encode("utf-8", "surrogatepass") if text is not None else message.get("bytes") or b""
        if len(raw) > self._config.max_body:
            raise _TooLarge(f"the message is larger than the {self._config.max_body} bytes that are taken here")
        return raw

    # ------------------------------------------------------------------ what the client says

    async def _take(self, raw: bytes) -> None:
        id_ = ""
        try:
            asked = json_object(raw)
            id_, kind = id_in(asked), str(asked.get("type"))
            if kind == "ping":
                await self._say({"type": "pong", **({"id": id_} if id_ else {})})
            elif kind == "cancel":
                if (task := self._running.get(id_)) is not None:
                    task.cancel()
            elif kind in TYPES:
                self._begin(id_, kind, asked)
            else:
                known = ", ".join([*TYPES, "cancel", "ping"])
                raise InvalidRequest(f"`type` must be one of {known}")
        except CallError as error:
            await self._say({**({"id": id_} if id_ else {}), "type": "error", "error": refused(error)})

    def _begin(self, id_: str, kind: str, asked: Mapping[str, Any]) -> None:
        if not id_:
            raise InvalidRequest("`id` is missing: its events are known by it")
        if id_ in self._running:
            raise InvalidRequest("`id` is that of a call under way; give each its own")
        if len(self._running) >= self._config.websocket_calls:
            raise Forbidden(
                f"{self._config.websocket_calls} calls at once is what one connection may have; wait for one"
            )
        body = asked.get("body")
        if not is_object(body):
            raise InvalidRequest("`body` must be the JSON object that the path of that name takes")
        if kind != "embeddings" and "stream" not in body:
            body = {**body, "stream": True}
        head = Headers([*self._headers.pairs, *fields_in(asked)])
        self._running[id_] = asyncio.get_running_loop().create_task(self._answer(id_, kind, head, exact.write(body)))

    # ------------------------------------------------------------------ one call

    async def _answer(self, id_: str, kind: str, headers: Headers, raw: bytes) -> None:
        call: Request | None = None
        path, dialect = TYPES[kind]
        try:
            caller = await self._calls.door.admit(headers)
            caller.need(CALL)
            head = Head(headers, without_claims(headers))
            call = self._calls.request(dialect, {"path": path}, head, caller, raw)
            response = await self._calls.front.handler(call)
            if response.stream is not None:
                await self._stream(id_, response.stream)
                await self._done(id_, call, response.status)
            else:
                assert response.body is not None, "an answer is a body or a stream"
                await self._done(id_, call, response.status, response.body.raw)
        except asyncio.CancelledError:
            if self._code:
                raise
            await self._say({"id": id_, "type": "done", "cancelled": True})  # it was the client's wish
        except _Left:
            pass  # the reader sees it too
        except Exception as error:
            if not isinstance(error, CallError):
                about = {"request_id": id_of(headers)} if call is None else call.notes.about
                log.error("a call failed inside: %s", type(error).__name__, exc_info=error, extra=about)
            await self._refuse(id_, call, dialect, shown(error))
        finally:
            self._running.pop(id_, None)

    async def _stream(self, id_: str, stream: Stream) -> None:
        start = f'{{"id":{text_of(id_)},"type":"chunk",'
        splitter = Splitter()
        try:
            async for piece in stream:
                for name, data, whole in splitter.feed(piece):
                    if whole and data != b"[DONE]":
                        event = f'"event":{text_of(name.decode())},' if name else ""
                        await self._write(f'{start}{event}"data":{data_of(data)}}}')
        finally:
            await stream.aclose()

    async def _done(self, id_: str, call: Request, status: int, body: bytes | None = None) -> None:
        data = "" if body is None else f',"data":{data_of(body)}'
        told = text_of(dict(self._calls.front.told(call.notes)))
        await self._write(f'{{"id":{text_of(id_)},"type":"done","status":{status},"headers":{told}{data}}}')

    async def _refuse(self, id_: str, call: Request | None, dialect: str, error: CallError) -> None:
        event: dict[str, Any] = {"id": id_, "type": "error"}
        if call is None:
            event |= {"error": refused(error, dialect)}
        else:
            status, _, body = self._calls.front.refusal(call, error)
            event |= {"error": error_of(status, body), "headers": dict(self._calls.front.told(call.notes))}
        try:
            await self._say(event)
        except _Left:
            pass  # nobody is there to be told

    # ------------------------------------------------------------------ writing, and the end

    async def _say(self, event: Mapping[str, Any]) -> None:
        await self._write(text_of(event))

    async def _write(self, text: str) -> None:
        """One message, after those before it. A client that reads nothing for too long is as good as gone."""
        try:
            async with asyncio.timeout(self._config.write_timeout), self._writing:
                await self._to_client({"type": "websocket.send", "text": text})
        except (TimeoutError, RuntimeError, OSError):
            if asyncio.current_task() is not self._reader:
                self.end(GOING)
            raise _Left from None
        self._wrote = asyncio.get_running_loop().time()

    async def _beat(self) -> None:
        """In silence a word now and then: it keeps proxies from closing, and finds out who is gone."""
        loop, patience = asyncio.get_running_loop(), self._config.heartbeat
        while True:
            await asyncio.sleep(patience)
            if loop.time() - self._wrote >= patience:
                try:
                    await self._say({"type": "ping"})
                except _Left:
                    return

    async def _end_all(self) -> None:
        running = [*self._running.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _close(self) -> None:
        try:
            await self._to_client({"type": "websocket.close", "code": self._code})
        except Exception as error:
            about = {"request_id": id_of(self._headers)}
            log.debug("a connection was gone before it was closed: %s", type(error).__name__, extra=about)


@dataclass(slots=True)
class Sockets:
    """All connections of this worker."""

    calls: Calls
    config: ServeConfig
    _open: set[_Socket] = field(default_factory=set[_Socket])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection to its end."""
        await receive()
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        if path != PATH or not self.config.websocket:
            await send({"type": "websocket.close", "code": POLICY})
            return
        try:
            if self.calls.pace is not None:
                self.calls.pace(scope)
            head = self.calls.head(scope["headers"])
        except CallError:
            await send({"type": "websocket.close", "code": POLICY})
            return
        if head.stranger:  # the server answers 403: no page of a foreign origin learns more
            await send({"type": "websocket.close", "code": POLICY})
            return
        one = _Socket(self.calls, self.config, head.all, scope.get("subprotocols", ()), receive, send)
        self._open.add(one)
        try:
            await one.through()
        finally:
            self._open.discard(one)

    def stop(self) -> None:
        """Ends all connections; their clients open new ones elsewhere."""
        for one in [*self._open]:
            one.end(GOING)
