"""
Content, piece by piece: the parts of a chat message and the blocks of Converse.

A block of Converse's is an object with one key, which says what it is. What chat has no part for rides
along whole under `bedrock`.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from ...message import Json
from ..bedrock_models import Family
from ..cargo import mapping, string
from .anthropic_parts import Data, cache_mark, data_url, listed
from .core import NOT_EMPTY, Exchange

EXTRA: Final = "bedrock"
"""Where in the chat form Bedrock's own things ride along."""

_IMAGES: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "application/json": "txt",
    "text/markdown": "md",
}
_VIDEOS: Final = {
    "video/x-matroska": "mkv",
    "video/quicktime": "mov",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
}
_UNFIT_NAME: Final = re.compile(r"[^A-Za-z0-9\s\-()\[\]]+")
_SPACES: Final = re.compile(r"\s+")
_READ: Final = frozenset(
    (
        "type",
        "text",
        "image_url",
        "file",
        "input_audio",
        "video_url",
        "refusal",
        "cache_control",
        "prompt_cache_breakpoint",
        "anthropic",
        EXTRA,
    )
)
_ABOUT: Final = frozenset(("context", "citations"))
"""What both Anthropic and Bedrock say of a document."""


class Content:
    """Writes the content of messages down; knows which names of documents are taken."""

    def __init__(self, exchange: Exchange, family: Family, *, hears: bool = True) -> None:
        self._exchange, self._family, self._hears = exchange, family, hears
        self._names: set[str] = set()

    def blocks(self, content: Any, place: str) -> list[Json]:
        """The blocks for a message's content; texts without a word are left out, for many models refuse them."""
        if isinstance(content, str):
            return [{"text": content}] if content.strip() else []
        found: list[Json] = []
        for index, part in enumerate(listed(content, f"{place}.content", self._exchange)):
            found += self._part(part, f"{place}.content[{index}]")
        return found

    def marked(self, item: Json, blocks: list[Json]) -> list[Json]:
        """The blocks with a cache point behind them, where the item asks for one."""
        mark = cache_mark(item)
        if mark is None or not blocks:
            return blocks
        if not self._family.cache:
            self._exchange.lost("cache_control", f"{self._exchange.model} has no prompt cache on Bedrock")
            return blocks
        ttl = {"ttl": "1h"} if mark.get("ttl") == "1h" else {}
        return [*blocks, {"cachePoint": {"type": "default", **ttl}}]

    def _part(self, part: Json, place: str) -> list[Json]:
        own = mapping(part.get(EXTRA))
        if own:
            return self.marked(part, [own])
        if part.get("type", "text") in ("text", "refusal"):
            text = string(part.get("text")) or string(part.get("refusal"))
            found: list[Json] = [{"text": text}] if text.strip() else []
        else:
            found = [self._made(part, place)]
        for name in part.keys() - _READ:
            self._exchange.lost(f"{place}.{name}", "Bedrock has nothing like it")
        theirs = mapping(part.get("anthropic"))
        if theirs.keys() - (_ABOUT if part.get("type") == "file" else ()):
            self._exchange.lost(f"{place}.anthropic", "it belongs to another dialect")
        return self.marked(part, found)

    def _made(self, part: Json, place: str) -> Json:
        kind = part.get("type")
        if kind == "image_url":
            return self._image(mapping(part.get("image_url")), f"{place}.image_url")
        if kind == "file":
            return self._about(self._file(mapping(part.get("file")), f"{place}.file"), part)
        if kind == "input_audio":
            if not self._hears:
                raise self._exchange.impossible(place, f"{self._exchange.model} hears nothing; send the words as text")
            audio = mapping(part.get("input_audio"))
            return {"audio": {"format": string(audio.get("format")), "source": {"bytes": string(audio.get("data"))}}}
        if kind == "video_url":
            return self._video(string(mapping(part.get("video_url")).get("url")), f"{place}.video_url.url")
        raise self._exchange.impossible(
            place, f"Bedrock takes no content of type {kind!r}; send text, images, documents, audio or video"
        )

    def _image(self, image: Json, place: str) -> Json:
        if image.get("detail") not in (None, "auto"):
            self._exchange.lost(f"{place}.detail", "Bedrock has nothing like it")
        url = string(image.get("url"))
        if url.startswith("s3://"):
            return {"image": {"format": _by_ending(url, "png"), "source": {"s3Location": {"uri": url}}}}
        data = self._data(url, f"{place}.url", "image")
        kind = _IMAGES.get(data.kind)
        if kind is None:
            raise self._exchange.impossible(
                f"{place}.url", f"Bedrock takes JPEG, PNG, GIF and WebP images, not {data.kind or 'this'}"
            )
        return {"image": {"format": kind, "source": {"bytes": data.data}}}

    def _video(self, url: str, place: str) -> Json:
        if url.startswith("s3://"):
            return {"video": {"format": _by_ending(url, "mp4"), "source": {"s3Location": {"uri": url}}}}
        data = self._data(url, place, "video")
        kind = _VIDEOS.get(data.kind)
        if kind is None:
            raise self._exchange.impossible(place, f"Bedrock takes no video of type {data.kind or 'unknown'}")
        return {"video": {"format": kind, "source": {"bytes": data.data}}}

    def _file(self, file: Json, place: str) -> Json:
        if file.get("file_id"):
            raise self._exchange.impossible(f"{place}.file_id", "Bedrock stores no files; send it as file_data")
        name = string(file.get("filename"))
        url = string(file.get("file_data") or file.get("file_url"))
        if url.startswith("s3://"):
            source: Json = {"s3Location": {"uri": url}}
            kind = _by_ending(url, "pdf")
        else:
            data = self._data(url, f"{place}.file_data", "document")
            if data.kind in _IMAGES:
                return {"image": {"format": _IMAGES[data.kind], "source": {"bytes": data.data}}}
            source = {"bytes": data.data}
            found = _DOCUMENTS.get(data.kind)
            if found is None:
                raise self._exchange.impossible(
                    f"{place}.file_data",
                    f"Bedrock takes PDF, CSV, Word, Excel, HTML, Markdown and plain text, not {data.kind or 'this'}",
                )
            kind = found
        return {"document": {"format": kind, "name": self._name(name), "source": source}}

    def _about(self, made: Json, part: Json) -> Json:
        """A document with what else is said of it, which both vendors know by the same words."""
        said = {name: value for name, value in mapping(part.get("anthropic")).items() if name in _ABOUT}
        return {"document": {**made["document"], **said}} if said and "document" in made else made

    def _name(self, name: str) -> str:
        """A document's name as Bedrock takes it: few characters, and no two alike in one request."""
        stem = name.rpartition(".")[0] or name
        fit = _SPACES.sub(" ", _UNFIT_NAME.sub(" ", stem)).strip()[:190] or "document"
        told, number = fit, 2
        while told in self._names:
            told, number = f"{fit} {number}", number + 1
        self._names.add(told)
        return told

    def _data(self, url: str, place: str, what: str) -> Data:
        data = data_url(url)
        if data is None:
            raise self._exchange.impossible(
                place, f"Bedrock fetches nothing from the web; send the {what} as a data URL, or an s3:// address"
            )
        try:
            base64.b64decode(data.data, validate=True)
        except (binascii.Error, ValueError):
            raise self._exchange.impossible(place, f"the data URL of the {what} does not hold base64") from None
        return data


def _by_ending(url: str, otherwise: str) -> str:
    ending = url.rpartition(".")[2].lower()
    known = {"jpg": "jpeg", "3gp": "three_gp"}
    return known.get(ending, ending) if ending.isalnum() and len(ending) < 6 else otherwise


def with_words(blocks: list[Json]) -> list[Json]:
    """The blocks with a word beside a document, which Bedrock does not take alone."""
    if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
        return [*blocks, {"text": NOT_EMPTY}]
    return blocks


def part(block: Json) -> Json:
    """One block as a part; one that chat has nothing like rides along whole."""
    if "text" in block:
        return {"type": "text", "text": string(block["text"])}
    for name, kinds in (("image", _IMAGES), ("video", _VIDEOS), ("document", _DOCUMENTS)):
        inner = mapping(block.get(name))
        data = string(mapping(inner.get("source")).get("bytes"))
        mime = next((mime for mime, kind in kinds.items() if kind == inner.get("format")), "")
        if data and mime and name != "document":
            return {"type": f"{name}_url", f"{name}_url": {"url": f"data:{mime};base64,{data}"}}
        if data and mime:
            file = {"filename": string(inner.get("name")), "file_data": f"data:{mime};base64,{data}"}
            said = {key: inner[key] for key in inner if key in _ABOUT}
            return {"type": "file", "file": file, **({"anthropic": said} if said else {})}
        place = mapping(mapping(inner.get("source")).get("s3Location"))
        if place and name != "document":
            whole = {EXTRA: dict(block)} if "bucketOwner" in place else {}
            return {"type": f"{name}_url", f"{name}_url": {"url": string(place.get("uri"))}, **whole}
    audio = mapping(block.get("audio"))
    data = string(mapping(audio.get("source")).get("bytes"))
    if data:
        return {"type": "input_audio", "input_audio": {"data": data, "format": string(audio.get("format"))}}
    guarded = mapping(mapping(block.get("guardContent")).get("text"))
    return {
        "type": "text",
        "text": string(guarded.get("text")) or f"[{next(iter(block), 'content')}]",
        EXTRA: dict(block),
    }
