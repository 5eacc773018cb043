"""
A scripted reply as a row of acts, the same for a socket and for a transport.

`acts_of` is pure: it lays the faults of a step over the bytes of its answer. Whoever performs
the acts only has to know how to wait, write and hang up. Positions count bytes of the body as
it travels (after gzip, before chunked framing); a position given in events is turned into one
in bytes, so that both kinds are one rule.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from llm_edge.runtime import Signal

from .dialects.frames import Reply


@dataclass(frozen=True, slots=True)
class Wait:
    """Let time pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Say nothing until the signal is set, or for ever; with `ping_every`, nothing but comments."""

    until: Signal | None = None
    ping_every: float | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers."""

    status: int
    headers: tuple[tuple[str, str], ...]
    chunked: bool


@dataclass(frozen=True, slots=True)
class Bytes:
    """A piece of the body."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Break:
    """Hang up in the middle: politely (FIN) or not (RST); `refused` when a transport should not even connect."""

    reset: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """The answer is whole; the connection stays, or closes."""

    close: bool = False


Act = Wait | Hold | Head | Bytes | Break | End


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """Where in an answer something happens; before its headers when neither is given."""

    after_bytes: int | None = None
    after_events: int | None = None
    half_event: bool = False

    def offset(self, frames: tuple[bytes, ...]) -> int | None:
        if self.after_events is not None:
            before = sum(map(len, frames[: self.after_events]))
            half = len(frames[self.after_events]) // 2 if self.half_event and self.after_events < len(frames) else 0
            return before + half
        return self.after_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong with an answer."""

    delay: float = 0.0
    hold: tuple[At, Hold] | None = None
    cut: tuple[At, Break] | None = None
    drip: tuple[int, float] | None = None
    pace: float = 0.0
    malformed: int | None = None
    gzip: bool = False
    chunked: bool = False
    content_length: int | None = None
    close: bool = False


def acts_of(reply: Reply, faults: Faults) -> list[Act]:
    """Everything that happens after the request has been read, in order."""
    frames = _frames(reply, faults)
    hold_at = faults.hold[0].offset(frames) if faults.hold else None
    cut_at = faults.cut[0].offset(frames) if faults.cut else None
    acts: list[Act] = [Wait(faults.delay)] if faults.delay else []
    if faults.hold and hold_at is None:
        acts.append(faults.hold[1])
    if faults.cut and cut_at is None:
        return [*acts, faults.cut[1]]
    body: list[Act] = list(_paced(frames, faults))
    if faults.hold and hold_at is not None:
        body = [*_until(body, hold_at), faults.hold[1], *_after(body, hold_at)]
    size = sum(map(len, frames))
    if faults.cut and cut_at is not None:
        body = [*_until(body, cut_at), faults.cut[1]]
    elif faults.content_length is not None:
        # A length that does not fit the body leaves the connection useless: it closes.
        body.append(Break() if faults.content_length > size else End(close=True))
    else:
        body.append(End(close=faults.close))
    return [*acts, _head(reply, faults, size), *body]


def _head(reply: Reply, faults: Faults, size: int) -> Head:
    chunked = (reply.streamed or faults.chunked) and faults.content_length is None
    headers = list(reply.headers)
    if faults.gzip:
        headers.append(("content-encoding", "gzip"))
    if chunked:
        headers.append(("transfer-encoding", "chunked"))
    elif reply.status != 204:
        headers.append(("content-length", str(size if faults.content_length is None else faults.content_length)))
    if faults.close:
        headers.append(("connection", "close"))
    return Head(reply.status, tuple(headers), chunked)


def _frames(reply: Reply, faults: Faults) -> tuple[bytes, ...]:
    frames = list(reply.frames)
    if faults.malformed is not None:
        try:
            frames[faults.malformed] = _broken(frames[faults.malformed])
        except IndexError:
            raise ValueError(
                f"malformed(event={faults.malformed}): the answer has only {len(frames)} events, counted from 0"
            ) from None
    if not faults.gzip:
        return tuple(frames)
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(frame) + packer.flush(zlib.Z_SYNC_FLUSH) for frame in frames]
    return (*packed, packer.flush())


def _broken(frame: bytes) -> bytes:
    """The frame with its JSON cut off in the middle; an event keeps its end, so that a parser sees it."""
    body = frame.rstrip(b"\r\n")
    return body[: max(len(body) * 2 // 3, 1)] + frame[len(body) :]


def _paced(frames: Iterable[bytes], faults: Faults) -> Iterator[Act]:
    first = True
    for frame in frames:
        if faults.pace and not first:
            yield Wait(faults.pace)
        size, every = faults.drip or (len(frame) or 1, 0.0)
        for start in range(0, len(frame), size):
            if faults.drip and not (first and start == 0):
                yield Wait(every)
            yield Bytes(frame[start : start + size])
        first = False


def _until(acts: Iterable[Act], offset: int) -> Iterator[Act]:
    """The acts that bring the first `offset` bytes, the last one cut to fit."""
    for act in acts:
        if offset <= 0:
            return
        if isinstance(act, Bytes):
            act = replace(act, data=act.data[:offset])
            offset -= len(act.data)
        yield act


def _after(acts: Iterable[Act], offset: int) -> Iterator[Act]:
    """The acts left once `offset` bytes are out."""
    for act in acts:
        if offset > 0:
            if not isinstance(act, Bytes):
                continue
            taken = min(offset, len(act.data))
            offset -= taken
            if taken == len(act.data):
                continue
            act = replace(act, data=act.data[taken:])
        yield act
