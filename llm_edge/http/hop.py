"""
The innermost hop: the one place bytes leave the process.

It writes the request down (adapter), sends it (engine), and looks at what came back before
anyone above commits to it: a body is read whole and judged, a stream is read up to its first
event. What is not an answer (an error, HTML, an error under status 200, a stream that ends
before it begins) is raised while another attempt or another target is still possible.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from math import inf
from typing import TypeVar

from ..errors import BadAnswer, CallError, NetworkFailed, ProviderFailed, StreamBroken, Unauthorized
from ..layers.deadline import Allowed
from ..layers.rules import Rules
from ..message import UNCHARGED, Abandoned, Body, ByteSource, Headers, Request, Response, Stream, Watcher
from ..notes import Attempt
from ..policy.estimate import cut_short, unsaid, unsaid_by
from ..providers.base import Adapter, Credential, Dialect, Reframing, Target, Wire
from ..providers.cargo import string
from ..providers.keyless import told
from ..runtime import GivenUp, Runtime
from .flow import Begun, Flow, Pieces
from .sender import Answer, Patience, Sender
from .senders.decode import decoded, too_large
from .senders.transport import Given

T = TypeVar("T")

LATE = 0.25
"""Seconds: a timeout noticed later than that after it was due tells more of this process than of the provider."""
DRAIN = 0.05
"""Seconds a finished stream may take to end its last HTTP chunk, so that the connection can be used again."""

_FRAMING = frozenset({"content-encoding", "content-length", "transfer-encoding", "connection", "keep-alive"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A handler: encode, send, decode. One for each target, holding nothing between calls."""

    adapter: Adapter
    target: Target
    dialect: Callable[[str], Dialect | None]
    send: Sender
    runtime: Runtime
    allowed: Rules[Allowed]
    credential: Credential | None = None
    """Shows the provider who calls, where the target's key does not."""
    connect: float | None = 5.0
    largest: int = 64 * 2**20
    """Bytes an inflated answer may have."""
    reframing: Reframing | None = None
    """Takes streams out of a framing that their dialect does not have."""

    async def __call__(self, request: Request, /) -> Response:
        recall = request.notes.recall
        if recall is not None and recall.is_set:
            raise GivenUp
        call = Call(self, request)
        try:
            return await call.answer()
        except BaseException as error:
            call.over(error)
            raise


class Call:
    """One attempt under way: its clock, its alarm, and what is written down about it."""

    __slots__ = (
        "_allowed", "_attempt", "_hop", "_known", "_over", "_patient", "_request", "_silence", "alarm", "patience",
    )  # fmt: skip

    def __init__(self, hop: Hop, request: Request) -> None:
        self._hop, self._request = hop, request
        self._known = known = hop.dialect(request.dialect)
        self._allowed = allowed = hop.allowed.of(request.route)
        self.alarm = hop.runtime.alarm()
        self._over = False
        clock = hop.runtime.clock
        self._attempt = Attempt(hop.target.name, clock.now(), connection=hop.send.name)
        request.notes.attempts.append(self._attempt)
        # What we do not understand is the app's own affair: its timeout bounds each wait, nothing bounds the whole.
        if known is None:
            silence = allowed.untouched if request.timeout is None else request.timeout
        else:
            silence = (allowed.idle or inf) if request.streaming else None
        self._silence = silence
        whole = known is not None and not request.streaming
        total = request.deadline
        if whole and allowed.attempt is not None:
            ends = clock.now() + allowed.attempt
            total = ends if total is None or ends < total else total
        self.patience = Patience(clock, total=total, connect=hop.connect, silence=silence, whole=whole)
        self.patience.recall = request.notes.recall
        if known is None and isinstance(hop.send, Given) and request.native is not None:
            pass  # that transport knows the app's timeout as well as we do
        elif known is None:
            self.patience.within(silence)
        elif request.streaming:
            first, attempt = allowed.first_token, allowed.attempt
            self.patience.within(attempt if first is None or (attempt is not None and attempt < first) else first)

    async def answer(self) -> Response:
        hop, known = self._hop, self._known
        wire = hop.adapter.encode(self._request, hop.target)
        traced = self._request.notes.traced
        if traced is not None:
            wire = replace(wire, headers=wire.headers.having(traced(self._attempt)))
        if hop.credential is not None:
            shown = hop.credential.show(wire, hop.runtime, self.patience.remaining())
            wire = await self._bounded(shown)
        if wire.upload is not None:
            wire = replace(wire, upload=Pieces(self, wire.upload, self._silence))
        answer = await self._bounded(hop.send(wire, self.patience))
        self._attempt.status = answer.status
        self._patient = answer.patient
        if known is None or (hop.target.addressed and 300 <= answer.status < 400):
            # A redirect is for the client above us to follow, as it would without us.
            silence = None if answer.native is not None else self._silence
            source = Flow(self, answer.source, None, silence)
            passed = Response(status=answer.status, headers=answer.headers, stream=Stream(source), native=answer.native)
            return self._streamed(passed)
        try:
            return await self._judged(answer, known, wire)
        except BaseException:
            await answer.source.aclose()
            raise

    async def _judged(self, answer: Answer, known: Dialect, wire: Wire) -> Response:
        if 300 <= answer.status < 400:
            name = self._hop.target.name
            raise BadAnswer(f"{name} answered with a redirect ({answer.status}); a credential is never redirected")
        headers, named = answer.headers.beyond(_FRAMING), answer.headers.named
        kind, coding = named.get("content-type", ""), named.get("content-encoding")
        plain = self._hop.reframing is None and not coding
        streams = self._request.streaming and 200 <= answer.status < 300
        raw = answer.at_once() if plain and not streams else None
        if raw is None:
            source = decoded(answer.source, coding, largest=self._hop.largest)
            if self._hop.reframing is not None:
                headers, source = self._hop.reframing.reframed(headers, source, self._request)
            if streams and _json(kind):  # some say so of their streams
                source = Begun(source)
                streams = (await self._bounded(source.begin()))[:1] not in (b"{", b"[", b"")
            if streams:
                return await self._stream(answer.status, headers, source, known)
            raw = await self._whole(source)
        elif len(raw) > self._hop.largest:
            raise too_large()
        body = Body(raw)
        response = Response(status=answer.status, headers=headers, body=body)
        if answer.status >= 400:
            raise told(self._failure(response, known, wire), self._hop.target, wire)
        self._check(response, known, kind)
        response.body = body = self._hop.adapter.decode(body, self._request)
        request, notes, said = self._request, self._request.notes, body.json
        self._attempt.usage = notes.usage = known.usage(said)
        if notes.usage is None and request.operation not in UNCHARGED:  # for the bill alone: it is not what was said
            self._attempt.usage = unsaid(request.body, said, embeddings=request.operation == "embeddings")
        self._attempt.answered = notes.answered = string(said.get("model") or said.get("modelVersion"))
        self.over(None)
        return response

    def _failure(self, response: Response, known: Dialect, wire: Wire) -> ProviderFailed:
        failure = known.failure(response)
        credential = self._hop.credential
        if isinstance(failure, Unauthorized) and credential is not None and credential.refused(wire):
            failure.retryable = True  # with another token
        return failure

    def _check(self, response: Response, known: Dialect, kind: str) -> None:
        assert response.body is not None, "just read"
        name = self._hop.target.name
        try:
            fault = known.fault(response.body.json)
        except ValueError:
            what = "HTML" if "html" in kind or response.body.raw.lstrip()[:1] == b"<" else "something"
            raise BadAnswer(f"{name} answered with {what} where JSON was due", response=response) from None
        if fault is not None:
            fault.response = fault.response or response
            try:
                raise fault
            finally:
                del fault  # as in the router
        if self._request.streaming:
            raise BadAnswer(f"{name} answered with one JSON object where a stream was asked", response=response)

    async def _whole(self, source: ByteSource) -> bytes:
        try:
            return await self._bounded(_all(source))
        finally:
            await source.aclose()

    async def _stream(self, status: int, headers: Headers, source: ByteSource, known: Dialect) -> Response:
        """Read up to the first event, so that a stream that begins with an error can still be had elsewhere."""
        scout, began = known.watcher(), list[bytes]()
        while not scout.events and scout.failure is None:
            try:
                chunk = await self._bounded(source.__anext__())
            except StopAsyncIteration:
                scout.end()
                raise BadAnswer(f"{self._hop.target.name} ended its stream before the first event") from None
            first, rest = _first_event(chunk)
            scout.feed(first)
            if rest and not scout.events:
                scout.feed(rest)
            began += [first, rest] if rest else [first]
        if scout.failure is not None:
            raise scout.failure
        notes = self._request.notes
        notes.first_byte = self._hop.runtime.clock.now()
        watcher = known.watcher()
        flow = Flow(self, source, watcher, self._allowed.idle, began)
        return self._streamed(
            Response(status=status, headers=headers, stream=Stream(flow, watcher, call=notes.request_id))
        )

    def _streamed(self, response: Response) -> Response:
        assert response.stream is not None, "made with one"
        watcher = response.stream.watcher

        def ended(error: BaseException | None) -> None:
            self._used(watcher, error)
            self.over(error)

        response.finally_(ended)
        return response

    def _used(self, watcher: Watcher, error: BaseException | None) -> None:
        """What the stream used; of one cut short, or whose provider does not say, what it must have used."""
        usage, request = watcher.usage, self._request
        if self._known is not None and (error is not None or unsaid_by(usage, watcher.events)):
            usage = cut_short(usage, request.body, watcher.events)
        self._attempt.usage = usage
        self._attempt.answered = request.notes.answered = string(getattr(watcher, "model", ""))
        if usage is not None:
            request.notes.usage = usage

    async def _bounded(self, work: Awaitable[T]) -> T:
        try:
            return await self.alarm.until(self.patience.moment, work)
        except TimeoutError:
            raise self._too_late() from None
        except NetworkFailed as error:
            error.late = error.timed_out and self._late()
            raise

    def _too_late(self) -> NetworkFailed:
        failure = NetworkFailed(f"{self._hop.target.name} did not answer in time", kind="ReadTimeout")
        failure.late = self._late()
        return failure

    def _late(self) -> bool:
        moment = self.patience.moment
        return moment is not None and self._hop.runtime.clock.now() - moment > LATE

    def broken(self, error: TimeoutError | NetworkFailed) -> NetworkFailed | StreamBroken:
        """What it means that a stream that has begun goes no further."""
        name = self._hop.target.name
        if isinstance(error, TimeoutError):
            broken = StreamBroken(f"{name} fell silent in mid-answer", kind="ReadTimeout")
            broken.late = self._late()
            return broken
        if self._known is None:
            return error
        broken = StreamBroken(f"{name} broke off in mid-answer: {error}", kind=error.kind)
        broken.late = error.timed_out and self._late()
        return broken

    async def finish(self, source: ByteSource, *, drain: bool) -> None:
        """Close the upstream; when its last event is in, give it a moment to end properly first."""
        try:
            if drain and self._patient:
                self.patience.within(DRAIN)
                while True:
                    await self.alarm.until(self.patience.moment, source.__anext__())
        except (StopAsyncIteration, TimeoutError, NetworkFailed):
            pass
        finally:
            await source.aclose()

    def over(self, error: BaseException | None) -> None:
        """Write down how the attempt ended; once."""
        if self._over:
            return
        self._over = True
        attempt, notes = self._attempt, self._request.notes
        attempt.ended = self._hop.runtime.clock.now()
        attempt.outcome = _outcome(error)
        attempt.free = self._request.operation == "count" or _free(attempt.status, error)
        notes.upstream += attempt.ended - attempt.started
        if attempt.settle is not None:
            attempt.settle(attempt)
        if notes.over is not None:
            notes.over()
        if isinstance(error, CallError):
            error.target, error.attempts = self._hop.target.name, len(notes.attempts)


def _first_event(chunk: bytes) -> tuple[bytes, bytes]:
    """What is read before a stream is passed on, and goes out first: one event, unless a later one may be an error."""
    end = chunk.find(b"\n\n") + 2
    return (chunk[:end], chunk[end:]) if 2 < end < len(chunk) and b"error" not in chunk else (chunk, b"")


async def _all(source: ByteSource) -> bytes:
    chunks: list[bytes] = []
    try:
        while True:
            chunks.append(await source.__anext__())
    except StopAsyncIteration:
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
    finally:
        chunks.clear()  # who keeps a failure would keep, by way of its traceback, all that had come


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    if isinstance(error, CallError):
        return type(error).__name__
    return "abandoned" if isinstance(error, Abandoned) or not isinstance(error, Exception) else type(error).__name__


def _free(status: int | None, error: BaseException | None) -> bool:
    """Whether an attempt surely cost nothing: it never left, or the provider refused it."""
    if status is None:
        return isinstance(error, NetworkFailed) and error.unsent
    return status >= 300 or isinstance(error, ProviderFailed)


def _json(content_type: str) -> bool:
    return content_type.startswith("application/json")
