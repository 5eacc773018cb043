"""The ways in which a client can reach a scripted provider: library, colour, and socket or transport."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from llm_edge.runtime import FakeClock
from llm_edge.testing import Provider, Step


@dataclass
class Got:
    """What a client saw: an answer, or part of one and the error that ended it."""

    status: int | None = None
    headers: Any = None
    body: bytes = b""
    pieces: list[bytes] = field(default_factory=list)
    error: Exception | None = None

    @property
    def broke(self) -> str | None:
        return type(self.error).__name__ if self.error else None


@dataclass
class Way:
    library: ModuleType
    colour: str
    by: str

    def provider(self, *steps: Step, **options: Any) -> Provider:
        return Provider(*steps, clock=FakeClock(), **options)

    def ask(
        self, provider: Provider, path: str = "/v1/chat/completions", *, timeout: float | None = 5.0, **fields: Any
    ) -> Got:
        """One POST, its body read to the end."""
        fields.setdefault("model", "m")
        if self.colour == "sync":
            return self._ask(provider, path, fields, timeout)
        return asyncio.run(self._aask(provider, path, fields, timeout))

    def _patience(self, seconds: float | None) -> Any:
        """Short only in reading: on a busy machine connecting may take its time."""
        return self.library.Timeout(10.0, read=seconds)

    def _base(self, provider: Provider) -> str:
        return provider.url if self.by == "socket" else "http://scripted.test"

    def _ask(self, provider: Provider, path: str, fields: Any, timeout: float | None) -> Got:
        got = Got()
        transport = None if self.by == "socket" else provider.transport(self.library.__name__)  # type: ignore[call-overload]
        with self.library.Client(transport=transport, timeout=self._patience(timeout), trust_env=False) as client:
            try:
                with client.stream("POST", self._base(provider) + path, json=fields) as answer:
                    got.status, got.headers = answer.status_code, answer.headers
                    for piece in answer.iter_bytes():
                        got.pieces.append(piece)
            except self.library.TransportError as error:
                got.error = error
        got.body = b"".join(got.pieces)
        return got

    async def _aask(self, provider: Provider, path: str, fields: Any, timeout: float | None) -> Got:
        got = Got()
        transport = None if self.by == "socket" else provider.async_transport(self.library.__name__)  # type: ignore[call-overload]
        async with self.library.AsyncClient(
            transport=transport, timeout=self._patience(timeout), trust_env=False
        ) as client:
            try:
                async with client.stream("POST", self._base(provider) + path, json=fields) as answer:
                    got.status, got.headers = answer.status_code, answer.headers
                    async for piece in answer.aiter_bytes():
                        got.pieces.append(piece)
            except self.library.TransportError as error:
                got.error = error
        got.body = b"".join(got.pieces)
        return got


WAYS = [
    (library, colour, by)
    for library in ("httpx2", "httpx")
    for colour in ("sync", "async")
    for by in ("transport", "socket")
]


@pytest.fixture(params=WAYS, ids=["-".join(way) for way in WAYS])
def way(request: pytest.FixtureRequest) -> Way:
    library, colour, by = request.param
    return Way(importlib.import_module(library), colour, by)


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def made() -> Iterator[list[Provider]]:
    """Providers to close after the test."""
    found: list[Provider] = []
    yield found
    for provider in found:
        provider.close()
