"""
A call whose caller and provider speak different dialects, translated both ways.

It stands between retry and the hop. Above it everything is the caller's dialect, below it the
provider's: neither side knows there is another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from ..errors import BadRequest, CallError, InvalidRequest, NotFound
from ..message import Body, Handler, Headers, Json, OnEnd, Request, Response, Stream
from ..policy.estimate import cut_short, guess, unsaid_by
from ..providers import capabilities
from ..providers.base import Adapter, Target
from ..providers.cargo import mapping
from ..providers.dialects import by_name
from ..providers.sigv4 import ALGORITHM
from ..providers.translation import frames
from ..providers.translation.core import Exchange, OnUnsupported, Reader, Told, Translation, Writer
from ..providers.translation.simpler import in_words, too_complex
from ..providers.translation.strangers import may_hold_strangers, without_strangers
from ..providers.translation.table import told, translation
from ..providers.translation.untold import shows_all, tell, tell_piece
from ..runtime import Clock
from .pieces import in_pieces

# What a provider may be told in, best first, when it does not speak the caller's dialect.
_NATIVE: Final = (
    *("openai.chat", "bedrock.converse", "anthropic.messages"),
    *("gemini.generate", "openai.responses", "bedrock.llama"),
)
_ESTIMATED: Final = ("prompt_tokens", "completion_tokens", "total_tokens", "estimated")
_EMBEDDING: Final = ("openai.embeddings", "gemini.embed", "bedrock.embed")
_COUNTING: Final = ("anthropic.count", "gemini.count", "bedrock.count", "openai.count")


def native(adapter: Adapter, dialect: str) -> str | None:
    """The dialect in which a call of this one is told to a provider; None when there is none."""
    if adapter.speaks(dialect):
        return dialect
    if translation(dialect) is None:
        return None
    natives = _EMBEDDING if dialect in _EMBEDDING else _COUNTING if dialect in _COUNTING else _NATIVE
    return next((name for name in natives if adapter.speaks(name) and told(name) is not None), None)


def only_responses(adapter: Adapter, target: Target) -> bool:
    """Whether OpenAI, or Azure, has this model in the Responses API alone. Gateways of others' may have it in chat."""
    ours = target.vendor in ("openai", "azure") and not target.addressed and adapter.speaks("openai.responses")
    return ours and capabilities.of(target.vendor, target.model).responses_only


@dataclass(frozen=True, slots=True, kw_only=True)
class Translate:
    """Lets every caller talk to every provider."""

    adapter: Adapter
    target: Target
    clock: Clock
    on_unsupported: OnUnsupported = "warn"
    responses: bool = False
    """Whether the model is not to be had in OpenAI's chat, but in its Responses API."""

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        theirs = request.dialect if request.operation == "opaque" else native(self.adapter, request.dialect)
        if self.responses and theirs == "openai.chat":
            theirs = "openai.responses"
        if theirs == request.dialect:
            return await handler(self._its_own(request))
        caller, provider = translation(request.dialect), told(theirs or "")
        counts = request.operation == "count"
        if caller is None or (provider is None and not counts):
            refused = InvalidRequest(
                f"{self.target.name} does not speak {request.dialect}, nor what it could be translated to"
            )
            refused.elsewhere = True  # another target may
            raise refused
        exchange = Exchange(
            model=self.target.model, provider=self.target.vendor, request_id=request.notes.request_id,
            created=int(self.clock.time()), streaming=request.streaming, on_unsupported=self.on_unsupported,
        )  # fmt: skip
        exchange.chat = caller.request_to_chat(request.body.json, exchange)
        if theirs is None or provider is None:
            return self._guessed(request, caller, exchange, "it has no way to count them")
        pieces = provider.pieces(exchange.chat, exchange) if provider.pieces is not None else ()
        try:
            if len(pieces) > 1:
                return await self._in_pieces(request, handler, caller, provider, exchange, pieces)
            sent, response = await self._asked(request, handler, theirs, provider, exchange)
        except CallError as error:
            if counts and isinstance(error, BadRequest | NotFound):
                return self._guessed(request, caller, exchange, f"it did not count them ({error.message})")
            error.foreign = True  # its class and status say in any language what happened
            raise
        return self._back(response, request, sent, caller, provider, exchange)

    def _its_own(self, request: Request) -> Request:
        """The request without what other vendors left in it; itself when there is nothing of the kind."""
        if not may_hold_strangers(request.body, request.dialect, self.target.vendor):
            return request
        if self.target.addressed and request.headers.get("authorization", "").startswith(ALGORITHM):
            return request  # its caller has signed it as it is
        exchange = Exchange(model=self.target.model, provider=self.target.vendor, on_unsupported=self.on_unsupported)
        body = without_strangers(request.body, request.dialect, exchange)
        if body is request.body:
            return request
        request.notes.say(self.clock.now(), "translate", changes=exchange.changes)
        return replace(request, body=body, native=None)

    async def _asked(
        self, request: Request, handler: Handler, theirs: str, provider: Told, exchange: Exchange
    ) -> tuple[Body, Response]:
        """What it was sent, and its answer. A schema it finds too complex is asked for once more, in words."""
        body = _body(provider.request_from_chat(exchange.chat, exchange))
        request.notes.say(self.clock.now(), "translate", into=theirs, changes=list(exchange.changes))
        try:
            return body, await handler(replace(request, dialect=theirs, body=body))
        except BadRequest as error:
            simpler = in_words(exchange.chat) if too_complex(error) else None
            if simpler is None:
                raise
        body = _body(provider.request_from_chat(simpler, exchange))
        change = f"`response_format` went in words: its schema is too complex for {self.target.name}"
        request.notes.say(self.clock.now(), "translate", into=theirs, changes=[change])
        return body, await handler(replace(request, dialect=theirs, body=body))

    def _back(
        self, response: Response, request: Request, sent: Body, caller: Translation, provider: Told, exchange: Exchange
    ) -> Response:
        dialect = by_name(request.dialect)
        assert dialect is not None, "a dialect that can be translated is known"
        kind = dialect.stream_type if response.stream is not None else "application/json"
        headers = response.headers.having({"content-type": kind})
        before = len(exchange.changes)
        if response.stream is not None:
            source = _Interpreted(response.stream, provider.reader(exchange), caller.writer(exchange), sent)
            if not shows_all(request.dialect):
                source.tell = partial(tell_piece, dialect=request.dialect, exchange=exchange)
            stream = Stream(source, dialect.watcher(), call=request.notes.request_id)
            stream.listen(OnEnd(lambda error: self._changed(request, exchange, before)))
            return Response(status=response.status, headers=headers, stream=stream)
        assert response.body is not None, "an answer is a body or a stream"
        chat = provider.answer_to_chat(response.body.json, exchange)
        answer = _body(caller.answer_from_chat(chat, exchange))
        tell(chat, request.dialect, exchange)
        self._changed(request, exchange, before)
        return Response(status=response.status, headers=headers, body=answer)

    async def _in_pieces(
        self, request: Request, handler: Handler, caller: Translation, provider: Told, exchange: Exchange,
        pieces: Sequence[Json],
    ) -> Response:  # fmt: skip
        request.notes.say(self.clock.now(), "translate", into=provider.dialect, changes=list(exchange.changes))
        before = len(exchange.changes)
        response, chat = await in_pieces(request, handler, provider, exchange, pieces, self.target.name)
        self._changed(request, exchange, before)
        headers = response.headers.having({"content-type": "application/json"})
        return Response(status=200, headers=headers, body=_body(caller.answer_from_chat(chat, exchange)))

    def _changed(self, request: Request, exchange: Exchange, before: int) -> None:
        """Tells what the answer's way back changed."""
        if len(exchange.changes) > before:
            request.notes.say(self.clock.now(), "translate", changes=exchange.changes[before:])

    def _guessed(self, request: Request, caller: Translation, exchange: Exchange, why: str) -> Response:
        """A number of tokens that nobody counted, and that says so."""
        asked = {name: exchange.chat[name] for name in ("messages", "tools") if name in exchange.chat}
        answer = {"input_tokens": guess(asked, output=0).prompt, "estimated": True}
        exchange.changes.append(f"tokens were estimated for {self.target.name}: {why}")
        request.notes.say(self.clock.now(), "translate", into="", changes=list(exchange.changes))
        body = _body(caller.answer_from_chat(answer, exchange))
        return Response(status=200, headers=Headers([("content-type", "application/json")]), body=body)


def _body(made: Json) -> Body:
    """What was made of JSON needs no search for what is none."""
    return Body(frames.dump(made), made)


class _Interpreted:
    """Reads the provider's events, writes the caller's."""

    __slots__ = ("_over", "_reader", "_sent", "_stream", "_writer", "tell")

    def __init__(self, stream: Stream, reader: Reader, writer: Writer, sent: Body) -> None:
        self._stream, self._reader, self._writer, self._sent = stream, reader, writer, sent
        self._over = False
        self.tell: Callable[[Json], None] | None = None
        """Sees each piece that the caller may not see whole."""

    async def __anext__(self) -> bytes:
        while not self._over:
            try:
                chunks = self._reader.feed(await self._stream.__anext__())
            except StopAsyncIteration:
                said = self._last(())
            else:
                ended = self._stream.watcher.complete or self._stream.watcher.failure is not None
                said = self._last(chunks) if ended else self._written(chunks)
            if said:
                return said
        raise StopAsyncIteration

    def _written(self, chunks: Sequence[Json]) -> bytes:
        if self.tell is not None:
            for chunk in chunks:
                self.tell(chunk)
        return b"".join([self._writer.write(chunk) for chunk in chunks])

    def _last(self, chunks: Sequence[Json]) -> bytes:
        """The end is in sight: what is still owed goes out at once, not when the connection closes."""
        self._over = True
        failure = self._stream.watcher.failure
        if failure is not None:
            return self._written(chunks) + self._writer.fail(failure)
        last: list[Json] = [*chunks, *self._reader.end()]
        watcher = self._stream.watcher
        if watcher.complete and unsaid_by(watcher.usage, watcher.events):
            told = mapping(next((chunk["usage"] for chunk in last if chunk.get("usage")), None))
            guessed = cut_short(watcher.usage, self._sent, watcher.events)
            last = [{**chunk, "usage": None} if chunk.get("usage") else chunk for chunk in last]
            last.append({"choices": [], "usage": {**told, **{name: guessed[name] for name in _ESTIMATED}}})
        return self._written(last) + self._writer.end()

    async def aclose(self) -> None:
        await self._stream.aclose()
