"""A wire request in the terms of an engine: an address, header fields, a body that may be streamed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from ...message import ByteSource, Headers
from ...providers.base import Wire
from ...runtime import drive
from .faults import failed

_PLAIN = re.compile(r"https?://[A-Za-z0-9.\-]+(:[0-9]{1,5})?(/[!-~]*)?", re.ASCII)
_FIELD = re.compile(r"[\t -~\x80-\U0010ffff]*")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class Address(NamedTuple):
    """Where a request goes, in pieces."""

    url: str
    scheme: str
    host: str
    port: int
    target: str
    authority: str
    """Host and port as a Host header says them."""


def address(url: str) -> Address:
    """The pieces of a URL; raises NetworkFailed when it is none we can send to."""
    if not _PLAIN.fullmatch(url):
        url = _normal(url)
    plain = url.partition("#")[0]
    try:
        parts = urlsplit(plain)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise failed("LocalProtocolError", "the address is not a URL") from None
    if parts.scheme not in ("http", "https"):
        raise failed("UnsupportedProtocol")
    if not host:
        raise failed("LocalProtocolError", "the address names no host")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    usual = 443 if parts.scheme == "https" else 80
    named = f"[{host}]" if ":" in host else host
    authority = named if port in (None, usual) else f"{named}:{port}"
    return Address(plain, parts.scheme, host, port or usual, target, authority)


def _normal(url: str) -> str:
    # What is not plain ASCII, has a user name in it or is an IPv6 address goes through httpx2's own URL.
    import httpx2

    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, UnicodeError):
        raise failed("LocalProtocolError", "the address is not a URL") from None
    return str(parsed.copy_with(userinfo=b""))


def unwritable(wire: Wire) -> str:
    """What of a request HTTP does not allow, without showing any of it; empty when all is well."""
    if not _NAME.fullmatch(wire.method):
        return "the method is not a word"
    for name, value in wire.headers.pairs:
        if not _NAME.fullmatch(name):
            return "the name of a header has characters HTTP does not allow"
        if not _FIELD.fullmatch(value) or value != value.strip():
            return f"the header {name} has characters HTTP does not allow, such as a line break"
    return ""


def has_body(wire: Wire) -> bool:
    """Whether a body is sent at all, an empty one included."""
    return bool(wire.content) or wire.upload is not None or wire.method in _WITH_BODY


class Upload:
    """A body that can be sent once, as engines that block and engines that await take it."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.started = False
        self.error: BaseException | None = None
        """The source's own failure, which is the caller's and not the network's."""

    def blocking(self) -> Iterator[bytes]:
        while (chunk := drive(self._next())) is not None:
            yield chunk

    async def awaited(self) -> AsyncIterator[bytes]:
        while (chunk := await self._next()) is not None:
            yield chunk

    async def _next(self) -> bytes | None:
        self.started = True
        try:
            return await self._source.__anext__()
        except StopAsyncIteration:
            return None
        except BaseException as error:
            self.error = error
            raise


def readable(pairs: list[tuple[bytes, bytes]]) -> Headers:
    """Header fields as text: UTF-8 where they are, else byte for byte."""
    try:
        return Headers([(name.decode("ascii"), value.decode("ascii")) for name, value in pairs])
    except UnicodeDecodeError:
        return Headers([(name.decode("latin-1"), _text(value)) for name, value in pairs])


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
