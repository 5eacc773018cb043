"""The place the caller's own SDK pointed at: the request goes there as it came, credential and all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..message import Body, Headers, Request
from .base import Target, Wire
from .sigv4 import ALGORITHM, signed_names

_OURS: Final = "x-llm-edge-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """Sends a request where it was sent to. The only adapter that passes on a caller's credential."""

    name: str = "addressed"

    def speaks(self, dialect: str, /) -> bool:
        return True

    def encode(self, request: Request, target: Target, /) -> Wire:
        headers = request.headers
        if headers.get("authorization", "").startswith(ALGORITHM):
            headers = _as_signed(headers)
        elif request.dialect != "opaque":
            headers = headers.once(_to_stream if request.streaming else _to_answer)
        elif not all(map(_is_theirs, headers)):
            headers = Headers(pair for pair in headers.pairs if _is_theirs(pair[0].lower()))
        untouched = headers is request.headers
        return Wire(
            method=request.method,
            url=request.url,
            headers=headers,
            content=b"" if request.upload is not None else request.body.raw,
            upload=request.upload,
            native=request.native if untouched else None,
        )

    def decode(self, body: Body, request: Request, /) -> Body:
        return body


# What we read ourselves must come in a coding we undo ourselves; a compressed stream comes in lumps.
def _to_stream(headers: Headers) -> Headers:
    return _coded(headers, "identity")


def _to_answer(headers: Headers) -> Headers:
    return _coded(headers, "gzip, deflate")


def _coded(headers: Headers, coding: str) -> Headers:
    kept = [pair for pair in headers.pairs if _is_theirs(name := pair[0].lower()) and name != "accept-encoding"]
    return Headers((*kept, ("accept-encoding", coding)))


def _as_signed(headers: Headers) -> Headers:
    """What a signature vouches for arrives as it was signed, the codings of the answer too."""
    vouched = signed_names(headers["authorization"])
    kept = tuple(pair for pair in headers.pairs if _is_theirs(name := pair[0].lower()) or name in vouched)
    return headers if len(kept) == len(headers.pairs) else Headers(kept)


def _is_theirs(name: str) -> bool:
    return not name.startswith(_OURS)
