"""Google's dialects: generateContent, streamGenerateContent and the embedding calls."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import BadAnswer, CallError, Failed
from ..message import Body, Json, Unwatched
from .anthropic import arguments
from .base import Dialect
from .cargo import add, camel, count, known, listing, mapping, objects, parse, string, tier
from .failures import failure, failure_inside, trouble_in
from .openai import no_text, no_tool_calls
from .tails import object_in_tail
from .watch import EventWatcher

_COUNTS, _TEXT = b'"usageMetadata"', b'"text"'
_FINISH_IN_TAIL = re.compile(rb'"finishReason"\s*:\s*"([A-Z_]+)"')


class GenerateWatcher(EventWatcher):
    """
    Understands streamGenerateContent, as events or as one JSON list.

    There is no terminal event: the last frame of each candidate has a finishReason, and frames with
    usage or grounding may still follow. So the bytes are read to their end, which then is judged.

    A frame with nothing but text is known by how the last one began and went on. Only the counts at its end are
    kept, to be read when they are asked for: of frames whose counts have the same names, the last one's.
    """

    __slots__ = ("_beginning", "_middle", "_names", "_tail", "_usage")

    terminal = "a finishReason for every candidate"

    def __init__(self) -> None:
        super().__init__()
        self._usage: dict[str, Any] = {}
        self._beginning = b""
        """What a frame with nothing but text begins with, up to the text."""
        self._middle = b""
        """What such a frame has between its text and its counts."""
        self._tail = b""
        """The counts of the last frame that was not read."""
        self._names = b""
        """The same without its numbers."""

    @property
    def usage(self) -> Mapping[str, Any] | None:
        self._read_tail()
        return usage_of(self._usage)

    def _event(self, name: bytes, data: bytes, whole: bool) -> None:
        if not whole:
            match = _FINISH_IN_TAIL.search(data)
            if match:
                self._reasons[0] = match[1].decode()
            self._count(object_in_tail(data, "usageMetadata"))
        elif not self._is_text(data):
            self._read_tail()
            item = self._object(data)
            if item is not None:
                self._frame(item)
                self._learn(data)

    def _is_text(self, data: bytes) -> bool:
        """Whether the frame is one more piece of the only answer; its counts are put aside."""
        if not self._beginning or not data.startswith(self._beginning):
            return False
        at = data.rfind(_COUNTS)
        if not data.endswith(self._middle, 0, at) or data[-1:] != b"}":
            return False
        tail = data[at:]
        if tail != self._tail:
            names: bytes = tail.translate(None, b"0123456789")
            if names != self._names:
                self._read_tail()
            self._tail, self._names = tail, names
        return True

    def _learn(self, data: bytes) -> None:
        at = data.rfind(_COUNTS)
        text = data.find(_TEXT)
        end = data.rfind(b'"}]', 0, at)
        plain = not self._reasons and self._open == {0} and 0 < text < end < at
        self._beginning, self._middle = (data[: text + len(_TEXT)], data[end:at]) if plain else (b"", b"")

    def _read_tail(self) -> None:
        tail, self._tail = self._tail, b""
        if tail:
            self._count(mapping(parse(b"{" + tail)).get("usageMetadata"))

    def _bare_object(self, data: bytes) -> None:
        item = mapping(parse(data))
        if item and not self._fails(item):
            self.events += 1
            self._frame(item)

    def _frame(self, item: Json) -> None:
        if "usageMetadata" not in item:
            item = camel(item)  # in Google's own spelling nearly always, and every frame passes here
        if not self.model:
            self.model = string(item.get("modelVersion"))
        usage = item.get("usageMetadata")
        if usage:
            self._count(usage)
        for candidate in objects(item.get("candidates")):
            index = count(candidate.get("index")) or 0
            self._open.add(index)
            reason = candidate.get("finishReason") or candidate.get("finish_reason")
            if reason and reason_of(reason):
                self._reasons[index] = reason_of(reason)
        if "promptFeedback" in item:
            blocked = camel(mapping(item["promptFeedback"])).get("blockReason")
            if blocked:
                self._reasons.setdefault(0, str(blocked))

    def _count(self, usage: Any) -> None:
        # The last word on each key; keys that vanish keep what they said.
        told = mapping(usage)
        if "totalTokenCount" not in told:
            told = camel(told)
        if None in told.values():
            told = {name: value for name, value in told.items() if value is not None}
        self._usage.update(told)


def action_of(body: Json) -> str:
    """The verb in the address that goes with the body of an embedding call."""
    if "instances" in body:
        return "predict"
    return "batchEmbedContents" if "requests" in body else "embedContent"


def embedding_of(body: Body, model: str) -> Body:
    """The embedding call for this model, which a batch names again for each of its texts."""
    named = f"models/{model}"
    requests = objects(body.json.get("requests"))
    if all(each.get("model") == named for each in requests):
        return body
    return body.with_fields(requests=[{**each, "model": named} for each in requests])


# For those who ask for enums as integers.
_REASONS = ("FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER")


def reason_of(value: Any) -> str:
    """A finishReason by its name."""
    if type(value) is int and value:
        return _REASONS[value] if 0 < value < len(_REASONS) else f"FINISH_REASON_{value}"
    return string(value)


def usage_of(usage: Any) -> Mapping[str, Any] | None:
    """Token counts in the unified names, from `usageMetadata`."""
    usage = camel(mapping(usage))
    asked, tools = count(usage.get("promptTokenCount")), count(usage.get("toolUsePromptTokenCount"))
    answered, thought = count(usage.get("candidatesTokenCount")), count(usage.get("thoughtsTokenCount"))
    total = count(usage.get("totalTokenCount"))
    if asked is None and answered is None and total is None:
        return None
    # Thoughts are counted beside the candidates, but some models count them in: then the sum shows it.
    inside = total is not None and answered is not None and add(asked, answered, tools) == total
    completion = None if answered is None and thought is None else add(answered, 0 if inside else thought)
    counts = known(
        prompt_tokens=None if asked is None and tools is None else add(asked, tools),
        completion_tokens=completion,
        total_tokens=total if total is not None else add(asked, tools, completion),
        cached_tokens=count(usage.get("cachedContentTokenCount")),
        reasoning_tokens=thought,
    )
    return {**counts, **_by_modality(usage), **tier(usage.get("serviceTier") or usage.get("trafficType"))}


def _by_modality(usage: Json) -> dict[str, int]:
    """Tokens that were sound or pictures, which cost otherwise."""
    found: dict[str, int] = {}
    for field, name in _DETAILS.items():
        for each in objects(usage.get(field)):
            kind = string(each.get("modality")).lower()
            tokens = count(each.get("tokenCount"))
            if tokens and kind in {"audio", "image"}:
                found[f"{kind}_{name}_tokens"] = tokens
    return found


_DETAILS = {"promptTokensDetails": "input", "candidatesTokensDetails": "output", "cacheTokensDetails": "cached"}


def _usage(answer: Json) -> Mapping[str, Any] | None:
    return usage_of(answer.get("usageMetadata"))


def _fault(answer: Json) -> Failed | None:
    trouble = trouble_in(answer)
    if trouble is not None:
        return failure_inside(trouble)
    if not listing(answer.get("candidates")) and not mapping(answer.get("promptFeedback")):
        return BadAnswer("the answer has status 200 but no candidates")
    return None


def _fault_of_embedding(answer: Json) -> Failed | None:
    trouble = trouble_in(answer)
    if trouble is not None:
        return failure_inside(trouble)
    if not any(answer.get(name) for name in ("embeddings", "embedding", "predictions")):
        return BadAnswer("the answer has status 200 but no embeddings")
    return None


_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def refusal(error: CallError, request_id: str) -> Json:
    """Google's error body; our own code stands as the reason among the details."""
    status = _STATUSES.get(error.status, "INTERNAL" if error.status >= 500 else "INVALID_ARGUMENT")
    details: list[Json] = [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": error.code.upper(), "domain": "llm_edge"},
        {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": request_id},
    ]
    if error.retry_after is not None:
        wait = f"{error.retry_after:.3f}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": wait})
    return {"error": {"code": error.status, "message": error.message, "status": status, "details": details}}


def _parts(answer: Json) -> list[Json]:
    candidates = objects(answer.get("candidates"))
    return objects(mapping(candidates[0].get("content")).get("parts")) if candidates else []


def _text(answer: Json) -> str:
    return "".join(string(part.get("text")) for part in _parts(answer) if not part.get("thought"))


def _tool_calls(answer: Json) -> list[Json]:
    calls = [mapping(part["functionCall"]) for part in _parts(answer) if isinstance(part.get("functionCall"), dict)]
    return [
        {
            # Older models give no ids; the place in the answer names the call well enough.
            "id": string(call.get("id")) or f"call_{place}",
            "type": "function",
            "function": {"name": string(call.get("name")), "arguments": arguments(call.get("args"))},
        }
        for place, call in enumerate(calls)
    ]


def _finished(answer: Json) -> Sequence[str]:
    blocked = mapping(answer.get("promptFeedback")).get("blockReason")
    if blocked:
        return [string(blocked) or "OTHER"]
    return [reason_of(candidate.get("finishReason")) for candidate in objects(answer.get("candidates"))]


GENERATE = Dialect(
    name="gemini.generate",
    operation="chat",
    watcher=GenerateWatcher,
    fault=_fault,
    failure=failure,
    refusal=refusal,
    usage=_usage,
    text=_text,
    tool_calls=_tool_calls,
    finished=_finished,
)
EMBED = Dialect(
    name="gemini.embed",
    operation="embeddings",
    watcher=Unwatched,
    fault=_fault_of_embedding,
    failure=failure,
    refusal=refusal,
    usage=_usage,
    text=no_text,
    tool_calls=no_tool_calls,
)
