"""The steps of a script: what a provider answers, and what goes wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from llm_edge.runtime import Signal

from .acts import Act, At, Break, Faults, Hold, acts_of
from .call import Call
from .dialects import error_reply, speak
from .dialects.frames import Reply, dump, event, request_id
from .says import Says, ToolCall, Usage

DEFAULT_USAGE: Mapping[str, int] = MappingProxyType({"prompt_tokens": 9, "completion_tokens": 3})


@dataclass(frozen=True, slots=True)
class Step:
    """
    One answer in a script. Every method gives a new step with one more thing about it.

    Bytes and events count from the start of the body; the first event is number 0.
    """

    name: str
    write: Callable[[Call, tuple[str, ...]], Reply]
    faults: Faults = field(default_factory=Faults)
    extra_headers: tuple[tuple[str, str], ...] = ()
    repeat: int = 1

    def delay(self, seconds: float) -> Step:
        """Wait this long before the headers."""
        return self._with(delay=seconds)

    def stall(
        self,
        *,
        after_bytes: int | None = None,
        after_events: int | None = None,
        until: Signal | None = None,
        ping_every: float | None = None,
    ) -> Step:
        """
        Go silent before the headers, or after so many bytes or events of the body.

        For ever, or `until` a signal that the test sets. With `ping_every` only comments
        (`: ping`) go out meanwhile, as from a provider that keeps the connection warm.
        """
        if ping_every is not None and after_bytes is None and after_events is None:
            raise ValueError("ping_every needs after_events or after_bytes: comments go out only after the headers")
        return self._with(hold=(_at(after_bytes, after_events), Hold(until, ping_every)))

    def cut(
        self,
        *,
        after_bytes: int | None = None,
        after_events: int | None = None,
        half_event: bool = False,
        reset: bool = False,
    ) -> Step:
        """
        Hang up before the headers, or after so many bytes or events of the body.

        `half_event` sends half of the event that comes next. `reset` sends a TCP reset in place of a clean end.
        """
        return self._with(cut=(_at(after_bytes, after_events, half_event), Break(reset)))

    def drip(self, size: int, every: float) -> Step:
        """Send the body `size` bytes at a time, with a wait between."""
        if size < 1:
            raise ValueError(f"drip: size must be at least 1 byte, not {size}")
        return self._with(drip=(size, every))

    def pace(self, every: float) -> Step:
        """Wait between the events of a stream."""
        return self._with(pace=every)

    def malformed(self, event: int = 0) -> Step:
        """Cut the JSON of one event short; of the body, when the answer is whole. Negative counts from the end."""
        return self._with(malformed=event)

    def gzip(self) -> Step:
        """Compress the body, each event flushed by itself."""
        return self._with(gzip=True)

    def chunked(self) -> Step:
        """Send a whole body chunked, without its length. Streams always go out so."""
        return self._with(chunked=True)

    def content_length(self, length: int) -> Step:
        """Announce this length, right or wrong; the connection closes afterwards."""
        return self._with(content_length=length)

    def closing(self) -> Step:
        """Answer with `connection: close` and close."""
        return self._with(close=True)

    def headers(self, headers: Mapping[str, str]) -> Step:
        """Send these headers too; they replace ours of the same name."""
        return replace(self, extra_headers=self.extra_headers + tuple((k.lower(), v) for k, v in headers.items()))

    def times(self, count: int) -> Step:
        """Give this answer so many times in a row."""
        if count < 1:
            raise ValueError(f"times: a step is given at least once, not {count} times")
        return replace(self, repeat=count)

    def acts(self, call: Call, models: tuple[str, ...] = ()) -> list[Act]:
        """All that happens for this call."""
        reply = self.write(call, models)
        if not self.extra_headers:
            return acts_of(reply, self.faults)
        ours = tuple(pair for pair in reply.headers if pair[0] not in dict(self.extra_headers))
        return acts_of(replace(reply, headers=ours + self.extra_headers), self.faults)

    def _with(self, **changes: Any) -> Step:  # cargo: fields of Faults, named above
        return replace(self, faults=replace(self.faults, **changes))

    def __repr__(self) -> str:
        return f"<Step {self.name}>"


def _at(after_bytes: int | None, after_events: int | None, half_event: bool = False) -> At:
    if after_bytes is not None and after_events is not None:
        raise ValueError("give after_bytes or after_events, not both")
    if half_event and after_events is None:
        raise ValueError("half_event needs after_events: it is half of the event after those")
    if min(after_bytes or 0, after_events or 0) < 0:
        raise ValueError("after_bytes and after_events count from the start of the body: 0 or more")
    return At(after_bytes=after_bytes, after_events=after_events, half_event=half_event)


def answer(
    text: str = "",
    *,
    tool_calls: Sequence[ToolCall] = (),
    finish: str | None = None,
    usage: Mapping[str, int] | None = DEFAULT_USAGE,
    model: str | None = None,
    reasoning: str | None = None,
    refusal: str | None = None,
) -> Step:
    """
    An answer in the dialect asked: whole, or as a stream of one piece where a stream was asked for.

    `finish` and `usage` take the OpenAI words in every dialect (also `cached_tokens`,
    `cache_write_tokens`, `reasoning_tokens`); `usage=None` leaves usage out. Raises ValueError on
    a `finish` or a count that does not exist.
    """
    parts = (text,) if text else ()
    return stream(
        *parts, tool_calls=tool_calls, finish=finish, usage=usage, model=model, reasoning=reasoning, refusal=refusal
    )


def stream(
    *parts: str,
    tool_calls: Sequence[ToolCall] = (),
    finish: str | None = None,
    usage: Mapping[str, int] | None = DEFAULT_USAGE,
    model: str | None = None,
    reasoning: str | None = None,
    refusal: str | None = None,
) -> Step:
    """The same as `answer`, streamed in these parts; joined where a whole answer was asked for."""
    _refuse_what_is_no_answer(parts, tool_calls)
    usual = "tool_calls" if tool_calls else "stop"
    says = Says(
        parts=parts,
        tool_calls=tuple(each if each.id else replace(each, id=f"call_{at}") for at, each in enumerate(tool_calls, 1)),
        finish=finish or usual,
        usage=Usage.of(usage) if usage is not None else None,
        model=model,
        reasoning=reasoning,
        refusal=refusal,
    )
    return Step(f"answer({says.text!r})", lambda call, models: speak(replace(says, models=models), call))


def _refuse_what_is_no_answer(parts: Sequence[object], tool_calls: Sequence[object]) -> None:
    for part in parts:
        if not isinstance(part, str):
            fix = _FIXES.get(type(part), "for other bodies there are json_body and raw")
            raise TypeError(f"an answer is made of text, not of {type(part).__name__}: {fix}")
    if isinstance(tool_calls, ToolCall) or not all(isinstance(each, ToolCall) for each in tool_calls):
        raise TypeError("tool_calls is a list of tool_call(name, arguments)")


_FIXES: Mapping[type, str] = {
    ToolCall: "write answer(tool_calls=[...])",
    dict: "give JSON as a text, with json.dumps",
    list: "give the parts one by one, as in stream(*parts)",
}


def embeddings(*vectors: Sequence[float], usage: Mapping[str, int] | None = DEFAULT_USAGE) -> Step:
    """These vectors, one for each input, in turn; without any, vectors that depend on the text alone."""
    counted = Usage.of(usage) if usage is not None else None
    says = Says(vectors=tuple(tuple(map(float, vector)) for vector in vectors), usage=counted)
    return Step("embeddings", lambda call, models: speak(replace(says, models=models), call))


def status(
    code: int,
    message: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    error_type: str | None = None,
    error_code: str | None = None,
) -> Step:
    """An error in the caller's dialect, with the type and code that real providers send for this status."""
    made = Step(
        f"status({code})", lambda call, models: error_reply(call, code, message, kind=error_type, code=error_code)
    )
    return made.headers(headers or {})


def json_body(body: Any, *, status: int = 200) -> Step:  # cargo: anything JSON
    """This JSON, whatever was asked; so also an error body under status 200."""
    return raw(dump(body), content_type="application/json", status=status)


def raw(body: bytes, *, content_type: str = "application/octet-stream", status: int = 200) -> Step:
    """These bytes, whatever was asked."""
    return _fixed(f"raw({len(body)} bytes)", status, content_type, (body,), streamed=False)


def html(text: str = "<html><body><h1>502 Bad Gateway</h1></body></html>", *, status: int = 200) -> Step:
    """A web page where JSON was expected, as proxies and captive portals send."""
    return raw(text.encode(), content_type="text/html; charset=utf-8", status=status)


def redirect(url: str, *, status: int = 307) -> Step:
    """A redirect to another address."""
    return raw(b"", content_type="text/plain", status=status).headers({"location": url})


def events(*frames: bytes | str | Mapping[str, Any]) -> Step:
    """
    A stream of these events: mappings as JSON, text as it is behind `data: `, bytes untouched.

    Nothing is added at the end; put `"[DONE]"` last where the dialect wants it.
    """
    made = tuple(_frame(frame) for frame in frames)
    return _fixed(f"events({len(made)})", 200, "text/event-stream; charset=utf-8", made, streamed=True)


def _frame(frame: bytes | str | Mapping[str, Any]) -> bytes:
    if isinstance(frame, bytes):
        return frame
    return b"data: " + frame.encode() + b"\n\n" if isinstance(frame, str) else event(frame)


def _fixed(name: str, status: int, content_type: str, frames: tuple[bytes, ...], *, streamed: bool) -> Step:
    return Step(
        name, lambda call, models: Reply(status, (("content-type", content_type), *request_id(call)), frames, streamed)
    )


def hang_up(*, reset: bool = False) -> Step:
    """Close the connection without a word."""
    return answer().cut(reset=reset)


def refused() -> Step:
    """
    Refuse the connection: a transport raises its ConnectError.

    A server has already accepted by then and can only reset; for a real refusal use
    `Server.refuse()` or `nobody_listens()`.
    """
    step = answer()
    return replace(step, name="refused", faults=replace(step.faults, cut=(At(), Break(reset=True, refused=True))))
