"""
Requests and answers of httpx, put together in one step; the twin for httpx2 differs in the library's name alone.

httpx's own constructors go over each header field, and SDKs then ask for a dozen of them, each by a walk through all.
Here the fields are known already. `FAMILIAR` says whether httpx still keeps what these need as it did when this was
written; if not, everything goes its own way.
"""

from __future__ import annotations

from typing import Any, Final

import httpx

from .. import exact
from ..message import Headers
from .face import RawPairs, raw_pairs

_LENGTH: Final = "content-length"
_FRAMING = frozenset({_LENGTH, "transfer-encoding"})


class Known(httpx.Headers):
    """
    Header fields of which each is found at once; those that were changed are looked for as httpx does.

    The list that httpx keeps them in is made when somebody looks at it: most of the time nobody does.
    """

    def __init__(self, known: Headers, length: int | None = None) -> None:
        """`known`: the fields, in ASCII; `length` of the content, where they do not say it."""
        self._encoding = None
        self.known: Headers | None = known
        self._named = known.named
        self._length = length

    def __getattr__(self, name: str) -> Any:
        if name != "_list" or self.known is None:
            raise AttributeError(name)
        fields = [(name.encode(), name.lower().encode(), value.encode()) for name, value in self.known.pairs]
        if self._length is not None:
            fields.append((b"Content-Length", b"content-length", b"%d" % self._length))
        self._list = fields
        return fields

    def get(self, key: str, default: Any = None) -> Any:
        """As httpx's."""
        if self.known is not None:
            self._encoding = "ascii"  # as it would have found out
            lowered = key.lower()
            if lowered in self._named:
                return self._named[lowered]
            if lowered.isascii() and lowered != _LENGTH:
                return default
        return super().get(key, default)

    def __getitem__(self, key: str) -> str:
        found = None
        if self.known is not None:
            self._encoding = "ascii"
            found = self.known.get(key)
        return super().__getitem__(key) if found is None else found

    def __contains__(self, key: Any) -> bool:
        return self.get(key) is not None

    def _change(self) -> None:
        self._list = list(self._list)  # made now, if nobody has looked at it
        self.known = None

    def __setitem__(self, key: str, value: str) -> None:
        self._change()
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self._change()
        super().__delitem__(key)

    def update(self, headers: Any = None) -> None:  # type: ignore[override]  # as httpx's own
        """As httpx's."""
        self._change()
        super().update(headers)

    def __repr__(self) -> str:
        return repr(httpx.Headers(self))

    def __reduce__(self) -> Any:
        return httpx.Headers, (self.raw, self.encoding)


class Whole(httpx.Response):
    """An answer whose bytes are here."""

    def read(self) -> bytes:
        """The bytes, which are here. What was read is closed: the client above learns from that how long it took."""
        content = super().read()
        if not self.is_closed:
            self.is_closed = self.is_stream_consumed = True
            assert isinstance(self.stream, httpx.SyncByteStream), "a sync client reads here"
            self.stream.close()
        return content

    async def aread(self) -> bytes:
        """The same for event loops."""
        content = await super().aread()
        if not self.is_closed:
            self.is_closed = self.is_stream_consumed = True
            assert isinstance(self.stream, httpx.AsyncByteStream), "an async client reads here"
            await self.stream.aclose()
        return content

    def json(self, **given: Any) -> Any:
        """As httpx reads it, by a faster reader where that gives the same."""
        if not given:
            try:
                return exact.read(self.content)
            except ValueError:
                pass
        return super().json(**given)


def whole(status: int, known: Headers, content: bytes, request: httpx.Request) -> httpx.Response:
    """An answer whose bytes are here: httpx would wind them through its decoders."""
    if not FAMILIAR:
        return Whole(status, headers=raw_pairs(known.pairs), content=content, request=request)
    if "content-encoding" in known or not "".join(map("".join, known.pairs)).isascii():
        return unread(status, raw_pairs(known.pairs), content, request)
    sized = not content or not known.lack(_FRAMING)
    return _answered(status, Known(known, None if sized else len(content)), content, request)


def unread(status: int, fields: RawPairs, content: bytes, request: httpx.Request) -> httpx.Response:
    """The same as httpx makes it, but not read yet: it reads what it is given at once, and then gives no raw bytes."""
    made = Whole(status, headers=fields, content=content, request=request)
    made.is_closed = made.is_stream_consumed = False
    return made


def _answered(status: int, headers: httpx.Headers, content: bytes, request: httpx.Request) -> httpx.Response:
    made = Whole.__new__(Whole)
    made.__dict__ = {
        "status_code": status, "headers": headers, "_request": request, "next_request": None, "extensions": {},
        "history": [], "is_closed": False, "is_stream_consumed": False, "default_encoding": "utf-8",
        "stream": httpx.ByteStream(content), "_content": content, "_num_bytes_downloaded": len(content),
    }  # fmt: skip
    return made


def asked(method: str, url: httpx.URL, headers: httpx.Headers, content: bytes, timeout: httpx.Timeout) -> httpx.Request:
    """A request whose bytes are here; the URL is the very one given, and not a copy."""
    made = httpx.Request.__new__(httpx.Request)
    made.__dict__ = {
        "method": method.upper(), "url": url, "headers": headers, "extensions": {"timeout": timeout.as_dict()},
        "stream": httpx.ByteStream(content), "_content": content,
    }  # fmt: skip
    return made


def _familiar() -> bool:
    headers = httpx.Headers([(b"A", b"b")])
    request = httpx.Request("POST", "http://a", content=b"c")
    answered = httpx.Response(200, stream=httpx.ByteStream(b"c"))
    return (
        vars(headers) == {"_list": [(b"A", b"a", b"b")], "_encoding": None}
        and vars(request).keys() == vars(asked("POST", request.url, headers, b"c", httpx.Timeout(1.0))).keys()
        and vars(answered).keys() | {"_content"} == vars(_answered(200, headers, b"c", request)).keys()
    )


FAMILIAR: Final = _familiar()
