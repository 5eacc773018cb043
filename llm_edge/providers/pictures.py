"""
Pictures that a conversation names by an address: where they stand in each format, and what they become as data.

Some places fetch nothing from the web: Bedrock, Claude on Vertex AI, Ollama. To them a picture has to be brought.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ..exact import is_list, is_object
from ..message import Json
from .base import Target

_KINDS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
"""First bytes, and the type that they tell of."""
_WORDS: Final = ("messages", "input", "contents")
_INSIDE: Final = ("content", "parts", "output")


class Picture(NamedTuple):
    """A picture as data."""

    kind: str
    """Its media type."""
    data: str
    """Base64."""


def takes_data_alone(target: Target) -> bool:
    """Whether this place fetches no pictures by itself."""
    return target.vendor in {"bedrock", "ollama"} or (target.vendor == "vertex" and target.model.startswith("claude"))


def kind_of(raw: bytes) -> str:
    """The media type that the first bytes tell of; empty when they are no picture that models take."""
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _KINDS if raw.startswith(magic)), "")


def named(body: Json) -> list[str]:
    """The addresses of pictures on the web in a conversation, each once."""
    found: dict[str, None] = {}

    def note(address: str) -> None:
        found[address] = None

    _walked(body, note)
    return list(found)


def brought(body: Json, pictures: Mapping[str, Picture]) -> Json:
    """The same conversation with pictures in place of their addresses."""
    return _walked(body, pictures.get)


_Give = Callable[[str], Picture | None]


def _walked(body: Json, give: Callable[[str], Any]) -> Json:
    changed = {name: _value(body[name], give) for name in _WORDS if name in body}
    return {**body, **changed} if any(changed[name] is not body[name] for name in changed) else body


def _value(value: Any, give: _Give) -> Any:
    if is_list(value):
        new = [_value(each, give) for each in value]
        return new if any(one is not other for one, other in zip(new, value, strict=True)) else value
    if not is_object(value):
        return value
    made = _part(value, give)
    if made is not None:
        return made
    inner = {name: _value(value[name], give) for name in _INSIDE if name in value}
    return {**value, **inner} if any(inner[name] is not value[name] for name in inner) else value


def _part(part: Json, give: _Give) -> Json | None:
    """One part of a message, with its picture; None where it has none that is to be brought."""
    kind, place = part.get("type"), part.get("image_url")
    if is_object(place) and _on_the_web(place.get("url")):  # OpenAI's chat
        picture = give(place["url"])
        return picture and {**part, "image_url": {**place, "url": _data_url(picture)}}
    if kind == "input_image" and _on_the_web(place):  # OpenAI's Responses
        picture = give(str(place))
        return picture and {**part, "image_url": _data_url(picture)}
    source = part.get("source")
    if kind == "image" and is_object(source) and _on_the_web(source.get("url")):  # Anthropic
        picture = give(source["url"])
        return picture and {
            **part,
            "source": {"type": "base64", "media_type": picture.kind, "data": picture.data},
        }
    file = part.get("fileData")
    if is_object(file) and _on_the_web(file.get("fileUri")) and _is_image(file.get("mimeType")):
        picture = give(file["fileUri"])  # Gemini
        rest = {name: value for name, value in part.items() if name != "fileData"}
        return picture and {**rest, "inlineData": {"mimeType": picture.kind, "data": picture.data}}
    return None


def _is_image(kind: Any) -> bool:
    """By its declared type; one that is not declared may be one."""
    return not isinstance(kind, str) or kind.startswith("image/")


def _on_the_web(address: Any) -> bool:
    return isinstance(address, str) and address[:8].lower().startswith(("http://", "https://"))


def _data_url(picture: Picture) -> str:
    return f"data:{picture.kind};base64,{picture.data}"
