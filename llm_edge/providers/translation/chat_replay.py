"""
A chat stream put together to the whole answer, and a whole answer taken apart to a stream.

Nothing is made better here: what the provider called a thing it is called again, so that an SDK
puts together from the replay what it would have put together from the original. Only tool calls
are numbered and named where the server did not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ...errors import Failed
from ...message import Json
from ..cargo import count, listing, mapping, objects, string
from ..sse import Splitter
from . import frames
from .chat_calls import Calls
from .core import Replay

_TOP = frozenset({"choices", "usage", "obfuscation", "object"})
_FIRST = frozenset({"id", "created", "model"})
_PIECE = 80


class ChatAssembler:
    """Puts a chat stream together."""

    __slots__ = ("_broken", "_calls", "_choices", "_done", "_splitter", "_strays", "_texts", "_top", "_usage")

    kind = "chat.completion"
    """What a whole answer says it is."""

    def __init__(self) -> None:
        self._strays: list[bytes] = []
        self._splitter = Splitter(self._strays)
        self._top: dict[str, Any] = {}
        self._usage: Any = None
        self._choices: dict[int, dict[str, Any]] = {}
        self._calls: dict[int, Calls] = {}
        self._texts: dict[tuple[int, str], list[str]] = {}
        """The pieces of each choice's texts, joined once at the end."""
        self._done = False
        self._broken = False

    def feed(self, data: bytes, /) -> None:
        self._read(self._splitter.feed(data))

    def whole(self) -> Json | None:
        """The answer; None when the stream was cut, told of an error, or answered nothing."""
        self._read(self._splitter.end())
        choices = [self._choices[index] for index in sorted(self._choices)]
        ended = self._done or all(choice["finish_reason"] for choice in choices)
        if self._broken or not ended or not choices:
            return None
        for choice in choices:
            self._end_choice(choice)
        answer: dict[str, Any] = {**self._top, "object": self.kind, "choices": choices}
        if self._usage is not None:
            answer["usage"] = self._usage
        return answer

    def _read(self, events: Any) -> None:
        if any(line.startswith(b"{") for line in self._strays):
            self._broken = True  # an error outside any event; or no event stream at all
        self._strays.clear()
        for _, content, whole in events:
            if self._done or self._broken or not content:
                continue
            if content.startswith(b"[DONE]"):
                self._done = True
                continue
            try:
                self._item(frames.load(content, whole))
            except Failed:
                self._broken = True

    def _item(self, item: Json) -> None:
        if item.get("error"):
            self._broken = True
            return
        for name, value in item.items():
            if name in _TOP:
                continue
            known = self._top.get(name)
            if known is None or (value is not None and name not in _FIRST) or not known:
                self._top[name] = value
        if item.get("usage") is not None:
            self._usage = item["usage"]
        for position, raw in enumerate(objects(item.get("choices"))):
            self._choice(raw, position)

    def _choice(self, raw: Json, position: int) -> None:
        index = count(raw.get("index"))
        index = position if index is None else index
        choice = self._choices.get(index)
        if choice is None:
            message: dict[str, Any] = {"role": "assistant", "content": None}
            choice = self._choices[index] = {"index": index, "message": message, "finish_reason": None}
            self._calls[index] = Calls(f"call_{index}_")
        delta = mapping(raw.get("delta"))
        if delta:
            rest: dict[str, Any] = {}
            for name, value in delta.items():
                if isinstance(value, str) and name != "role":
                    self._texts.setdefault((index, name), []).append(value)
                elif name == "tool_calls" and value:
                    self._add_calls(choice, self._calls[index].take(value))
                else:
                    rest[name] = value
            merge(choice["message"], rest)
        for name in raw:
            value = raw[name]
            if name == "delta" or name == "index":
                continue
            if name == "logprobs" and value:
                merge(choice, {name: value})
            elif value or name not in choice:
                choice[name] = value

    def _end_choice(self, choice: dict[str, Any]) -> None:
        message = choice["message"]
        for (index, name), pieces in self._texts.items():
            if index == choice["index"]:
                message[name] = "".join(pieces)
        self._add_calls(choice, self._calls[choice["index"]].flush())
        calls = objects(message.get("tool_calls"))
        if calls:  # numbers are for streams
            message["tool_calls"] = [_without(call, "index") for call in calls]

    def _add_calls(self, choice: dict[str, Any], pieces: list[Json]) -> None:
        if pieces:
            merge(choice["message"], {"tool_calls": pieces})


def calls_of(deltas: Iterable[Any]) -> list[Json]:
    """The tool calls of one choice, put together of the pieces in its deltas."""
    calls, message = Calls("call_0_"), dict[str, Any]()
    for delta in deltas:
        merge(message, {"tool_calls": calls.take(delta)})
    merge(message, {"tool_calls": calls.flush()})
    return [_without(call, "index") for call in objects(message["tool_calls"])]


def merge(into: dict[str, Any], delta: Json) -> None:
    """Adds a delta: texts and lists grow, entries with a number find their place, anything else replaces."""
    for name, value in delta.items():
        known = into.get(name)
        if value is None:
            into.setdefault(name, None)
        elif known is None:
            into[name] = _numbered([], listing(value)) if isinstance(value, list) else value
        elif isinstance(value, str) and isinstance(known, str):
            if name not in ("role", "type", "id"):
                into[name] = known + value
        elif isinstance(value, dict) and isinstance(known, dict):
            grown = {**mapping(known)}
            merge(grown, mapping(value))
            into[name] = grown
        elif isinstance(value, list) and isinstance(known, list):
            into[name] = _numbered([*listing(known)], listing(value))
        else:
            into[name] = value


def _numbered(known: list[Any], entries: Sequence[Any]) -> list[Any]:
    for entry in entries:
        number = mapping(entry).get("index")
        places = range(len(known)) if type(number) is int else ()
        place = next((place for place in places if mapping(known[place]).get("index") == number), None)
        if place is None:
            known.append(entry)
        else:
            grown = {**mapping(known[place])}
            merge(grown, _without(mapping(entry), "index"))
            known[place] = grown
    return known


def _without(entry: Json, name: str) -> Json:
    return {key: value for key, value in entry.items() if key != name}


# ------------------------------------------------------------------ a whole answer as a stream


def events(answer: Json, request: Json) -> list[bytes]:
    """The answer as the events of a stream, with a usage chunk where the request asks for one and the answer has it."""
    return replayed(answer, request, "chat.completion.chunk", _pieces)


def replayed(answer: Json, request: Json, kind: str, pieces: Callable[[Json], Iterator[Json]]) -> list[bytes]:
    """The events of an answer whose every choice comes in pieces."""
    usage = answer.get("usage")
    asked = mapping(request.get("stream_options")).get("include_usage") is True
    base = {name: value for name, value in answer.items() if name not in ("choices", "usage", "moderation")}
    base["object"] = kind
    null: Json = {"usage": None} if asked else {}
    found = [
        frames.data({**base, "choices": [piece], **null})
        for position, choice in enumerate(objects(answer.get("choices")))
        for piece in pieces({"index": position, **choice})  # some say which one it is only where there are several
    ]
    if asked and usage is not None:
        found.append(frames.data({**base, "choices": [], "usage": usage}))
    if answer.get("moderation") is not None:
        found.append(frames.data({**base, "choices": [], "moderation": answer["moderation"], **null}))
    found.append(frames.DONE)
    return found


def _pieces(choice: Json) -> Iterator[Json]:
    """The chunks' choices for one choice of the answer, in order."""
    index, message = choice.get("index"), mapping(choice.get("message"))
    rest = {name: choice[name] for name in choice if name not in ("index", "message", "finish_reason", "logprobs")}
    logprobs, null = choice.get("logprobs"), {"logprobs": None} if "logprobs" in choice else {}

    def piece(delta: Json, logs: Any = None, **more: Any) -> Json:
        told = {"logprobs": logs} if logs else null
        return {"index": index, "delta": delta, **told, "finish_reason": None, **more}

    content = message.get("content")
    first = {"role": message.get("role", "assistant"), "content": "" if isinstance(content, str) else None}
    first.update((name, message[name]) for name in message if message[name] is None or message[name] == [])
    left = _left_over(mapping(logprobs), message)
    yield piece(first, left, **rest)
    later: dict[str, Any] = {}
    for name, value in message.items():
        if name in ("role", "content", "refusal", "tool_calls") or value is None or value == []:
            continue
        if isinstance(value, str):
            for text in cut(value):
                yield piece({name: text})
        else:
            later[name] = value
    if isinstance(content, list):
        later["content"] = content
    for name in ("content", "refusal"):
        for text, logs in _tokens(message.get(name), name, {} if left else mapping(logprobs)):
            yield piece({name: text}, logs)
    if later:
        yield piece(later)
    for number, call in enumerate(objects(message.get("tool_calls"))):
        for delta in _call(number, call):
            yield piece({"tool_calls": [delta]})
    yield piece({}, finish_reason=choice.get("finish_reason"))


def _tokens(text: Any, name: str, logprobs: Json) -> Iterator[tuple[str, Json | None]]:
    """A text in pieces: its tokens, where their logprobs are told, else any."""
    if not isinstance(text, str):
        return
    entries = objects(logprobs.get(name))
    if entries:
        for entry in entries:
            yield string(entry.get("token")), {**dict.fromkeys(logprobs), name: [entry]}
        return
    for piece in cut(text):
        yield piece, None


def _left_over(logprobs: Json, message: Json) -> Json | None:
    """Logprobs that do not follow the text token by token: told all at once."""
    for name in logprobs:
        entries = objects(logprobs[name])
        text = "".join(string(entry.get("token")) for entry in entries)
        if logprobs[name] is not None and text != message.get(name):
            return logprobs
    return None


def _call(number: int, call: Json) -> Iterator[Json]:
    kind = "custom" if "custom" in call else "function"
    field = "input" if kind == "custom" else "arguments"
    body = mapping(call.get(kind))
    yield {"index": number, **call, kind: {**body, field: ""}}
    for text in cut(string(body.get(field))):
        yield {"index": number, kind: {field: text}}


def cut(text: str) -> list[str]:
    """A text in pieces as a stream might tell them."""
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]


REPLAY = Replay(dialect="openai.chat", assembler=ChatAssembler, events=events)
