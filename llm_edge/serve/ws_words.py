"""The words of `/v1/ws`: what its messages hold, read and written. No waiting and no state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .. import exact
from ..errors import CallError, InvalidRequest
from ..exact import is_object
from ..message import Headers
from .problems import refusal, shown

MAY_SAY: Final = ("cache-control", "traceparent", "anthropic-version", "anthropic-beta")
"""Header fields that a message may have, besides those of our own controls."""
_KEYS: Final = ("authorization", "x-api-key", "api-key", "x-goog-api-key")


# -------------------------------------------------------------------- what is said, as text


def text_of(value: object) -> str:
    """JSON."""
    return exact.write(value).decode("utf-8", "replace")


def data_of(raw: bytes) -> str:
    """A provider's JSON as it came; what is none as a text."""
    try:
        exact.read(raw)
    except ValueError:
        return text_of(raw.decode("utf-8", "replace"))
    return raw.decode("utf-8", "replace")


def refused(error: CallError, dialect: str = "openai.chat") -> object:
    """A refusal that the chain has not seen."""
    status, _, body = refusal(shown(error), dialect, "", [])
    return error_of(status, body)


def error_of(status: int, body: bytes) -> object:
    """What went wrong, in the dialect's words, with the status that HTTP would have had."""
    try:
        said: Any = exact.read(body)
    except ValueError:
        said = None
    inner = said.get("error", said) if is_object(said) else {"message": body.decode("utf-8", "replace")}
    return {**inner, "status": status} if is_object(inner) else {"message": inner, "status": status}


# -------------------------------------------------------------------- what is asked


def id_in(asked: Mapping[str, Any]) -> str:
    """The id of a message, as it will be said again; a number is taken as its digits. Empty for none."""
    given = asked.get("id", "")
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    if not isinstance(given, str) or len(given) > 128 or not given.isprintable():
        raise InvalidRequest("`id` must be a number, or printable text of at most 128 characters")
    return given


def fields_in(asked: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The header fields that a call of a page cannot have, said in its message: those that control the call."""
    given = asked.get("headers", {})
    if not is_object(given):
        raise InvalidRequest("`headers` must be an object of texts")
    made: list[tuple[str, str]] = []
    for name, value in given.items():
        low = name.lower()
        if low not in MAY_SAY and not low.startswith("x-llm-edge-"):
            raise InvalidRequest(f"`headers` may have {', '.join(MAY_SAY)} and x-llm-edge-… alone")
        if not isinstance(value, str) or not value.isprintable():
            raise InvalidRequest("`headers` must be an object of texts")
        made.append((low, value))
    return made


def kept(headers: Headers) -> Headers:
    """What of a handshake counts for its calls: the key, and what controls them."""
    wanted = (*_KEYS, *MAY_SAY, "user-agent")
    return Headers([pair for pair in headers.pairs if (name := pair[0].lower()) in wanted or _ours(name)])


def _ours(name: str) -> bool:
    return name.startswith("x-llm-edge-")


def has_key(headers: Headers) -> bool:
    """Whether a handshake shows a key."""
    return any(headers.get(name) for name in _KEYS)


def with_key(headers: Headers, key: str) -> Headers:
    """The header fields as if this key had been shown in them."""
    return headers.without(*_KEYS).having({"authorization": f"Bearer {key}"})
