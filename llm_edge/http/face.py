"""
The outermost face, without the HTTP library: what both twins share.

To an app this is a transport; inside it is the chain. A call we recognise goes through the
whole of it. Refusals and final failures become HTTP answers in the caller's own dialect, with
`x-should-retry: false` so that the SDK above does not start over. What we do not recognise
passes as it came, and fails as it would have failed without us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from ..errors import CallError, NetworkFailed, StreamBroken
from ..message import Body, ByteSource, Handler, Headers, Request, Response
from ..notes import Notes
from ..policy.controls import from_headers
from ..policy.keys import fingerprint
from ..providers.base import Dialect
from ..providers.dialects import by_name, describe, recognise
from ..runtime import Clock

_EMPTY = Body(b"")
_CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie")
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
    """Nothing of ours is on: failures leave as the exceptions they would be without us."""

    def inward(self, method: str, url: str, path: str, headers: Headers, timeout: float | None, body: Body) -> Request:
        """The envelope of a call whose body is here. Raises `InvalidRequest` for controls that make no sense."""
        dialect = recognise(method, path)
        if dialect is None:
            return self.opaque(method, url, headers, timeout, body)
        try:
            model, streaming = describe(dialect, path, body.json)
        except ValueError:  # not JSON: the provider will say so in its own words
            return self.opaque(method, url, headers, timeout, body)
        notes = self._notes(headers, dialect.operation, model)
        controls = from_headers(headers)
        route = controls.route or (model if model in self.routes else "")
        notes.route = route
        return Request(
            operation=dialect.operation, dialect=dialect.name, body=body, model=model, streaming=streaming, method=method,
            url=url, headers=headers, timeout=timeout, route=route, scope=_scope(headers, url), controls=controls, notes=notes,
        )  # fmt: skip

    def opaque(
        self, method: str, url: str, headers: Headers, timeout: float | None, body: Body = _EMPTY, upload: ByteSource | None = None
    ) -> Request:
        """The envelope of a call that passes untouched."""
        return Request(
            operation="opaque", dialect="opaque", body=body, method=method, url=url, headers=headers, upload=upload,
            timeout=timeout, notes=self._notes(headers, "opaque", ""),
        )  # fmt: skip

    def whole(self, method: str, path: str, headers: Headers) -> bool:
        """Whether a body that still has to be read is to be read whole: we may understand it, and it is not huge."""
        if recognise(method, path) is None:
            return False
        length = headers.get("content-length", "")
        return not length.isdigit() or int(length) <= _BUFFERED

    def outward(self, request: Request, response: Response) -> list[tuple[str, str]]:
        """The header fields of an answer, with what we have to say about it."""
        if request.operation == "opaque":
            return list(response.headers.pairs)
        pairs = [pair for pair in response.headers.pairs if not pair[0].lower().startswith("x-llm-edge-")]
        return [*pairs, *self._told(request.notes)]

    def refusal(self, request: Request, error: CallError) -> tuple[int, list[tuple[str, str]], bytes]:
        """A failure as an HTTP answer: the provider's own where there is one, else ours in the caller's dialect."""
        notes = request.notes
        notes.error = type(error).__name__
        told = self._told(notes)
        answer = error.response
        ours = answer is None
        if ours or self.retries:
            told.append(("x-should-retry", "false"))
        if answer is not None and answer.body is not None and _presentable(answer):
            kept = answer.headers.without("x-should-retry").pairs if ("x-should-retry", "false") in told else answer.headers.pairs
            return max(answer.status, error.status if answer.status < 400 else 0), [*kept, *told], answer.body.raw
        dialect = by_name(request.dialect) or by_name("openai.chat")
        assert dialect is not None, "openai.chat is always there"
        if error.retry_after is not None:
            told += [("retry-after", str(max(1, -int(-error.retry_after // 1)))), ("retry-after-ms", str(int(error.retry_after * 1e3)))]
        body = Body(json=dialect.refusal(error, notes.request_id))
        return error.status, [("content-type", "application/json"), *told], body.raw

    def raises(self, request: Request, error: CallError) -> bool:
        """Whether this failure leaves as an exception of the HTTP library instead of as an answer."""
        return isinstance(error, NetworkFailed) and (self.transparent or request.operation == "opaque")

    def _notes(self, headers: Headers, operation: str, model: str) -> Notes:
        given = headers.get("x-request-id")
        notes = Notes(model=model, operation=operation, started=self.clock.now())
        if given and given.isprintable() and len(given) <= 128:
            notes.request_id = given
        return notes

    def _told(self, notes: Notes) -> list[tuple[str, str]]:
        now = notes.ended = self.clock.now()
        upstream = notes.upstream
        for attempt in notes.attempts[-1:]:
            if attempt.ended is None:  # a stream under way: its provider's time so far
                upstream += now - attempt.started
        told = [
            ("x-llm-edge-request-id", notes.request_id),
            ("x-llm-edge-cache", notes.cache),
            ("x-llm-edge-attempts", str(len(notes.attempts))),
            ("x-llm-edge-fallbacks", str(notes.fallbacks)),
            ("x-llm-edge-overhead-ms", f"{max(now - notes.started - upstream - notes.waited, 0.0) * 1e3:.3f}"),
        ]
        if notes.target:
            told.append(("x-llm-edge-target", notes.target))
        if notes.cache_age is not None:
            told.append(("x-llm-edge-cache-age", str(int(notes.cache_age))))
        return told


def _presentable(answer: Response) -> bool:
    """Whether a provider's answer can be shown as the error it is: an HTTP error, or JSON that says `error`."""
    if answer.status >= 400:
        return True
    assert answer.body is not None, "asked before"
    try:
        return bool(answer.body.json.get("error"))
    except ValueError:
        return False


def _scope(headers: Headers, url: str) -> str:
    """Fingerprint of the credential a request carries."""
    carried = [headers.get(name, "") for name in _CREDENTIALS]
    if "?" in url:
        carried += [value for name, value in parse_qsl(url.partition("?")[2]) if name in {"key", "api_key"}]
    return fingerprint(*carried) if any(carried) else ""


def total_timeout(extensions: Mapping[str, object]) -> float | None:
    """The caller's own timeout for the whole call: httpx's read timeout, which SDKs fill from their `timeout`."""
    timeout = extensions.get("timeout")
    read = timeout.get("read") if isinstance(timeout, Mapping) else None
    return float(read) if isinstance(read, (int, float)) else None


def pairs_of(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Header fields as httpx keeps them, as ours: latin-1 goes both ways without loss."""
    return Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)


def kind_of(error: NetworkFailed | StreamBroken, known: Callable[[str], bool]) -> str:
    """The HTTP library's class for a failure; `known` says which it has."""
    return error.kind if known(error.kind) else "ReadError"
