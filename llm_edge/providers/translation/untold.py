"""
What a provider answered and the caller's dialect has no place for: told, once an answer, never lost in silence.

A caller of OpenAI's chat gets all of it, for the unified form is that format with a few fields more.
"""

from __future__ import annotations

from typing import Final

from ...message import Json
from ..cargo import mapping, objects
from .core import Exchange

_WORDS: Final = frozenset({"role", "content", "refusal"})
_COMMON: Final = _WORDS | {
    *("tool_calls", "function_call", "reasoning_content", "reasoning", "thinking_blocks", "annotations"),
}
_CHOICE: Final = frozenset({"index", "message", "delta", "finish_reason", "native_finish_reason"})
_PLAIN_CHOICE: Final = frozenset({"index", "delta", "finish_reason"})
_ONE_ANSWER: Final = frozenset({"anthropic.messages", "bedrock.converse", "openai.responses"})
"""Formats in which an answer is one."""
_LIKELY: Final = frozenset({"logprobs"})
_UNLIKELY: Final = frozenset({"anthropic.messages", "bedrock.converse"})
"""Formats that cannot say how likely a token was."""
_TOP: Final = frozenset({
    *("id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint", "obfuscation"),
})  # fmt: skip
_USAGE: Final = frozenset({
    *("prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"),
})  # fmt: skip
_NOTE: Final = frozenset({"type", "url_citation", "index"})
_CALL: Final = frozenset({"id", "type", "function", "custom", "index"})
_MESSAGE: Final = {
    "anthropic.messages": _COMMON | {"anthropic", "extra_content", "stop_sequence", "stop_details"},
    "gemini.generate": _COMMON | {"gemini", "images", "audio", "extra_content"},
    "bedrock.converse": _COMMON | {"bedrock", "extra_content"},
    "openai.responses": _COMMON | {"responses", "phase", "file_annotations", "extra_content"},
    "openai.completions": _WORDS | {"logprobs"},
}
"""What each caller's dialect can show, by its name; an extension of its own is shown wherever it stands."""


def tell(answer: Json, dialect: str, exchange: Exchange) -> None:
    """Tells what of a whole answer in the chat form its caller will not see."""
    known = _MESSAGE.get(dialect)
    if known is None:
        return
    _left(answer, known | _TOP, "", exchange)
    if dialect != "openai.completions":
        _left(mapping(answer.get("usage")), known | _USAGE, "usage.", exchange)
    for choice in objects(answer.get("choices")):
        _choice(choice, dialect, exchange)
        _said(mapping(choice.get("message")), known, exchange)


def tell_piece(chunk: Json, dialect: str, exchange: Exchange) -> None:
    """The same of a piece of a stream."""
    if not chunk.keys() <= _TOP:
        _left(chunk, _MESSAGE[dialect] | _TOP, "", exchange)
    if chunk.get("usage") and dialect != "openai.completions":
        _left(mapping(chunk["usage"]), _MESSAGE[dialect] | _USAGE, "usage.", exchange)
    for choice in chunk.get("choices") or ():
        if not choice.keys() <= _PLAIN_CHOICE or choice.get("index"):
            _choice(choice, dialect, exchange)
        delta = choice.get("delta")
        if delta and not delta.keys() <= _WORDS:
            _said(mapping(delta), _MESSAGE[dialect], exchange)


def _choice(choice: Json, dialect: str, exchange: Exchange) -> None:
    alone = dialect in _ONE_ANSWER
    if alone and choice.get("index") and "choices" not in exchange.untold:
        exchange.untold.add("choices")
        exchange.changed("choices", "hold more than one answer; its format has room for the first")
    known = _MESSAGE[dialect] | _CHOICE
    _left(choice, known if dialect in _UNLIKELY else known | _LIKELY, "choices[].", exchange)


def _said(message: Json, known: frozenset[str], exchange: Exchange) -> None:
    _left(message, known, "choices[].message.", exchange)
    for note in objects(message.get("annotations")) if "annotations" in known else ():
        _left(note, known | _NOTE, "choices[].message.annotations[].", exchange)
    for call in objects(message.get("tool_calls")) if "tool_calls" in known else ():
        _left(call, known | _CALL, "choices[].message.tool_calls[].", exchange)


def shows_all(dialect: str) -> bool:
    """Whether a caller of this dialect sees everything."""
    return dialect not in _MESSAGE


def _left(item: Json, known: frozenset[str], place: str, exchange: Exchange) -> None:
    for name in sorted(item.keys() - known):
        if item[name] and f"{place}{name}" not in exchange.untold:
            exchange.untold.add(f"{place}{name}")
            exchange.changed(f"{place}{name}", "was left out of the answer: its format has no place for it")
