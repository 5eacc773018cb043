"""What a scripted provider saw: one record for each request that reached it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from llm_edge.runtime import Blocking, Signal, drive

SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "set-cookie"}
)
_SECRET_ENDS = ("-key", "-token", "-secret", "-auth")


def is_secret(name: str) -> bool:
    """Whether a header of this name, in small letters, holds a credential; gateways give theirs names of their own."""
    return name in SECRET_HEADERS or name.endswith(_SECRET_ENDS)


def as_object(value: Any) -> dict[str, Any]:  # cargo: parsed JSON
    """The JSON object, or an empty one where it is something else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}  # JSON objects have text for keys


def as_list(value: Any) -> list[object]:  # cargo: parsed JSON
    """The JSON list, or an empty one where it is something else."""
    return cast("list[object]", value) if isinstance(value, list) else []  # whatever it holds


class Headers(Mapping[str, str]):
    """Headers by name, whatever the case; repeated ones joined by a comma. Credentials stay out of its repr."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            key = name.lower()
            self._values[key] = f"{self._values[key]}, {value}" if key in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __repr__(self) -> str:
        return repr({name: "***" if is_secret(name) else value for name, value in self._values.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it came in, by socket or by transport."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    origin: str = ""
    """`scheme://host:port` it was addressed to."""
    keep_alive: bool = True


class Call:
    """One request a provider got, and how the answer to it went out."""

    def __init__(self, asked: Asked, *, number: int = 1, connection: int = 0) -> None:
        parts = urlsplit(asked.target)
        self.number = number
        """1 for the first request of this provider."""
        self.connection = connection
        """Calls with the same number came over the same connection."""
        self.method = asked.method
        self.origin = asked.origin
        self.target = asked.target
        """Path and query as they came, nothing unescaped."""
        self.path = unquote(parts.path)
        self.query: dict[str, str] = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.headers = Headers(asked.headers)
        self.body = asked.body
        self.began_at = time.monotonic()
        self.ended_at: float | None = None
        """`time.monotonic()` at the end of the answer, or when the caller hung up."""
        self.closed_early = False
        """The caller hung up before the whole answer had gone out."""
        self.status: int | None = None
        """The status answered; None as long as no header has gone out."""
        self.sent = 0
        """Bytes of the answer's body handed to the socket or transport."""
        self.ended = Signal()

    @cached_property
    def json(self) -> Any:  # cargo: whatever the caller sent
        """The request's JSON body; None when it has none."""
        try:
            return orjson.loads(self.body) if self.body else None
        except orjson.JSONDecodeError:
            return None

    def field(self, name: str) -> Any:  # cargo
        """One field of the JSON body; None when it is absent or the body is no object."""
        return as_object(self.json).get(name)

    @property
    def model(self) -> str | None:
        """The model asked for, from the body or from the path (Gemini, Bedrock, Azure deployments)."""
        named = self.field("model")
        if isinstance(named, str):
            return named
        if "/model/" in self.path:  # Bedrock's may have slashes of their own
            return self.path.partition("/model/")[2].rpartition("/")[0]
        for marker in ("/models/", "/deployments/"):
            if marker in self.path:
                return self.path.split(marker, 1)[1].split(":", 1)[0].split("/", 1)[0]
        return None

    @property
    def key(self) -> str | None:
        """The credential the caller sent, wherever the dialect puts it."""
        bearer = self.headers.get("authorization", "")
        if bearer.lower().startswith("bearer "):
            return bearer[7:]
        for name in ("x-api-key", "api-key", "x-goog-api-key"):
            if name in self.headers:
                return self.headers[name]
        return self.query.get("key")

    @property
    def streamed(self) -> bool:
        """Whether the caller asked for a stream."""
        return self.field("stream") is True or self.path.endswith((":streamGenerateContent", "-stream"))

    def finish(self, *, early: bool = False) -> None:
        """Note that the answer is over; the first word counts."""
        if self.ended_at is None:
            self.closed_early = early
            self.ended_at = time.monotonic()
            self.ended.set()

    def wait_ended(self, timeout: float = 5.0) -> Call:
        """
        Wait until the answer has gone out whole or the caller has hung up.

        Raises AssertionError when neither happens in time.
        """
        if not drive(Blocking().wait(self.ended, timeout)):
            raise AssertionError(f"{self!r} was still going on after {timeout:g} s")
        return self

    def __repr__(self) -> str:
        words = [f"{self.number}.", self.method, self.path]
        if self.model:
            words.append(f"model={self.model}")
        if self.streamed:
            words.append("stream")
        words.append(f"-> {self.status}" if self.status else "-> no answer yet")
        if self.closed_early:
            words.append("closed early")
        return f"<Call {' '.join(words)}>"
