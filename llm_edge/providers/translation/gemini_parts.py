"""
Content, piece by piece: the parts of a chat message and Google's.

What a Google part has that chat has no field for rides along under `gemini`: the whole part when
the chat part only stands in for it, else the fields to be put back.
"""

from __future__ import annotations

import re
from typing import Any

from ...message import Json
from ..cargo import camel, mapping, objects, string
from .anthropic_parts import data_url
from .core import Exchange
from .marks import PACKED, is_marked, marked, whose

EXTRA = "gemini"
"""Where in the chat form Google's own things ride along."""
MAKER = "google"
"""Whose signatures are Google's, in marks and in `extra_content`."""

_AUDIO = {"wav": "audio/wav", "mp3": "audio/mp3", "mpeg": "audio/mp3", "pcm16": "audio/l16"}
_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3"}
_ENDINGS = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "html": "text/html",
    "csv": "text/csv",
    "md": "text/md",
    "json": "application/json",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "mp4": "video/mp4",
    "mov": "video/mov",
    "webm": "video/webm",
}
_ENDING = re.compile(r"\.([A-Za-z0-9]{2,4})(?:[?#].*)?$")
_LINKS = ("https://", "http://", "gs://")
_FILES = "https://generativelanguage.googleapis.com/v1beta/"
_DETAILS = {"low": "LOW", "high": "HIGH", "original": "HIGH"}
_CACHE_MARKS = frozenset({"cache_control", "prompt_cache_breakpoint"})
_READ = frozenset({"type", "text", "image_url", "video_url", "file", "input_audio", "refusal", EXTRA}) | _CACHE_MARKS
_PLAIN = frozenset({"text", "thought", "thoughtSignature"})


# ------------------------------------------------------------------ signatures


def signature_to_chat(value: Any) -> str:
    """A thoughtSignature as the chat form has it: with its maker's mark."""
    text = string(value)
    if text.startswith(PACKED):  # Google's field is base64: another's signature stands there as base64 of its mark
        import base64  # seldom

        padded = text + "=" * (-len(text) % 4)
        return base64.urlsafe_b64decode(padded.replace("+", "-").replace("/", "_")).decode(errors="replace")
    return marked(MAKER, text)


def signature_from_chat(signature: str) -> str:
    """A signature of the chat form as a thoughtSignature: Google's own as it was, another's as base64 of its mark."""
    maker, own = whose(signature)
    if maker == MAKER:
        return own
    import base64  # as above

    return base64.b64encode((signature if is_marked(signature) else marked(maker, own)).encode()).decode()


def own_signature(block: Json) -> str:
    """The signature on a thinking block when it is Google's."""
    maker, own = whose(string(block.get("signature")))
    return own if maker == MAKER else ""


# ------------------------------------------------------------------ chat to Google


class Parts:
    """Writes content down as Google's parts, for one request."""

    __slots__ = ("_exchange", "_new", "_told", "_vertex")

    def __init__(self, exchange: Exchange, *, new: bool) -> None:
        self._exchange = exchange
        self._new = new
        self._vertex = exchange.provider.startswith("vertex")
        self._told: set[str] = set()

    def once(self, field: str, why: str) -> None:
        """Tells what is lost, once for the whole request."""
        if field not in self._told:
            self._told.add(field)
            self._exchange.lost(field, why)

    def all(self, content: Any, place: str) -> list[Json]:
        """The parts for a message's content; empty texts are left out."""
        if isinstance(content, str):
            return [{"text": content}] if content else []
        found: list[Json] = []
        if content is not None and not isinstance(content, list):
            raise self._exchange.impossible(f"{place}.content", "it is neither a text nor a list of parts")
        for index, part in enumerate(objects(content)):
            if part.get("type", "text") == "text" and not part.get("text") and EXTRA not in part:
                continue
            found.append(self.one(part, f"{place}.content[{index}]"))
        return found

    def one(self, part: Json, place: str) -> Json:
        """One part. Raises InvalidRequest for what Google cannot be told."""
        extra = mapping(part.get(EXTRA))
        if extra.get("whole"):
            return mapping(extra["whole"])
        kind = part.get("type", "text")
        made: dict[str, Any]
        if kind == "text":
            made = {"text": string(part.get("text"))}
        elif kind == "refusal":
            made = {"text": string(part.get("refusal"))}
        elif kind == "image_url":
            image = mapping(part.get("image_url"))
            made = self._linked(string(image.get("url")), "image/jpeg", f"{place}.image_url.url")
            self._detail(made, image.get("detail"), place)
        elif kind == "video_url":
            made = self._linked(string(mapping(part.get(kind)).get("url")), "video/mp4", f"{place}.{kind}.url")
        elif kind == "input_audio":
            made = self._audio(mapping(part.get("input_audio")), place)
        elif kind == "file":
            made = self._file(mapping(part.get("file")), place)
        else:
            raise self._exchange.impossible(place, f"Google takes no content of type {kind!r}; send text, media, files")
        if len(part) > 2:
            self._rest(part, place)
            made.update(extra)
        return made

    def _rest(self, part: Json, place: str) -> None:
        if not part.keys().isdisjoint(_CACHE_MARKS):
            self.cached("messages[].content[].cache_control")
        for name in part.keys() - _READ:
            if part[name]:
                self._exchange.lost(f"{place}.{name}", "Google has nothing like it")

    def cached(self, field: str) -> None:
        """A mark where the prompt is to be cached."""
        self.once(field, "Google caches prompts by itself, or by a cachedContent made before")

    def _detail(self, made: dict[str, Any], detail: Any, place: str) -> None:
        level = _DETAILS.get(string(detail))
        if level is None:
            return
        if self._new:
            made["mediaResolution"] = {"level": f"MEDIA_RESOLUTION_{level}"}
        else:
            self._exchange.lost(f"{place}.image_url.detail", f"{self._exchange.model} takes none for a single image")

    def _linked(self, url: str, kind: str, place: str) -> dict[str, Any]:
        data = data_url(url) if url[:5].lower() == "data:" else None
        if data is not None:
            return {"inlineData": {"mimeType": data.kind or kind, "data": data.data}}
        if not url.startswith(_LINKS):
            raise self._exchange.impossible(place, "it is neither an address (https://, gs://) nor a data URL")
        ending = _ENDING.search(url)
        found = _ENDINGS.get(ending[1].lower()) if ending else None
        return {"fileData": {"fileUri": url, "mimeType": found or kind}}

    def _audio(self, audio: Json, place: str) -> dict[str, Any]:
        form = string(audio.get("format"))
        data = string(audio.get("data"))
        if not data:
            raise self._exchange.impossible(f"{place}.input_audio.data", "there is none; send the sound in base64")
        return {"inlineData": {"mimeType": _AUDIO.get(form, f"audio/{form}"), "data": data}}

    def _file(self, file: Json, place: str) -> dict[str, Any]:
        identity = string(file.get("file_id"))
        name = string(file.get("filename"))
        if identity:
            if identity.startswith("file-"):
                raise self._exchange.impossible(
                    f"{place}.file.file_id", "this file lies with OpenAI; send it as file_data, or upload it to Google"
                )
            ending = _ENDING.search(name)
            kind = _ENDINGS.get(ending[1].lower()) if ending else None
            uri = _FILES + identity if identity.startswith("files/") else identity
            made: dict[str, Any] = {"fileData": {"fileUri": uri, **({"mimeType": kind} if kind else {})}}
        else:
            url = string(file.get("file_data") or file.get("file_url"))
            made = self._linked(url, "application/pdf", f"{place}.file.file_data")
        if name and self._vertex:
            next(iter(made.values()))["displayName"] = name
        elif name:
            self.once("messages[].content[].file.filename", "Google's Developer API takes no names of files")
        return made


# ------------------------------------------------------------------ Google to chat


def part_to_chat(part: Json) -> Json:
    """A caller's part in the chat form; one that chat has nothing like is told in text and rides along whole."""
    if "text" in part and part.keys() <= _PLAIN:
        return {"type": "text", "text": string(part["text"])}
    media = camel(mapping(part.get("inlineData")))
    link = camel(mapping(part.get("fileData")))
    used = "inlineData"
    made: dict[str, Any]
    if media:
        kind = string(media.get("mimeType"))
        made = _media(kind, f"data:{kind};base64,{string(media.get('data'))}", media)
    elif link:
        used = "fileData"
        made = _media(string(link.get("mimeType")), string(link.get("fileUri")), link)
    else:
        return {"type": "text", "text": in_words(part), EXTRA: {"whole": part}}
    rest = {name: value for name, value in part.items() if name != used and value is not None}
    if rest:
        made[EXTRA] = {**made.get(EXTRA, {}), **rest}
    return made


def _media(kind: str, url: str, item: Json) -> dict[str, Any]:
    name = string(item.get("displayName"))
    if kind.startswith("image/") or (not kind and url.startswith(_LINKS)):
        return {"type": "image_url", "image_url": {"url": url}}
    if kind.startswith("video/"):
        return {"type": "video_url", "video_url": {"url": url}}
    if kind in _FORMATS and "data" in item:
        return {"type": "input_audio", "input_audio": {"data": item["data"], "format": _FORMATS[kind]}}
    field = "file_data" if "data" in item else "file_url"
    ending = next((ending for ending, known in _ENDINGS.items() if known == kind), "bin")
    made: dict[str, Any] = {"type": "file", "file": {"filename": name or f"file.{ending}", field: url}}
    return made


def in_words(part: Json) -> str:
    """What a part is that chat has nothing like."""
    code = camel(mapping(part.get("executableCode")))
    if code:
        return f"```{string(code.get('language')).lower()}\n{string(code.get('code'))}\n```"
    result = camel(mapping(part.get("codeExecutionResult")))
    if result:
        return string(result.get("output"))
    return string(part.get("text")) or f"[{next(iter(part), 'content')}]"
