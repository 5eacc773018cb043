"""Answers what was answered before; keeps what ended well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import NotCached
from ..message import Body, Handler, Headers, Request, Response, Saved, Stream, Watcher
from ..policy.cacheable import Policy, fit, why_not
from ..policy.keys import answer_key
from ..runtime import Clock
from ..stores.memory import MemoryStore
from .rules import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What is kept, and for how long."""

    policy: Policy = "all"
    ttl: float = 300.0
    """Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One answer as it came. It names its own key, so that a mix-up below is noticed."""

    key: str
    headers: Headers
    raw: bytes | None
    """The whole answer; parsed anew for each reader, who may change what it got."""
    chunks: tuple[bytes, ...]
    made: float
    expires: float
    size: int
    usage: Mapping[str, Any] | None = None
    target: str = ""
    """`provider/model` that gave it."""


@dataclass(frozen=True, slots=True)
class Understanding:
    """What the cache must know of a dialect: how its streams end, and why an answer ended."""

    watcher: Callable[[], Watcher]
    finished: Callable[[Body, Mapping[str, Any] | None], Sequence[str] | None]
    """Why each choice ended, of a body and what it used; None when the answer must not be kept."""


_LARGEST = 4 * 2**20
_OVERHEAD, _CHUNK = 1024, 40
"""Bytes of memory that an entry, and each chunk of a stream, take besides their text; roughly."""
_KEPT_HEADERS = frozenset({"content-type", "x-request-id", "request-id", "openai-version", "openai-model"})
_OPERATIONS = frozenset({"chat", "completions", "embeddings"})


class Cache:
    """The first layer that can answer. One entry for each call that could be answered differently."""

    def __init__(
        self,
        store: MemoryStore[Entry],
        clock: Clock,
        rules: Rules[Keeping],
        understand: Callable[[str], Understanding],
    ) -> None:
        self._store, self._clock, self._rules, self._understand = store, clock, rules, understand

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        notes, rule, controls = request.notes, self._rules.of(request.route), request.controls
        reason, key = self._recognised(request, rule)
        if reason:
            notes.cache, notes.cache_reason = "BYPASS", reason
            if controls.only_if_cached:
                raise NotCached(f"only-if-cached was asked, and the cache does not take this call: {reason}")
            return await handler(request)
        notes.cache_key = key
        if not controls.no_cache:
            entry, now = self._store.get(key), self._clock.now()
            if entry is not None and entry.key == key and now < entry.expires:
                age = now - entry.made
                if controls.max_age is None or age <= controls.max_age:
                    notes.cache, notes.cache_age = "HIT", age
                    return self._replay(entry, request)
        notes.cache = "MISS"
        if controls.only_if_cached:
            raise NotCached("only-if-cached was asked, and the cache has no answer")
        response = await handler(request)
        if response.status == 200 and not controls.no_store:
            self._keep(key, request, response, controls.ttl if controls.ttl is not None else rule.ttl)
        return response

    def _recognised(self, request: Request, rule: Keeping) -> tuple[str, str]:
        """Why the cache passes this call by, or else its key."""
        if request.operation not in _OPERATIONS:
            return "calls of this kind are not kept", ""
        controls = request.controls
        try:
            reason = why_not(request.dialect, request.body.json, rule.policy, operation=request.operation)
            return reason, "" if reason else answer_key(
                request.body, request.dialect, request.route, request.url, str(request.streaming),
                controls.tenant, request.scope, controls.namespace, *_affecting(request.headers),
            )  # fmt: skip
        except ValueError:
            return "the body is not a JSON object", ""

    def _replay(self, entry: Entry, request: Request) -> Response:
        notes = request.notes
        notes.target, notes.usage = entry.target, None if entry.usage is None else dict(entry.usage)
        if entry.raw is not None:
            return Response(status=200, headers=entry.headers, body=Body(entry.raw))
        stream = Stream(Saved(entry.chunks), self._understand(request.dialect).watcher())
        return Response(status=200, headers=entry.headers, stream=stream)

    def _keep(self, key: str, request: Request, response: Response, ttl: float) -> None:
        if ttl <= 0 or request.notes.fallbacks:
            return  # another target's answer is not the answer to this key
        headers = Headers([pair for pair in response.headers.pairs if pair[0].lower() in _KEPT_HEADERS])
        if response.stream is not None:
            response.stream.listen(_Keeper(self, key, request, headers, ttl, response.stream.watcher))
            return
        body = response.body
        if body is None or len(body.raw) > _LARGEST:
            return
        usage = request.notes.usage
        finished = self._understand(request.dialect).finished(body, usage)
        if finished is not None and fit(finished):
            self._put(key, request, headers, ttl, usage, raw=body.raw)

    def _put(
        self, key: str, request: Request, headers: Headers, ttl: float, usage: Mapping[str, Any] | None, *,
        raw: bytes | None = None, chunks: Sequence[bytes] = (),
    ) -> None:  # fmt: skip
        now = self._clock.now()
        size = _OVERHEAD + len(raw or b"") + sum(len(chunk) + _CHUNK for chunk in chunks)
        self._store.put(key, Entry(
            key=key, headers=headers, raw=raw, chunks=tuple(chunks), made=now, expires=now + ttl, size=size,
            usage=None if usage is None else dict(usage), target=request.notes.target,
        ))  # fmt: skip


class _Keeper:
    """Collects a stream as it goes by and keeps it when it ended well."""

    def __init__(
        self, cache: Cache, key: str, request: Request, headers: Headers, ttl: float, watcher: Watcher
    ) -> None:
        self._cache, self._key, self._request = cache, key, request
        self._headers, self._ttl, self._watcher = headers, ttl, watcher
        self._chunks: list[bytes] = []
        self._size = 0

    def heard(self, chunk: bytes, /) -> None:
        self._size += len(chunk)
        if self._size <= _LARGEST:
            self._chunks.append(chunk)
        else:
            self._chunks.clear()

    def ended(self, error: BaseException | None, /) -> None:
        watcher = self._watcher
        whole = error is None and watcher.failure is None and self._size <= _LARGEST
        if whole and watcher.finished and fit(watcher.finished):
            self._cache._put(  # pyright: ignore[reportPrivateUsage]  # one room, two halves of one act
                self._key, self._request, self._headers, self._ttl, watcher.usage, chunks=self._chunks
            )


def _affecting(headers: Headers) -> tuple[str, ...]:
    """Request headers that change the answer, as words for the key."""
    return tuple([f"{name}={headers[name]}" for name in _AFFECTING if name in headers])


_AFFECTING = (
    "anthropic-version", "anthropic-beta", "anthropic-workspace-id",
    "openai-organization", "openai-project", "openai-beta", "accept-language",
)  # fmt: skip
