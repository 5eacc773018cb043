"""
Keeps personal data from going further down: from the cache, the providers, and whatever they keep.

It stands directly above the cache, below the app's own layers: what they add is checked, too. Of calls that nobody here
understands nothing is checked. What asks a model and cannot be checked is refused where data may not pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol, TypeAlias

from .. import exact
from ..errors import Blocked
from ..message import Body, Handler, Request, Response, Stream
from ..notes import new_id
from ..policy.cloak import Cloak
from ..policy.pii import KINDS
from ..policy.uncloaking import Event, Uncloaking
from ..providers.base import Dialect
from ..providers.dialects import recognise
from ..providers.eventstream import CONTENT_TYPE, Frame, Frames, message
from ..runtime import Clock
from .rules import Rules

Action: TypeAlias = Literal["off", "detect", "redact", "block"]

LARGEST: Final = 16 * 2**20
"""Bytes of a stream's event in which values are put back."""
_STATEFUL: Final = ("previous_response_id", "conversation")
"""Where one of these is set, the provider remembers earlier placeholders: ours must be others."""


_HELD_BACK: Final = frozenset[Action]({"redact", "block"})
_UNREAD: Final = (
    "the request cannot be checked for personal data: its body is no plain JSON object, too long or too deep"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarding:
    """What is looked for, and what is done about it."""

    pii: Action = "off"
    kinds: Sequence[str] = KINDS
    restore: bool = True
    """Whether answers have the values again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The layer. Raises Blocked."""

    rules: Rules[Guarding]
    clock: Clock
    dialect: Callable[[str], Dialect | None]

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        rule = self.rules.of(request.route)
        dialect = None if rule.pii == "off" else self.dialect(request.dialect)
        if request.operation == "opaque" and rule.pii in _HELD_BACK and _asks_a_model(request):
            raise Blocked(_UNREAD)  # a body that the face could not read: no JSON, compressed, very long
        if dialect is None or request.operation == "opaque":
            return await handler(request)
        cloak, body = _checked(request, rule)
        if not cloak.found:
            return await handler(request)
        request.notes.say(self.clock.now(), "guard", action=rule.pii, found=cloak.found)
        if rule.pii == "block":
            raise Blocked(f"the request holds personal data ({_told(cloak.found)}), which may not leave; take it out")
        if rule.pii == "detect":
            return await handler(request)
        response = await handler(replace(request, body=body, native=None))
        return _restored(response, request, cloak, dialect) if rule.restore and cloak.values else response


def _asks_a_model(request: Request) -> bool:
    """Whether this goes where models are asked in a format that we know."""
    if recognise(request.method, request.url) is not None:
        return True
    return request.method == "POST" and ":streamGenerateContent" in request.url  # as one list in place of events


def _checked(request: Request, rule: Guarding) -> tuple[Cloak, Body]:
    """What was found, and the body without it."""
    body = request.body
    try:
        asked = body.json
        stateful = any(asked.get(name) for name in _STATEFUL)
        mark = f"_{new_id()[:6].upper()}" if stateful else ""
        cloak = Cloak(rule.kinds, taken=(lambda: body.raw) if rule.restore else bytes, mark=mark)
        covered = cloak.covered(asked)
        key = None if rule.pii == "detect" else exact.doubled(body.raw, asked)
    except (ValueError, TypeError, RecursionError):
        if rule.pii == "detect":
            return Cloak(), body
        raise Blocked(_UNREAD) from None
    if key is not None:  # the provider may take the one that nobody here has looked at
        raise Blocked(
            f"the request cannot be checked for personal data: an object names the key `{cloak.text(key)[:60]}` twice;"
            " name it once"
        )
    return cloak, body if covered is asked else Body(json=covered)


def _told(found: Mapping[str, int]) -> str:
    return ", ".join([f"{kind}: {times}" for kind, times in found.items()])


def _restored(response: Response, request: Request, cloak: Cloak, dialect: Dialect) -> Response:
    """The answer with the caller's values in place of placeholders."""
    stream, body = response.stream, response.body
    if stream is not None:
        framing = _Messages() if response.headers.get("content-type", "").startswith(CONTENT_TYPE) else _Lines()
        source = _Restored(stream, framing, Uncloaking(cloak))
        return replace(response, stream=Stream(source, dialect.watcher(), call=request.notes.request_id))
    if body is None or not cloak.occurs(body.raw):
        return response
    try:
        return replace(response, body=Body(json=cloak.uncovered(body.json)))
    except (ValueError, RecursionError):
        return response


class _Framing(Protocol):
    """Takes the bytes of a stream apart into frames, each with the JSON it says, and writes them anew."""

    def feed(self, chunk: bytes, /) -> Iterator[tuple[Any, Any]]: ...
    def written(self, event: Event[Any], /) -> bytes: ...
    def rest(self) -> bytes: ...


class _Restored:
    """The bytes of a stream, with values put back."""

    __slots__ = ("_error", "_framing", "_stream", "_uncloaking")

    def __init__(self, stream: Stream, framing: _Framing, uncloaking: Uncloaking[Any]) -> None:
        self._stream, self._framing, self._uncloaking = stream, framing, uncloaking
        self._error: Exception | None = None

    async def __anext__(self) -> bytes:
        while self._error is None:
            watcher = self._stream.watcher
            try:
                chunk = await self._stream.__anext__()
            except Exception as error:  # the end, or a break: what was kept back comes before it
                self._error, over = error, True
                events = list[Event[Any]]()
            else:
                over = watcher.complete or watcher.failure is not None
                events = [
                    event for frame, json in self._framing.feed(chunk) for event in self._uncloaking.feed(frame, json)
                ]
            if over:
                events += self._uncloaking.end()
            said = b"".join(map(self._framing.written, events)) + (self._framing.rest() if over else b"")
            if said:
                return said
        raise self._error

    async def aclose(self) -> None:
        await self._stream.aclose()


_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")


class _Lines:
    """Server-sent events. What is not changed leaves as the bytes that came."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes, /) -> Iterator[tuple[bytes, Any]]:
        held, at = self._held + chunk, 0
        while (end := _END.search(held, at)) is not None:
            yield held[at : end.end()], _said(held[at : end.start()])
            at = end.end()
        self._held = held[at:]
        if len(self._held) > LARGEST:
            yield self.rest(), None

    def written(self, event: Event[bytes], /) -> bytes:
        if not event.changed:
            return event.frame
        others = [line for line in event.frame.splitlines() if line and not line.startswith(b"data")]
        return b"".join([line + b"\n" for line in others]) + b"data: " + exact.write(event.json) + b"\n\n"

    def rest(self) -> bytes:
        held, self._held = self._held, b""
        return held


def _said(event: bytes) -> Any:
    """The JSON of an event; None when it has none."""
    lines = [line.removeprefix(b"data:") for line in event.splitlines() if line.startswith(b"data:")]
    try:
        return exact.read(b"\n".join(lines)) if lines else None
    except ValueError:
        return None


class _Messages:
    """Amazon's event stream."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        self._frames = Frames()

    def feed(self, chunk: bytes, /) -> Iterator[tuple[Frame, Any]]:
        for frame in self._frames.feed(chunk):
            try:
                yield frame, exact.read(frame.payload)
            except ValueError:
                yield frame, None

    def written(self, event: Event[Frame], /) -> bytes:
        frame = event.frame
        headers = {name: value for name, value in frame.headers.items() if isinstance(value, str)}
        return message(headers, exact.write(event.json) if event.changed else frame.payload)

    def rest(self) -> bytes:
        return b""
