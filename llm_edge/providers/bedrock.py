"""Bedrock's Converse dialect: one language for all of its models, and its streams of frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import BadAnswer, CallError, Failed, StreamBroken
from ..message import Json
from .anthropic import arguments
from .base import Dialect
from .cargo import add, count, known, mapping, objects, parse, string, tier
from .eventstream import CONTENT_TYPE, Frame, Frames
from .failures import Trouble, failure, failure_inside, trouble_behind

_PLAIN = frozenset(("contentBlockDelta", "contentBlockStart", "contentBlockStop", "messageStart"))


class ConverseWatcher:
    """
    Understands ConverseStream. The answer is whole when its `messageStop` has come; the `metadata` that
    follows tells the tokens, and nothing comes after it.
    """

    __slots__ = ("_frames", "_reason", "_usage", "complete", "events", "failure", "model")

    def __init__(self) -> None:
        self.complete = False
        self.events = 0
        self.failure: Exception | None = None
        self.model = ""
        """Never told by Bedrock."""
        self._frames = Frames()
        self._reason = ""
        self._usage: Mapping[str, Any] | None = None

    @property
    def usage(self) -> Mapping[str, Any] | None:
        return self._usage

    @property
    def finished(self) -> Sequence[str]:
        return [self._reason] if self.events else []

    def feed(self, chunk: bytes, /) -> None:
        for frame in self._frames.feed(chunk):
            if not self.complete and self.failure is None:
                self.events += 1
                self._frame(frame)
        if self._frames.garbled and not self.complete:
            self.failure = self.failure or BadAnswer(f"the stream is garbled: {self._frames.garbled}")

    def end(self) -> Exception | None:
        """`StreamBroken` when the answer is not whole and no failure has been told."""
        if self.complete or self.failure is not None:
            return None
        if self._reason and not self._frames.pending:
            self.complete = True
            return None
        if self._frames.pending:
            return StreamBroken("the stream was cut in the middle of an event")
        if not self.events:
            return StreamBroken("the stream ended before its first event")
        return StreamBroken("the stream ended without messageStop: the answer is cut short")

    def _frame(self, frame: Frame) -> None:
        if frame.error:
            self.failure = failure_in(frame)
            return
        name = frame.event
        if name in _PLAIN:
            return
        value = parse(frame.payload)
        if not isinstance(value, dict):
            self.failure = BadAnswer("an event of the stream is not a JSON object")
            return
        item = mapping(value)  # typed now
        if name == "messageStop":
            self._reason = string(item.get("stopReason")) or "end_turn"
        elif name == "metadata":
            self._usage = usage_of(item.get("usage"), item.get("serviceTier"))
            self.complete = bool(self._reason)


def failure_in(frame: Frame) -> Failed:
    """The error a frame speaks of."""
    told = trouble_behind(frame.payload)
    message = (told.message if told is not None else "") or frame.text(":error-message") or frame.error
    body: Json = {"message": message, "type": frame.error}
    return failure_inside(Trouble(message=message, words=(frame.error.lower(),), raw=body))


def usage_of(usage: Any, served: Any = None) -> Mapping[str, Any] | None:
    """Token counts in the unified names; Bedrock's `inputTokens` leaves the cached ones out, ours has them in."""
    usage = mapping(usage)
    fresh, completion = count(usage.get("inputTokens")), count(usage.get("outputTokens"))
    if fresh is None and completion is None:
        return None
    cached, written = count(usage.get("cacheReadInputTokens")), count(usage.get("cacheWriteInputTokens"))
    hour = [count(each.get("inputTokens")) for each in objects(usage.get("cacheDetails")) if each.get("ttl") == "1h"]
    prompt = add(fresh, cached, written)
    counts = known(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=add(prompt, completion),
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=add(*hour) or None,
    )
    return {**counts, **tier(mapping(served).get("type"))}


def blocks_of(answer: Json) -> list[Json]:
    """The blocks of an answer's message."""
    return objects(mapping(mapping(answer.get("output")).get("message")).get("content"))


def _usage(answer: Json) -> Mapping[str, Any] | None:
    return usage_of(answer.get("usage"), answer.get("serviceTier"))


def told_in(answer: Json) -> Failed | None:
    """The error that came where an answer was due, if it is one."""
    message = string(answer.get("message"))
    if not message:
        return None
    word = string(answer.get("code")) or string(answer.get("__type")).rpartition("#")[2]
    return failure_inside(Trouble(message=message, words=(word.lower(),), raw=answer))


def _fault(answer: Json) -> Failed | None:
    told = None if "output" in answer else told_in(answer)
    if told is not None:
        return told
    if not isinstance(mapping(mapping(answer.get("output")).get("message")).get("content"), list):
        return BadAnswer("the answer has status 200 but no message")
    return None


def refusal(error: CallError, request_id: str) -> Json:
    """Bedrock's error body; its code travels in a header there, and stands beside the message here."""
    return {"message": error.message, "code": error.code, "requestId": request_id}


def _text(answer: Json) -> str:
    return "".join(text_in(block) for block in blocks_of(answer))


def text_in(block: Json) -> str:
    """A block's text, cited or plain."""
    if "citationsContent" in block:
        return "".join(string(each.get("text")) for each in objects(mapping(block["citationsContent"]).get("content")))
    return string(block.get("text"))


def _tool_calls(answer: Json) -> list[Json]:
    return [
        {
            "id": call.get("toolUseId"),
            "type": "function",
            "function": {"name": string(call.get("name")), "arguments": arguments(call.get("input"))},
        }
        for block in blocks_of(answer)
        if is_call(block)
        for call in (mapping(block["toolUse"]),)
    ]


def is_call(block: Json) -> bool:
    """Whether a block asks the caller for something; tools that Bedrock itself runs do not."""
    return "toolUse" in block and mapping(block["toolUse"]).get("type") != "server_tool_use"


def _finished(answer: Json) -> Sequence[str]:
    return [string(answer.get("stopReason"))]


CONVERSE = Dialect(
    name="bedrock.converse",
    operation="chat",
    watcher=ConverseWatcher,
    fault=_fault,
    failure=failure,
    refusal=refusal,
    usage=_usage,
    text=_text,
    tool_calls=_tool_calls,
    finished=_finished,
    stream_type=CONTENT_TYPE,
)
