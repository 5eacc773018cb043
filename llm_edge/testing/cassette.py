"""
Recordings of real exchanges, kept as one JSON file and played back.

A cassette keeps no credential: headers by an allow-list, key parameters out of addresses,
and out of bodies both the credential of the request itself and all that looks like one. What is
compared on replay is what was kept, so a test passes with another key, or with none.

It does not keep timing: a recorded stream plays back at once.
"""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload
from urllib.parse import urlsplit

import orjson

from llm_edge.exact import has_long_number, read, same

from .acts import Act, Faults, acts_of
from .call import Asked, Call, Headers
from .dialects.frames import Reply
from .scrub import Scrubber

if TYPE_CHECKING:
    import httpx
    import httpx2

    from .provider import Library

Mode = Literal["none", "missing", "all"]
Entry = dict[str, Any]


class CassetteMiss(AssertionError):
    """The cassette has no answer for this request."""


class Cassette:
    """
    One file of recorded exchanges.

    `record` is what to do: "none" replays only, "missing" asks the real provider for what the
    file lacks, "all" asks for everything anew. Equal requests are answered in the order they were
    recorded, each answer once.
    """

    def __init__(self, path: Path, *, record: Mode = "none") -> None:
        """Raises ValueError when the file is no cassette."""
        self.path = path
        self.record: Mode = record
        self._lock = threading.Lock()
        self._entries: list[Entry] = [] if record == "all" else _load(path)
        self._played: set[int] = set()
        self._calls = 0

    @overload
    def transport(
        self, inner: httpx2.BaseTransport | None = None, *, library: Literal["httpx2"] = "httpx2"
    ) -> httpx2.BaseTransport: ...
    @overload
    def transport(
        self, inner: httpx.BaseTransport | None = None, *, library: Literal["httpx"]
    ) -> httpx.BaseTransport: ...
    def transport(
        self, inner: Any = None, *, library: Library = "httpx2"
    ) -> httpx2.BaseTransport | httpx.BaseTransport:
        """A sync transport that replays; what is to be recorded goes through `inner`, by default the network."""
        if library == "httpx2":
            from . import on_httpx2

            return on_httpx2.CassetteTransport(self, inner)
        from . import on_httpx

        return on_httpx.CassetteTransport(self, inner)

    @overload
    def async_transport(
        self, inner: httpx2.AsyncBaseTransport | None = None, *, library: Literal["httpx2"] = "httpx2"
    ) -> httpx2.AsyncBaseTransport: ...
    @overload
    def async_transport(
        self, inner: httpx.AsyncBaseTransport | None = None, *, library: Literal["httpx"]
    ) -> httpx.AsyncBaseTransport: ...
    def async_transport(
        self, inner: Any = None, *, library: Library = "httpx2"
    ) -> httpx2.AsyncBaseTransport | httpx.AsyncBaseTransport:
        """The same for async clients."""
        if library == "httpx2":
            from . import on_httpx2

            return on_httpx2.AsyncCassetteTransport(self, inner)
        from . import on_httpx

        return on_httpx.AsyncCassetteTransport(self, inner)

    def find(self, asked: Asked) -> tuple[Call, list[Act]] | None:
        """The recorded answer; None when it has to be recorded. Raises CassetteMiss when it may not be."""
        request = _request(asked)
        wanted = _fingerprint(request)
        with self._lock:
            self._calls += 1
            call = Call(asked, number=self._calls)
            known = [index for index, entry in enumerate(self._entries) if _fingerprint(entry["request"]) == wanted]
            left = [index for index in known if index not in self._played]
            if left:
                self._played.add(left[0])
                return call, _replay(self._entries[left[0]]["response"])
        if self.record != "none":
            return None
        raise CassetteMiss(self._missing(request, len(known)))

    def keep(
        self, asked: Asked, status: int, headers: Iterable[tuple[str, str]], body: bytes
    ) -> tuple[Call, list[Act]]:
        """
        Record one exchange, without its secrets, and play it to the one who asked.

        Raises ValueError on a body packed in a way we cannot read.
        """
        pairs = tuple(headers)
        scrubber = Scrubber(Headers(asked.headers), _url(asked))
        plain = _unpacked(body, Headers(pairs).get("content-encoding", ""))
        response = {"status": status, "headers": scrubber.response_headers(pairs)} | _kept(plain, scrubber)
        with self._lock:
            self._played.add(len(self._entries))
            self._entries.append({"request": _request(asked), "response": response})
            text = orjson.dumps({"version": 1, "exchanges": self._entries}, option=orjson.OPT_INDENT_2)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.path.with_suffix(f".{os.getpid()}.new")
            fresh.write_bytes(text + b"\n")
            fresh.replace(self.path)
            return Call(asked, number=self._calls), _replay(response)

    def _missing(self, request: Entry, known: int) -> str:
        what = f"{request['method']} {request['url']}"
        if known:
            return (
                f"{self.path.name} has {known} answer(s) for {what}, and this asks once more; record with --edge-record"
            )
        asked = ", ".join(sorted({f"{one['request']['method']} {one['request']['url']}" for one in self._entries}))
        body = str(request.get("json", request.get("text", "")))[:300]
        return (
            f"{self.path.name} has no answer for {what} with this body; record it with --edge-record. "
            f"It has: {asked or 'nothing'}. Asked with: {body}"
        )


def _load(path: Path) -> list[Entry]:
    if not path.exists():
        return []
    try:
        found = orjson.loads(path.read_bytes())
        entries: list[Entry] = found["exchanges"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no cassette ({error}); delete it and record anew") from None
    return entries


def _url(asked: Asked) -> str:
    return asked.origin + asked.target


def _request(asked: Asked) -> Entry:
    headers = Headers(asked.headers)
    scrubber = Scrubber(headers, _url(asked))
    kept = scrubber.request_headers(headers)
    body = asked.body
    kind, marker, boundary = kept.get("content-type", "").partition("boundary=")
    if marker:  # drawn anew for each request
        body = body.replace(boundary.encode(), b"boundary")
        kept["content-type"] = f"{kind}boundary=boundary"
    return {"method": asked.method, "url": scrubber.url(_url(asked)), "headers": kept} | _kept(body, scrubber)


def _kept(body: bytes, scrubber: Scrubber) -> Entry:
    """The body as JSON if it is that, else as text, else as base64."""
    try:
        text = scrubber.text(body.decode())
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(scrubber.binary(body)).decode()}
    try:
        value = orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return {"text": text}
    if has_long_number(body) and not same(value, read(text.encode())):
        return {"text": text}  # with a number that would not come back from the file
    return {"json": value} if text else {}


def _fingerprint(request: Entry) -> str:
    """What makes two requests the same: method, path with its query, and the body whatever its spelling."""
    url = urlsplit(str(request["url"]))
    body = {name: request[name] for name in ("json", "text", "base64") if name in request}
    seen = [request["method"], url.path, url.query, body]
    return hashlib.sha256(orjson.dumps(seen, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _replay(response: Entry) -> list[Act]:
    if "json" in response:
        body = orjson.dumps(response["json"])
    elif "base64" in response:
        body = base64.b64decode(response["base64"])
    else:
        body = response.get("text", "").encode()
    headers: dict[str, str] = response["headers"]
    streamed = "event-stream" in headers.get("content-type", "")
    frames = tuple(part for part in _events(body) if part) if streamed else (body,)
    return acts_of(Reply(response["status"], tuple(headers.items()), frames, streamed), Faults())


def _events(body: bytes) -> list[bytes]:
    separator = b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n"
    *whole, rest = body.split(separator)
    return [*(part + separator for part in whole), rest]


def _unpacked(body: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding in ("gzip", "deflate"):
        # 47: either a gzip or a zlib header
        return zlib.decompress(body, wbits=47)
    raise ValueError(f"a cassette cannot keep a body packed as {encoding!r}: secrets in it could not be found")
