"""
Content, piece by piece: the parts of a chat message and the blocks of Anthropic's.

What a block has that a part has no field for rides along under `anthropic`: the whole block when
the part only stands in for it (it has a `type` then), else the fields to be put back.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from ...message import Json
from ..cargo import listing, mapping, objects, string
from .core import Exchange

EXTRA = "anthropic"
"""Where in the chat form Anthropic's own things ride along."""
_UNTITLED = "document.pdf"
"""What a document without a title is called where it must have a name."""

_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_MAGIC = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("JVBERi0", "application/pdf"),
)
_READ = frozenset(("type", "text", "image_url", "file", "refusal", "cache_control", "prompt_cache_breakpoint", EXTRA))
_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^,]*)?),", re.IGNORECASE)


class Data(NamedTuple):
    """A data URL taken apart: its type, and base64."""

    kind: str
    data: str


def data_url(url: str) -> Data | None:
    """The data in the URL, its type corrected by its first bytes; None when it is no data URL."""
    match = _DATA_URL.match(url)
    if match is None:
        return None
    data = url[match.end() :]
    if "base64" not in match[2].lower():
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    kind = match[1].strip().lower()
    kind = "image/jpeg" if kind == "image/jpg" else kind
    return Data(next((found for magic, found in _MAGIC if data.startswith(magic)), kind), data)


# ------------------------------------------------------------------ chat to Anthropic


def listed(value: Any, place: str, exchange: Exchange) -> list[Json]:
    """A list of objects, or nothing; anything else is refused, for leaving it out would hide a mistake."""
    if value is None:
        return []
    found = objects(value)
    if not isinstance(value, list) or len(found) != len(listing(value)):
        raise exchange.impossible(place, "it is not a list of objects")
    return found


def stop_sequences(name: str, value: Any, exchange: Exchange, vendor: str) -> list[str]:
    """What ends an answer, one or several, without what is white space alone."""
    if not isinstance(value, str | list):
        raise exchange.impossible(name, "it is neither a string nor a list of strings")
    given = [value] if isinstance(value, str) else listing(value)
    kept = [each for each in given if isinstance(each, str) and each.strip()]
    if len(kept) < len(given):
        exchange.lost(name, f"{vendor} takes no stop sequence of white space alone")
    return kept


def blocks(content: Any, place: str, exchange: Exchange) -> list[Json]:
    """The blocks for a message's content; texts without a word are left out, for Anthropic refuses them."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    found: list[Json] = []
    for index, part in enumerate(listed(content, f"{place}.content", exchange)):
        if part.get("type", "text") == "text" and EXTRA not in part and not string(part.get("text")).strip():
            continue
        found.append(block(part, f"{place}.content[{index}]", exchange))
    return found


def block(part: Json, place: str, exchange: Exchange) -> Json:
    """One part as a block."""
    extra = mapping(part.get(EXTRA))
    if extra.get("type"):
        return extra
    made = _made(part, place, exchange)
    if len(part) > 2:
        made.update(extra)
        mark = cache_mark(part)
        if mark is not None:
            made["cache_control"] = mark
        for name in part.keys() - _READ:
            exchange.lost(f"{place}.{name}", "Anthropic has nothing like it")
    return made


def _made(part: Json, place: str, exchange: Exchange) -> dict[str, Any]:
    kind = part.get("type", "text")
    if kind == "text":
        return {"type": "text", "text": string(part.get("text"))}
    if kind == "image_url":
        return {"type": "image", "source": _image(mapping(part.get("image_url")), place, exchange)}
    if kind == "file":
        return _file(mapping(part.get("file")), place, exchange)
    if kind == "refusal":
        return {"type": "text", "text": string(part.get("refusal"))}
    raise exchange.impossible(place, f"Anthropic takes no content of type {kind!r}; send text, images or documents")


def cache_mark(item: Json) -> Json | None:
    """The prompt-cache mark on a part, message or tool, however it is spelled."""
    mark = item.get("cache_control")
    if mark:
        return mapping(mark) or None
    asked = mapping(item.get("prompt_cache_breakpoint"))
    if not asked:
        return None
    return {"type": "ephemeral", "ttl": "1h"} if asked.get("ttl") else {"type": "ephemeral"}


def _image(image: Json, place: str, exchange: Exchange) -> Json:
    if image.get("detail") not in (None, "auto"):
        exchange.lost(f"{place}.image_url.detail", "Anthropic always looks at the whole image")
    url = string(image.get("url"))
    data = data_url(url)
    if data is None:
        return _link(url, f"{place}.image_url.url", exchange)
    if data.kind not in _IMAGES:
        raise exchange.impossible(
            f"{place}.image_url.url", f"Anthropic takes JPEG, PNG, GIF and WebP images, not {data.kind or 'this'}"
        )
    return {"type": "base64", "media_type": data.kind, "data": data.data}


def _link(url: str, place: str, exchange: Exchange) -> Json:
    if not url.startswith(("https://", "http://")):
        raise exchange.impossible(place, "it is neither an http(s) address nor a data URL")
    return {"type": "url", "url": url}


def _file(file: Json, place: str, exchange: Exchange) -> dict[str, Any]:
    name = file.get("filename")
    title = {"title": name} if name and name != _UNTITLED else {}
    identity = string(file.get("file_id"))
    if identity:
        if identity.startswith("file-"):
            raise exchange.impossible(
                f"{place}.file.file_id", "this file lies with OpenAI; send it as file_data, or upload it to Anthropic"
            )
        return {"type": "document", "source": {"type": "file", "file_id": identity}, **title}
    url = string(file.get("file_data") or file.get("file_url"))
    data = data_url(url)
    if data is None:
        return {"type": "document", "source": _link(url, f"{place}.file.file_data", exchange), **title}
    if data.kind == "application/pdf":
        source: Json = {"type": "base64", "media_type": data.kind, "data": data.data}
    elif data.kind in _IMAGES:
        return {"type": "image", "source": {"type": "base64", "media_type": data.kind, "data": data.data}}
    elif data.kind.startswith("text/") or data.kind == "application/json":
        source = {"type": "text", "media_type": "text/plain", "data": _text(data, place, exchange)}
    else:
        raise exchange.impossible(
            f"{place}.file.file_data", f"Anthropic takes PDF and plain text, not {data.kind or 'this'}"
        )
    return {"type": "document", "source": source, **title}


def _text(data: Data, place: str, exchange: Exchange) -> str:
    try:
        return base64.b64decode(data.data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise exchange.impossible(f"{place}.file.file_data", "it is not base64 of text in UTF-8") from None


# ------------------------------------------------------------------ Anthropic to chat


def parts(content: Any) -> str | list[Json]:
    """The parts for a message's content: a string where nothing but plain text is there."""
    if isinstance(content, str):
        return content
    return simplest([part(block) for block in objects(content)])


def simplest(found: Sequence[Json]) -> str | list[Json]:
    """One plain text as a string; anything else as it is."""
    if len(found) == 1 and found[0]["type"] == "text" and len(found[0]) == 2:
        return string(found[0]["text"])
    return list(found)


def part(block: Json) -> Json:
    """One block as a part; one that chat has nothing like is told in text and rides along whole."""
    kind = block.get("type")
    source = mapping(block.get("source"))
    used: tuple[str, ...] = ("type", "source", "cache_control")
    if kind == "text":
        made: dict[str, Any] = {"type": "text", "text": string(block.get("text"))}
        used = ("type", "text", "cache_control")
    elif kind == "image" and source.get("type") in ("base64", "url"):
        made = {"type": "image_url", "image_url": {"url": _url(source)}}
    elif kind == "document" and source.get("type") in ("base64", "url"):
        where = "file_url" if source["type"] == "url" else "file_data"
        made = {"type": "file", "file": {"filename": block.get("title") or _UNTITLED, where: _url(source)}}
        used = (*used, "title")
    else:
        made = {"type": "text", "text": _in_words(block), EXTRA: dict(block)}
        used = tuple(block)
    rest = {name: value for name, value in block.items() if name not in used and value is not None}
    if rest:
        made[EXTRA] = rest
    if block.get("cache_control"):
        made["cache_control"] = block["cache_control"]
    return made


def _url(source: Json) -> str:
    if source.get("type") == "url":
        return string(source.get("url"))
    return f"data:{string(source.get('media_type'))};base64,{string(source.get('data'))}"


def _in_words(block: Json) -> str:
    """The text in a block that chat has nothing like, under its title."""
    source = block.get("source")
    inside = mapping(source)
    body = inside.get("data") if inside.get("type") == "text" else inside.get("content") or block.get("content")
    text = body if isinstance(body, str) else "\n".join(string(piece.get("text")) for piece in objects(body))
    title = string(block.get("title"))
    lines = [title, source if isinstance(source, str) else "", text]
    return "\n".join(line for line in lines if line) or f"[{string(block.get('type')) or 'content'}]"
