"""What a direct call gives back: the provider's JSON as a mapping, with the usual questions as attributes."""

from __future__ import annotations

from array import array
from base64 import b64decode
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from sys import byteorder
from types import TracebackType
from typing import Any, NoReturn, Self

from .errors import BadAnswer
from .exact import read
from .message import Headers, Json, Request, Response, Stream
from .notes import Notes
from .providers.base import Dialect
from .providers.cargo import mapping, objects
from .providers.openai import joined_text
from .providers.sse import LARGEST, Event, Splitter
from .runtime import Clock, drive
from .story import Story


class _Told:
    """What every answer can say about its call."""

    _notes: Notes

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """Tokens used: `prompt_tokens`, `completion_tokens`, `total_tokens` and details; None when nobody said."""
        return self._notes.usage

    @property
    def cost(self) -> float | None:
        """US dollars; None when the price is not known."""
        return None if self._notes.cost is None else self._notes.cost / 1e9

    @property
    def cache(self) -> str:
        """`HIT`, `MISS` or `BYPASS`; `COALESCED`, `STALE` or `SEMANTIC HIT`."""
        return self._notes.cache

    @property
    def target(self) -> str:
        """`provider/model` that answered, or that gave the answer kept."""
        return self._notes.target

    @property
    def request_id(self) -> str:
        """The id this call carries in logs, headers and stories."""
        return self._notes.request_id

    def explain(self) -> Story:
        """The story of the call: plain JSON data, readable when printed."""
        return self._notes.explain()


class Reply(_Told, Mapping[str, Any]):
    """One whole answer."""

    def __init__(self, json: Json, dialect: Dialect, notes: Notes, headers: Headers) -> None:
        self._json, self._dialect, self._notes = json, dialect, notes
        self.headers = headers
        """The provider's response headers."""

    def __getitem__(self, name: str) -> Any:
        return self._json[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._json)

    def __len__(self) -> int:
        return len(self._json)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._notes.model} {self._notes.cache} {self._notes.request_id}>"

    @property
    def text(self) -> str:
        """The answer's text, the first choice's; empty when there is none."""
        return self._dialect.text(self._json)

    @property
    def tool_calls(self) -> list[Json]:
        """The calls the model asks for, in the OpenAI chat shape."""
        return self._dialect.tool_calls(self._json)


class Embeddings(Reply):
    """The answer to `embed`."""

    @property
    def vectors(self) -> list[list[float]]:
        """One vector for each input, in their order, of floats also where base64 was asked for."""
        rows = sorted(self._json["data"], key=lambda row: row.get("index", 0))
        return [_floats(row["embedding"]) for row in rows]


def _floats(vector: list[float] | str) -> list[float]:
    if not isinstance(vector, str):
        return vector
    floats = array("f", b64decode(vector))  # 32 bits each, the lowest byte first
    if byteorder == "big":
        floats.byteswap()
    return floats.tolist()


class Chunk(Mapping[str, Any]):
    """One event of a stream, as the provider's JSON."""

    def __init__(self, json: Json) -> None:
        self._json = json

    def __getitem__(self, name: str) -> Any:
        return self._json[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._json)

    def __len__(self) -> int:
        return len(self._json)

    @property
    def text(self) -> str:
        """What this event adds to the first choice's text."""
        return joined_text(self.delta.get("content"))

    @property
    def delta(self) -> Json:
        """What this event adds to the first choice."""
        for choice in objects(self._json.get("choices")):
            if choice.get("index", 0) == 0:
                return mapping(choice.get("delta"))
        return {}


class _Chunks(_Told):
    """Reads a stream's events. One implementation; the two colours below say how to wait."""

    def __init__(self, request: Request, response: Response, clock: Clock) -> None:
        assert response.stream is not None, "made for a stream"
        self._notes = request.notes
        self._stream: Stream = response.stream
        self._splitter = Splitter(limit=LARGEST)
        self._ready: deque[Chunk] = deque()
        self._said: list[str] = []
        self._called: list[Any] = []  # cargo: pieces of tool calls
        self.headers = response.headers
        """The provider's response headers."""
        response.finally_(_end_of(request.notes, clock))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._notes.model} {self._notes.cache} {self._notes.request_id}>"

    @property
    def text(self) -> str:
        """The first choice's text so far."""
        return "".join(self._said)

    @property
    def tool_calls(self) -> list[Json]:
        """The calls the model has asked for so far, put together, in the OpenAI chat shape."""
        from .providers.translation.chat_replay import calls_of  # of use to few streams

        return calls_of(self._called)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a stream holds a connection: it cannot be pickled or copied. Keep its chunks")

    async def _next(self) -> Chunk:
        while not self._ready:
            failure = self._stream.watcher.failure
            if failure is not None:
                await self._stream.aclose()
                try:
                    raise failure
                finally:
                    del failure
            try:
                events = self._splitter.feed(await self._stream.__anext__())
            except StopAsyncIteration:
                events = self._splitter.end()
                if not events and self._stream.watcher.failure is None:
                    raise
            self._take(events)
        chunk = self._ready.popleft()
        delta = chunk.delta
        self._said.append(joined_text(delta.get("content")))
        if delta.get("tool_calls"):
            self._called.append(delta["tool_calls"])
        return chunk

    def _take(self, events: Sequence[Event]) -> None:
        """Make chunks of events, up to one that is no JSON: what stands behind it does not follow what came before."""
        watcher = self._stream.watcher
        for _, data, whole in events:
            if whole and data[:1] == b"{":
                try:
                    self._ready.append(Chunk(read(data)))
                except ValueError:
                    watcher.failure = watcher.failure or BadAnswer("an event of the stream is not a JSON object")
                    break
        if watcher.failure is not None:
            # The event that tells of the error is raised; what came before it is still to be read.
            self._ready = deque(chunk for chunk in self._ready if not chunk.get("error"))


def _end_of(notes: Notes, clock: Clock) -> Callable[[BaseException | None], None]:
    # It does not hold the reply, which holds the stream: one that is dropped is gone at once, and hangs up.
    def ended(error: BaseException | None) -> None:
        notes.ended = clock.now()
        if error is not None:
            notes.error = type(error).__name__

    return ended


class ReplyStream(_Chunks):
    """An answer as it arrives: iterate over it; afterwards it knows its text, usage and story."""

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        try:
            return drive(self._next())
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Stop listening; the provider is told at once."""
        drive(self._stream.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncReplyStream(_Chunks):
    """An answer as it arrives: `async for` over it; afterwards it knows its text, usage and story."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        return await self._next()

    async def aclose(self) -> None:
        """Stop listening; the provider is told at once."""
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
