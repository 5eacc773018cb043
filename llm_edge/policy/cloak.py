"""
Personal data taken out of what a call asks, and put back into what it is answered.

Theory of operation. Every text of a request is searched; what is found is replaced by a placeholder, `[EMAIL_1]`, and
the same value by the same placeholder wherever it stands. They are numbered as they come, so two calls that differ in
their personal data alone become one and the same call, for caches and providers. In the answer each placeholder that
this call made becomes its value again.

Fields that hold no text of people's (ids, names of tools and models, addresses, pictures) are left as they are, and so
are the definitions of tools and formats, which are the app's own. Inside the arguments and results of tools every
string counts, and every number, in whose place a text then stands; text that is JSON itself is replaced inside those,
so that it stays JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any, Final

from .. import exact
from ..message import Json
from .pii import KINDS, find

_LEFT_AT_TOP: Final = frozenset({
    "tools", "functions", "tool_choice", "toolConfig", "tool_config", "response_format", "text", "output_config",
    "output_format", "generationConfig", "generation_config", "include", "modalities", "stop", "service_tier",
})  # fmt: skip
_LEFT: Final = frozenset({
    "model", "role", "type", "id", "object", "name", "call_id", "signature", "thoughtSignature", "thought_signature",
    "encrypted_content", "b64_json", "file_data", "image_url", "input_audio", "url", "uri", "fileUri", "file_uri",
    "mime_type", "media_type", "mimeType", "format", "cache_control", "encoding_format",
})  # fmt: skip
_CODED: Final = frozenset({"mime_type", "media_type", "mimeType", "format"})
"""Where one of these stands, `data` beside it is a picture or a sound."""
_FREE: Final = frozenset({"input", "args", "response", "json"})
"""Where an object stands under these names it is what a tool is given, or gives."""
_PLACEHOLDER = re.compile(r"\[[A-Z]+(?:_[A-Z]+)?_[0-9]{1,9}(?:_[0-9A-F]{1,8})?\]")
_PLACEHOLDER_BYTES = re.compile(_PLACEHOLDER.pattern.encode())
_SHORTEST: Final = 10**12
"""The smallest number that may be personal data: of all kinds cards alone are nothing but digits."""
_NESTED: Final = 4
"""How often JSON may stand in text that stands in JSON."""


def structural(field: str) -> bool:
    """Whether a field of this name holds no text of people's."""
    return field in _LEFT or field.endswith("_id")


class Cloak:
    """One call's. `taken` gives the text in which no placeholder of ours may stand already."""

    __slots__ = ("_begun", "_by_value", "_kinds", "_mark", "_numbers", "_taken", "_written", "found", "values")

    def __init__(self, kinds: Collection[str] = KINDS, *, taken: Callable[[], bytes] = bytes, mark: str = "") -> None:
        self._kinds, self._taken, self._mark = kinds, taken, mark
        self._written: frozenset[bytes] | None = None
        """The placeholders that stand in the call already, once somebody asked."""
        self._begun: frozenset[str] | None = None
        """All beginnings of ours, once somebody asked."""
        self._by_value: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self.found: dict[str, int] = {}
        """How many places were found, by kind."""
        self.values: dict[str, str] = {}
        """What each placeholder stands for, but for what has several lines: a private key is not put back."""

    def covered(self, body: Json) -> Json:
        """The request's JSON without personal data; the same object where there is none. RecursionError when deep."""
        made = {
            name: value if name in _LEFT_AT_TOP or structural(name) else self._value(name, value, free=False)
            for name, value in body.items()
        }
        return made if self.found else body

    def text(self, text: str, nested: int = _NESTED) -> str:
        """One text without personal data."""
        places = find(text, self._kinds)
        if not places:
            return text
        inner = _json_in(text) if nested else None
        if inner is not None:
            return exact.write(self._free(inner, nested - 1)).decode()
        parts, at = list[str](), 0
        for start, end, kind in places:
            self.found[kind] = self.found.get(kind, 0) + 1
            parts += (text[at:start], self._placeholder(text[start:end], kind))
            at = end
        return "".join(parts) + text[at:]

    def _value(self, name: str, value: Any, *, free: bool) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if exact.is_object(value):
            if free or name in _FREE:
                return self._free(value)
            coded = not _CODED.isdisjoint(value) or value.get("type") == "redacted_thinking"
            return {
                field: each
                if structural(field) or (coded and field == "data")
                else self._value(field, each, free=False)
                for field, each in value.items()
            }
        return [self._value("", each, free=free) for each in value] if exact.is_list(value) else value

    def _free(self, value: Any, nested: int = _NESTED) -> Any:
        """JSON that is anybody's: every string in it counts, every number, and every name."""
        if isinstance(value, str):
            return self.text(value, nested)
        if isinstance(value, (int, float)):
            if value < _SHORTEST:
                return value
            said = exact.write(value).decode()
            covered = self.text(said)
            return value if covered == said else covered
        if exact.is_object(value):
            return {self.text(name, 0): self._free(each, nested) for name, each in value.items()}
        return [self._free(each, nested) for each in value] if exact.is_list(value) else value

    def _placeholder(self, value: str, kind: str) -> str:
        known = self._by_value.get(value)
        if known is not None:
            return known
        if self._written is None:
            self._written = frozenset(_PLACEHOLDER_BYTES.findall(self._taken()))
        while True:
            number = self._numbers[kind] = self._numbers.get(kind, 0) + 1
            made = f"[{kind.upper()}_{number}{self._mark}]"
            if made.encode() not in self._written:
                break
        self._by_value[value] = made
        if "\n" not in value:
            self.values[made] = value
        return made

    # ------------------------------------------------------------------ the way back

    def restored(self, text: str) -> str:
        """The text with values in place of this call's placeholders."""
        if "[" not in text:
            return text
        values = self.values
        return _PLACEHOLDER.sub(lambda match: values.get(match[0], match[0]), text)

    def uncovered(self, value: Any) -> Any:
        """JSON with values in place of placeholders; RecursionError when it is too deep."""
        if isinstance(value, str):
            return self.restored(value)
        if exact.is_object(value):
            return {self.restored(name): self.uncovered(each) for name, each in value.items()}
        return [self.uncovered(each) for each in value] if exact.is_list(value) else value

    def occurs(self, raw: bytes) -> bool:
        """Whether one of them may stand in these bytes."""
        return any(match[0].decode() in self.values for match in _PLACEHOLDER_BYTES.finditer(raw))

    def tail(self, text: str) -> str:
        """The end of a text that may be the beginning of a placeholder; empty when it cannot be."""
        at = text.rfind("[")
        if at < 0:
            return ""
        if self._begun is None:
            self._begun = frozenset(made[:size] for made in self.values for size in range(1, len(made)))
        return end if (end := text[at:]) in self._begun else ""


def _json_in(text: str) -> Any:
    """The object or list that a text writes down; None for other texts, and where a key stands twice."""
    stripped = text.strip()
    if stripped[:1] not in {"{", "["} or stripped[-1:] not in {"}", "]"}:
        return None
    try:
        raw = stripped.encode()
        found = exact.read(raw)
        plain = exact.doubled(raw, found) is None  # else what is read is not all that was said
    except (ValueError, TypeError, RecursionError):
        return None
    return found if plain and (exact.is_object(found) or exact.is_list(found)) else None
