"""
What other vendors left in a conversation that goes on with a vendor in its caller's own format.

A route may answer one turn from one vendor and the next turn from another, and no vendor takes another's
thinking. Where caller and provider have different formats, the translation sees to that. Where they have the same,
bytes pass as they came; but not those of answers that were translated for this caller before. Their signatures
are marked (`marks.py`), so that a look at the bytes tells whether there are any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from ...exact import is_object
from ...message import Body, Json
from ..cargo import camel, listing, mapping, objects, string
from .core import NOT_EMPTY, Exchange
from .marks import MARK, PACKED, is_marked
from .openai_models import OWN

_Clean: TypeAlias = Callable[[list[Json], Exchange], list[Json]]

_RAW: Final = MARK.encode()
_RAW_PACKED: Final = PACKED.encode()
_OURS: Final = frozenset(("thinking_blocks", "images", "anthropic", "gemini", "responses", "bedrock"))
"""What a message of the chat form has besides the fields that chat servers know."""
_THOUGHTS: Final = _OURS | {"reasoning_content"}
_WHY: Final = (
    "hold what another vendor's model thought; that was left out, for none takes what it has not signed itself"
)


def may_hold_strangers(body: Body, dialect: str, provider: str) -> bool:
    """Whether there is anything to look for; every call that keeps its dialect is asked this."""
    if dialect == "openai.chat":
        if provider not in OWN:
            return False
        for message in listing(body.json.get("messages")):
            if is_object(message) and message.get("role") == "assistant" and _is_strange(message, provider):
                return True
        return False
    marks = _MARKS.get(dialect)
    return marks is not None and any(mark in body.raw for mark in marks)


def without_strangers(body: Body, dialect: str, exchange: Exchange) -> Body:
    """The request without them; itself when there are none, so that its bytes stay as they came."""
    if not may_hold_strangers(body, dialect, exchange.provider):
        return body
    if dialect == "openai.chat":
        return _chat(body, exchange)
    field, clean = _PLACES[dialect]
    kept: dict[str, Any] = {**body.json}
    if not isinstance(kept.get(field), list):
        return body
    given, kept[field] = kept[field], clean(objects(kept[field]), exchange)
    if kept[field] == given:
        return body  # somebody only spoke of it
    exchange.changed(field, _WHY)
    _unthinking(kept, exchange)
    return Body(json=kept)


# ------------------------------------------------------------------ OpenAI's chat


def _chat(body: Body, exchange: Exchange) -> Body:
    exchange.changed("messages", _WHY)
    return body.with_fields(
        messages=[
            _plain(each) if each.get("role") == "assistant" else each for each in objects(body.json.get("messages"))
        ]
    )


def _is_strange(message: Json, provider: str) -> bool:
    # Azure serves others' models too, and some of those want their thoughts back.
    strange = _THOUGHTS if provider == "openai" else _OURS
    calls = objects(message.get("tool_calls"))
    return not strange.isdisjoint(message) or any("extra_content" in call for call in calls)


def _plain(message: Json) -> Json:
    told = {name: value for name, value in message.items() if name not in _THOUGHTS}
    if "tool_calls" in told:
        told["tool_calls"] = [
            {name: value for name, value in call.items() if name != "extra_content"}
            for call in objects(message["tool_calls"])
        ]
    return told


# ------------------------------------------------------------------ the others


def _claude(messages: list[Json], exchange: Exchange) -> list[Json]:
    def is_foreign(block: Json) -> bool:
        return is_marked(string(block.get("signature"))) or (
            block.get("type") == "redacted_thinking" and is_marked(string(block.get("data")))
        )

    return [_sifted(message, is_foreign, {"type": "text", "text": NOT_EMPTY}) for message in messages]


def _converse(messages: list[Json], exchange: Exchange) -> list[Json]:
    def is_foreign(block: Json) -> bool:
        thought = mapping(block.get("reasoningContent"))
        proof = mapping(thought.get("reasoningText")).get("signature") or thought.get("redactedContent")
        return is_marked(string(proof))

    return [_sifted(message, is_foreign, {"text": NOT_EMPTY}) for message in messages]


def _sifted(message: Json, is_foreign: Callable[[Json], bool], instead: Json) -> Json:
    content = message.get("content")
    if message.get("role") != "assistant" or not isinstance(content, list):
        return message
    own = [block for block in objects(message["content"]) if not is_foreign(block)]
    return {**message, "content": own or [instead]}  # turns alternate: none may vanish


def _responses(items: list[Json], exchange: Exchange) -> list[Json]:
    return [
        item
        for item in items
        if item.get("type") != "reasoning" or not is_marked(string(item.get("encrypted_content")))
    ]


def _gemini(contents: list[Json], exchange: Exchange) -> list[Json]:
    from .gemini_request import capabilities_of  # seldom needed, and long to load

    signed = capabilities_of(exchange).signed_calls
    found: list[Json] = []
    for content in contents:
        parts = [camel(part) for part in objects(content.get("parts"))]
        if any(is_marked(string(part.get("thoughtSignature"))) for part in parts):
            parts = [part for part in parts if not part.get("thought")]  # all of one maker
        found.append({**content, "parts": [_part(part, signed) for part in parts] or [{"text": ""}]})
    return found


def _part(part: Json, signed: bool) -> Json:
    """The part without another's signature; a call says so in Google's word for it."""
    if not signed:
        part = _without_id(part)  # older models know no ids
    if not is_marked(string(part.get("thoughtSignature"))):
        return part
    own = {name: value for name, value in part.items() if name != "thoughtSignature"}
    if not signed or "functionCall" not in part:
        return own
    from .gemini_turns import SKIP  # as above

    return {**own, "thoughtSignature": SKIP}


def _without_id(part: Json) -> Json:
    for name in ("functionCall", "functionResponse"):
        if "id" in mapping(part.get(name)):
            return {**part, name: {field: value for field, value in part[name].items() if field != "id"}}
    return part


_PLACES: Final[dict[str, tuple[str, _Clean]]] = {
    "anthropic.messages": ("messages", _claude),
    "anthropic.count": ("messages", _claude),
    "bedrock.converse": ("messages", _converse),
    "openai.responses": ("input", _responses),
    "openai.count": ("input", _responses),
    "gemini.generate": ("contents", _gemini),
    "gemini.count": ("contents", _gemini),
}

_MARKS: Final = {
    "anthropic.messages": (_RAW,),
    "anthropic.count": (_RAW,),
    "bedrock.converse": (_RAW, _RAW_PACKED),
    "openai.responses": (_RAW,),
    "openai.count": (_RAW,),
    "gemini.generate": (_RAW_PACKED,),
    "gemini.count": (_RAW_PACKED,),
}
"""As what marks stand in the bytes of a request; Google's fields are base64, and one of Amazon's is."""


def _unthinking(body: dict[str, Any], exchange: Exchange) -> None:
    """Claude takes no budget of thinking where the calls that are being answered came without its thinking."""
    own = mapping(body.get("additionalModelRequestFields"))
    asked = mapping(body.get("thinking") or own.get("thinking"))
    turns = objects(body.get("messages"))
    if asked.get("type") != "enabled" or not turns:
        return
    answered = objects(turns[-1].get("content"))
    if not any(block.get("type") == "tool_result" or "toolResult" in block for block in answered):
        return
    last = next((turn for turn in reversed(turns) if turn.get("role") == "assistant"), None)
    first = next(iter(objects(mapping(last).get("content"))), None)
    if first is not None and ("thinking" in string(first.get("type")) or "reasoningContent" in first):
        return
    exchange.changed("thinking", "was switched off: another vendor made the calls that are being answered")
    body.pop("thinking", None)
    if own:
        body["additionalModelRequestFields"] = {name: value for name, value in own.items() if name != "thinking"}
