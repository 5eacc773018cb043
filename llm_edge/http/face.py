"""
The outermost face, without the HTTP library: what both twins share.

To an app this is a transport; inside it is the chain. A call we recognise goes through the
whole of it. Refusals and final failures become HTTP answers in the caller's own dialect, with
`x-should-retry: false` so that the SDK above does not start over. What we do not recognise
passes as it came, and fails as it would have failed without us.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NoReturn, SupportsFloat, TypeAlias
from urllib.parse import parse_qsl, quote

from ..errors import CallError, NetworkFailed, StreamBroken
from ..layers.tell import spoken
from ..message import Body, ByteSource, Controls, Handler, Headers, Request, Response
from ..notes import Notes
from ..policy.controls import from_field, from_headers
from ..policy.durations import written
from ..policy.keys import fingerprint
from ..providers.base import Dialect
from ..providers.cargo import mapping
from ..providers.dialects import by_name, describe, recognise
from ..providers.passing import IN_SCOPE, secret
from ..runtime import Clock
from .senders.requests import readable

RawPairs: TypeAlias = list[tuple[bytes, bytes]]
TextPairs: TypeAlias = list[tuple[str, str]]

_EMPTY = Body(b"")
_BUFFERED = 10 * 2**20
"""Bytes a body may announce and still be read whole, to be understood and sent again if need be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What a face needs of the house: the chain of its colour, and the settings that concern faces."""

    handler: Handler
    clock: Clock
    routes: frozenset[str] = frozenset()
    retries: bool = True
    """We retry, so nobody above us should."""
    transparent: bool = False
    """Nothing of ours is on: calls pass as those we do not know, and fail as they would without us."""

    def inward(self, method: str, url: str, path: str, headers: Headers, timeout: float | None, body: Body) -> Request:
        """The envelope of a call whose body is here. Raises `InvalidRequest` for controls that make no sense."""
        dialect = self._dialect(method, path, headers)
        if dialect is None:
            return self.opaque(method, url, headers, timeout, body)
        try:
            model, streaming = describe(dialect, path, body.json)
        except ValueError:  # not JSON: the provider will say so in its own words
            return self.opaque(method, url, headers, timeout, body)
        notes = self._notes(headers, dialect.operation, model)
        controls = headers.once(from_headers)
        if "cache" in body.json:
            controls, body = _elsewhere(controls, body)
        route = controls.route or (model if model in self.routes else "")
        notes.route = route
        return Request(
            operation=dialect.operation, dialect=dialect.name, body=body, model=model, streaming=streaming,
            method=method, url=url, headers=headers, timeout=timeout, route=route, scope=_scope(headers, url),
            controls=controls, notes=notes,
        )  # fmt: skip

    def again(self, request: Request) -> Request:
        """The same call as one that was asked before, to be asked now."""
        notes = self._notes(request.headers, request.operation, request.model)
        notes.route = request.route
        return request.anew(notes)

    def opaque(
        self,
        method: str,
        url: str,
        headers: Headers,
        timeout: float | None,
        body: Body = _EMPTY,
        upload: ByteSource | None = None,
    ) -> Request:
        """The envelope of a call that passes untouched."""
        return Request(
            operation="opaque", dialect="opaque", body=body, method=method, url=url, headers=headers, upload=upload,
            timeout=timeout, notes=self._notes(headers, "opaque", ""),
        )  # fmt: skip

    def whole(self, method: str, path: str, headers: Headers) -> bool:
        """Whether a body that still has to be read is to be read whole: we may understand it, and it is not huge."""
        if self._dialect(method, path, headers) is None:
            return False
        length = headers.get("content-length", "")
        return not length.isdigit() or int(length) <= _BUFFERED

    def _dialect(self, method: str, path: str, headers: Headers) -> Dialect | None:
        if self.transparent and not any(name.startswith(_OURS) for name in headers):
            return None
        if "streamGenerateContent" in path and "alt=sse" not in path:
            return None  # one JSON list in pieces, not a stream of events
        return recognise(method, path)

    def outward(self, request: Request, response: Response) -> Headers:
        """The header fields of an answer, with what we have to say about it."""
        headers = response.headers
        if request.operation == "opaque":
            return headers
        if _OURS in "\n".join(headers.named):
            headers = Headers([pair for pair in headers.pairs if not pair[0].lower().startswith(_OURS)])
        return _unlimited(headers, request.notes).followed_by(self.told(request.notes))

    def refusal(self, request: Request, error: CallError) -> tuple[int, RawPairs, bytes]:
        """A failure as an HTTP answer: the provider's own where there is one, else ours in the caller's dialect."""
        notes = request.notes
        notes.error = type(error).__name__
        told = self.told(notes)
        answer = None if error.foreign else error.response
        ours = answer is None
        if ours or self.retries:
            told.append(("x-should-retry", "false"))
        if answer is not None and answer.body is not None and _presentable(answer):
            headers = answer.headers
            if ("x-should-retry", "false") in told:
                headers = headers.without("x-should-retry")
            return (
                answer.status if answer.status >= 400 else error.status,
                raw_pairs([*_unlimited(headers, notes).pairs, *told]),
                answer.body.raw,
            )
        if error.retry_after is not None:
            whole, exact = max(1, math.ceil(error.retry_after)), int(error.retry_after * 1e3)
            told += [("retry-after", str(whole)), ("retry-after-ms", str(exact))]
        body = Body(json=_spoken(request).refusal(error, notes.request_id))
        return error.status, raw_pairs([("content-type", "application/json"), *told]), body.raw

    def raises(self, request: Request, error: CallError) -> bool:
        """
        Whether this failure leaves as an exception of the HTTP library instead of as an answer: what passes
        untouched fails as it would without us. Once tried again here it is an answer, or the SDK would start over.
        """
        untouched = request.operation == "opaque" and len(request.notes.attempts) < 2
        return isinstance(error, NetworkFailed) and (self.transparent or untouched)

    def _notes(self, headers: Headers, operation: str, model: str) -> Notes:
        given = headers.get("x-request-id")
        notes = Notes(model=model, operation=operation, started=self.clock.now())
        if given and given.isprintable() and len(given) <= 128:
            notes.request_id = given
        return notes

    def told(self, notes: Notes) -> TextPairs:
        """What we have to say about an answer, as header fields."""
        now = notes.ended = self.clock.now()
        upstream, attempts = notes.upstream, notes.attempts
        if attempts and attempts[-1].ended is None:  # a stream under way: its provider's time so far
            upstream += now - attempts[-1].started
        told = [
            ("x-llm-edge-request-id", notes.request_id),
            ("x-llm-edge-cache", notes.cache),
            ("x-llm-edge-attempts", str(len(attempts))),
            ("x-llm-edge-fallbacks", str(notes.fallbacks)),
            ("x-llm-edge-overhead-ms", f"{max(now - notes.started - upstream - notes.waited, 0.0) * 1e3:.3f}"),
        ]
        if notes.target:
            target = notes.target
            # Models come from callers, and a line break, or half a surrogate pair, is no header field's.
            told.append(("x-llm-edge-target", target if target.isprintable() else quote(target, "/", errors="replace")))
        if notes.cost is not None:
            told.append(("x-llm-edge-cost", spoken(notes.cost)))
        if notes.cache_age is not None:
            told.append(("x-llm-edge-cache-age", str(int(notes.cache_age))))
        for unit, most, left, reset in notes.limits:
            if unit in _LIMITED:
                told += [
                    (f"x-ratelimit-limit-{unit}", str(most)),
                    (f"x-ratelimit-remaining-{unit}", str(left)),
                    (f"x-ratelimit-reset-{unit}", written(reset)),
                ]
        return told


_OURS: Final = "x-llm-edge-"
_LIMITED = ("requests", "tokens")


def _unlimited(headers: Headers, notes: Notes) -> Headers:
    """Without the provider's words on limits, where a limit of ours is the caller's."""
    if not notes.limits:
        return headers
    return Headers([pair for pair in headers.pairs if not pair[0].lower().startswith("x-ratelimit-")])


def _presentable(answer: Response) -> bool:
    """Whether a provider's answer can be shown as the error it is: an HTTP error, or JSON that says `error`."""
    if answer.status >= 400:
        return True
    assert answer.body is not None, "asked before"
    try:
        return bool(answer.body.json.get("error"))
    except ValueError:
        return False


def _spoken(request: Request) -> Dialect:
    """The dialect of a refusal: the call's own, or for a call we do not know, the one its headers belong to."""
    name = request.dialect
    if name == "opaque":
        headers = request.headers
        google = "x-goog-api-key" in headers or "x-goog-api-client" in headers
        name = (
            "anthropic.messages" if "anthropic-version" in headers else "gemini.generate" if google else "openai.chat"
        )
    dialect = by_name(name)
    assert dialect is not None, "its own dialect, or one of the three that are always there"
    return dialect


def _elsewhere(controls: Controls, body: Body) -> tuple[Controls, Body]:
    """What LiteLLM's users say of the cache in the body itself; it is ours to read, and no provider's."""
    found = from_field(body.json["cache"])
    return (replace(controls, **found), body.without_fields("cache")) if found else (controls, body)


def _scope(headers: Headers, url: str) -> str:
    """Fingerprint of the credential a request carries."""
    if "?" not in url:
        return headers.once(_carried)
    asked = [value for name, value in parse_qsl(url.partition("?")[2]) if name in {"key", "api_key"}]
    return _carried(headers, *asked)


def _carried(headers: Headers, *further: str) -> str:
    named = headers.named
    carried = [*[named.get(name, "") for name in IN_SCOPE], *further]
    return fingerprint(*carried) if any(carried) else ""


def total_timeout(extensions: Mapping[str, object]) -> float | None:
    """The caller's own timeout for the whole call: httpx's read timeout, which SDKs fill from their `timeout`."""
    read = mapping(extensions.get("timeout")).get("read")
    if read is None:
        return None
    seconds = float(read) if isinstance(read, (float, int, str, SupportsFloat)) else _no_number(read)
    return _FOREVER if seconds > _FOREVER else seconds  # no clock can be told of infinity


def _no_number(given: object) -> NoReturn:
    raise TypeError(f"a timeout is a number of seconds, not {type(given).__name__}")


_FOREVER: Final = 1e8


class Remembered:
    """
    Header fields as httpx keeps them, made ours; those of the last call are given again to one that says the same.

    Without the length of what is sent, which is not what came where a layer has changed it: engines say it themselves.
    """

    def __init__(self) -> None:
        self._last: tuple[RawPairs, Headers] = [], Headers()

    def of(self, raw: RawPairs, *, sized: bool) -> Headers:
        """`sized`: the body is here, so its length need not be said."""
        if sized and raw:
            if raw[-1][0] == b"Content-Length":  # where httpx puts it, but for `json=`
                raw = raw[:-1]
            else:
                raw = [pair for pair in raw if pair[0].lower() != b"content-length"]
        known, headers = self._last
        if raw != known:
            headers = readable(raw)
            self._last = raw, headers
        return headers


def raw_pairs(pairs: Iterable[tuple[str, str]]) -> RawPairs:
    """Header fields as httpx takes them whatever they hold: given text, it would refuse all but ASCII."""
    return [(name.encode(), value.encode()) for name, value in pairs]


Origin: TypeAlias = tuple[str, str, int | None]
FIRST: Final = "llm_edge.first"
"""A request's extension: the origin that the call was addressed to before redirects."""
ANSWERED: Final = "llm_edge.answered"
"""A request's extension: the answer that has come already, for a client that goes the library's own way from here."""


def may_know(first: object, here: Origin) -> bool:
    """
    Whether a request may carry the caller's credentials to `here`, when a redirect brought it there.

    The HTTP client above us follows redirects by itself, and of the credentials it holds back `authorization` alone.
    """
    if not isinstance(first, tuple) or first == here:
        return True
    return here[1:] == first[1:] and here[0] == "https"


def without_secrets(headers: Headers) -> Headers:
    """The header fields that may go to anybody."""
    return headers.without(*(name for name in headers if secret(name)))


def kind_of(error: NetworkFailed | StreamBroken, known: Callable[[str], bool]) -> str:
    """The HTTP library's class for a failure; `known` says which it has."""
    return error.kind if known(error.kind) else "ReadError"
