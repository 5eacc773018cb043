"""
The old completions dialect, from and to the chat form, as far as the two can mean the same.

One text goes in and texts come out: a conversation, tools and pictures have no place there, and
filling text into the middle has none in chat.
"""

from __future__ import annotations

from typing import Any

from ...errors import CallError, StreamBroken
from ...message import Json
from ..cargo import listing, mapping, objects, string
from ..openai import joined_text, refusal
from . import frames
from .chat_answer import unified_usage
from .chat_reader import ChatReader
from .completions_logprobs import to_chat, to_completions
from .completions_replay import REPLAY
from .core import Exchange, Translation

__all__ = ["REPLAY", "TRANSLATION"]

_SAME = (
    *("model", "n", "stop", "stream", "stream_options", "temperature", "top_p"),
    *("frequency_penalty", "presence_penalty", "logit_bias", "seed", "user"),
)
_TEXT = frozenset({"role", "content", "type", "text", "annotations"})
_FINISHES = {"stop": "stop", "length": "length", "content_filter": "content_filter"}


# ------------------------------------------------------------------ as the caller's dialect


def request_to_chat(request: Json, exchange: Exchange) -> Json:
    """The prompt as a user's message. Raises InvalidRequest for what no chat can do."""
    if request.get("suffix"):
        raise exchange.impossible("suffix", "a chat model cannot fill in the middle; leave it out")
    if request.get("echo"):
        raise exchange.impossible("echo", "a chat model does not repeat the prompt; leave it out")
    chat: dict[str, Any] = {name: request[name] for name in _SAME if request.get(name) is not None}
    chat["messages"] = [{"role": "user", "content": _prompt(request.get("prompt"), exchange)}]
    exchange.changed("prompt", "became a user's message: the model answers it and does not continue it")
    if request.get("max_tokens") is not None:
        chat["max_completion_tokens"] = request["max_tokens"]
    logprobs = request.get("logprobs")
    if logprobs is not None:
        chat["logprobs"] = True
        chat["top_logprobs"] = logprobs
    if (request.get("best_of") or 1) > (request.get("n") or 1):
        exchange.lost("best_of", "chat models are asked once for each answer")
    known = {*_SAME} | {"prompt", "suffix", "echo", "max_tokens", "logprobs", "best_of"}
    for name in request:
        if name not in known and request[name] is not None:
            exchange.lost(name, "chat has no such field")
    return chat


def _prompt(prompt: Any, exchange: Exchange) -> str:
    texts = [prompt] if isinstance(prompt, str) else listing(prompt)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise exchange.impossible("prompt", "a chat model takes text, not tokens; send one string")
    if len(texts) > 1:
        raise exchange.impossible(
            "prompt", f"a chat model answers one prompt at a time, not {len(texts)}; send them singly"
        )
    return string(texts[0])


def answer_from_chat(answer: Json, exchange: Exchange) -> Json:
    """The answer as a text completion."""
    name = string(answer.get("id")) or exchange.request_id
    completion: dict[str, Any] = {
        "id": name if name.startswith("cmpl-") else f"cmpl-{name.removeprefix('chatcmpl-')}",
        "object": "text_completion",
        "created": answer.get("created") or exchange.created,
        "model": string(answer.get("model")) or exchange.model,
        "choices": [_choice(choice) for choice in objects(answer.get("choices"))],
    }
    for name in ("usage", "system_fingerprint"):
        if answer.get(name) is not None:
            completion[name] = answer[name]
    return completion


def _choice(choice: Json) -> Json:
    message = mapping(choice.get("message"))
    text = joined_text(message.get("content")) or string(message.get("refusal"))
    entries = objects(mapping(choice.get("logprobs")).get("content"))
    return {
        "text": text,
        "index": choice.get("index"),
        "logprobs": to_completions(entries) if entries else None,
        "finish_reason": _FINISHES.get(string(choice.get("finish_reason")), "stop"),
    }


class CompletionsWriter:
    """Writes a completions stream."""

    __slots__ = ("_base", "_exchange", "_lengths", "_usage", "_with_usage")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._base: dict[str, Any] = {}
        self._usage: Any = None
        self._with_usage = mapping(exchange.chat.get("stream_options")).get("include_usage") is True
        self._lengths: dict[int, int] = {}
        """How long each choice's text is so far: logprobs count from there."""

    def write(self, chunk: Json, /) -> bytes:
        if not self._base:
            self._begin(chunk)
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        choices = [told for choice in objects(chunk.get("choices")) if (told := self._piece(choice)) is not None]
        if not choices:
            return b""
        null: Json = {"usage": None} if self._with_usage else {}
        return frames.data({**self._base, "choices": choices, **null})

    def end(self) -> bytes:
        """The usage, if asked for, and `[DONE]`."""
        if not self._with_usage or self._usage is None:
            return frames.DONE
        if not self._base:
            self._begin({})
        return frames.data({**self._base, "choices": [], "usage": self._usage}) + frames.DONE

    def fail(self, error: Exception, /) -> bytes:
        """The error as OpenAI tells it in mid-stream."""
        # What is no CallError may hold anything in its words.
        known = error if isinstance(error, CallError) else StreamBroken("the stream broke off")
        return frames.data(refusal(known, self._exchange.request_id))

    def _begin(self, chunk: Json) -> None:
        self._base = {**answer_from_chat({**chunk, "choices": [], "usage": None}, self._exchange)}

    def _piece(self, choice: Json) -> Json | None:
        delta = mapping(choice.get("delta"))
        text = string(delta.get("content")) or string(delta.get("refusal"))
        reason = choice.get("finish_reason")
        if not text and not reason:
            return None
        index = choice.get("index") or 0
        before = self._lengths.get(index, 0)
        self._lengths[index] = before + len(text)
        entries = objects(mapping(choice.get("logprobs")).get("content"))
        logprobs = to_completions(entries, before) if entries else None
        finish = _FINISHES.get(reason, "stop") if reason else None
        return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish}


# ------------------------------------------------------------------ as the provider's dialect


def request_from_chat(chat: Json, exchange: Exchange) -> Json:
    """The only message as a prompt. Raises InvalidRequest for what a completions model cannot do."""
    for name in ("tools", "response_format", "web_search_options"):
        value = chat.get(name)
        if value and mapping(value).get("type") != "text":
            raise exchange.impossible(name, "a completions model only continues text; ask a chat model")
    request: dict[str, Any] = {name: chat[name] for name in _SAME if chat.get(name) is not None}
    request["model"] = exchange.model or chat.get("model")
    request["prompt"] = _text(objects(chat.get("messages")), exchange)
    limit = chat.get("max_completion_tokens") or chat.get("max_tokens")
    if limit is not None:
        request["max_tokens"] = limit
    if chat.get("logprobs"):
        request["logprobs"] = chat.get("top_logprobs") or 0
    known = {*_SAME} | {"messages", "max_tokens", "max_completion_tokens", "logprobs", "top_logprobs"}
    for name in chat:
        if name not in known and chat[name] not in (None, [], {"type": "text"}):
            exchange.lost(name, "completions have no such field")
    return request


def _text(messages: list[Json], exchange: Exchange) -> str:
    texts: list[str] = []
    for position, message in enumerate(messages):
        content = message.get("content")
        if any(part.get("type", "text") != "text" for part in objects(content)):
            raise exchange.impossible(f"messages[{position}].content", "a completions model only reads text")
        if message.get("role") not in ("system", "developer", "user") or (texts and _user(messages[position - 1])):
            raise exchange.impossible("messages", "a completions model takes one user message; ask a chat model")
        for part in (message, *objects(content)):
            for name in part.keys() - _TEXT:
                exchange.lost(f"messages[{position}].{name}", "a prompt has no place for it")
        texts.append(joined_text(content))
    if not texts:
        raise exchange.impossible("messages", "there is none; send a user's message")
    exchange.changed("messages", "became one prompt: the model continues it")
    return "\n\n".join(filter(None, texts))


def _user(message: Json) -> bool:
    return message.get("role") == "user"


def answer_to_chat(answer: Json, exchange: Exchange) -> Json:
    """The answer in the unified form."""
    created = answer.get("created")
    unified: dict[str, Any] = {
        "id": string(answer.get("id")) or f"chatcmpl-{exchange.request_id}",
        "object": "chat.completion",
        "created": created if type(created) is int and created else exchange.created,
        "model": string(answer.get("model")) or exchange.model,
        "choices": [
            {
                "index": position if choice.get("index") is None else choice["index"],
                "message": {"role": "assistant", "content": string(choice.get("text")), "refusal": None},
                "logprobs": to_chat(mapping(choice.get("logprobs"))),
                "finish_reason": _FINISHES.get(string(choice.get("finish_reason")), "stop"),
            }
            for position, choice in enumerate(objects(answer.get("choices")))
        ],
    }
    if mapping(answer.get("usage")):
        unified["usage"] = unified_usage(answer["usage"])
    if answer.get("system_fingerprint"):
        unified["system_fingerprint"] = answer["system_fingerprint"]
    return unified


class CompletionsReader(ChatReader):
    """Reads a completions stream: a chat stream whose pieces are called `text`."""

    __slots__ = ()

    def _choice(self, raw: Json, position: int, chunks: list[Json]) -> None:
        as_chat = {name: raw[name] for name in raw if name != "text"}
        as_chat["delta"] = {"content": string(raw.get("text"))}
        as_chat["logprobs"] = to_chat(mapping(raw.get("logprobs")))
        super()._choice(as_chat, position, chunks)


TRANSLATION = Translation(
    dialect="openai.completions",
    request_to_chat=request_to_chat,
    answer_from_chat=answer_from_chat,
    writer=CompletionsWriter,
    request_from_chat=request_from_chat,
    answer_to_chat=answer_to_chat,
    reader=CompletionsReader,
)
