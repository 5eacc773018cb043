"""A client's chains, one for each colour: opened when they are first needed, closed when nobody needs them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .config import EdgeConfig, Resolved
from .http.sender import Dweller, Sender
from .http.senders import HttpSettings, choose, refuse
from .message import Handler
from .runtime import Awaiting, Blocking, Clock, Runtime, drive, mind_forks

Colour: TypeAlias = Literal["sync", "async"]


@dataclass(frozen=True, slots=True)
class Chain:
    """One colour of the house: its chain, and what it waits and sends with."""

    colour: Colour
    runtime: Runtime
    send: Sender
    handler: Handler


class Chains:
    """
    The chains of both colours, and who uses them: transports, as long as they are open, and direct calls.

    Raises ConfigError for settings that no engine here could follow.
    """

    def __init__(self, http: HttpSettings, clock: Clock | None, build: Callable[[Runtime, Sender], Handler]) -> None:
        refuse(http)
        self._http, self._clock, self._build = http, clock, build
        self._lock = threading.Lock()
        self._chains: dict[Colour, Chain] = {}
        self._faces: dict[Colour, int] = {"sync": 0, "async": 0}
        self._kept: set[Colour] = set()
        mind_forks(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def of(self, colour: Colour) -> Chain:
        """The chain of this colour."""
        return self._chains.get(colour) or self._opened(colour)

    def _opened(self, colour: Colour) -> Chain:
        with self._lock:
            chain = self._chains.get(colour)
            if chain is None:
                send = choose(self._http)[0 if colour == "sync" else 1]
                chain = self._chains[colour] = self.over(colour, send)
            return chain

    def kept(self, colour: Colour) -> Chain:
        """The same for calls that come through no transport: its connections stay until the client is closed."""
        self._kept.add(colour)
        return self.of(colour)

    def over(self, colour: Colour, send: Sender) -> Chain:
        """A chain that sends with this, and belongs to who asks for it."""
        runtime: Runtime = Blocking(self._clock) if colour == "sync" else Awaiting(self._clock)
        return Chain(colour, runtime, send, self._build(runtime, send))

    def renew(self) -> None:
        """Put together anew what is open, over the same connections: the house has been changed."""
        with self._lock:
            for chain in list(self._chains.values()):
                self._chains[chain.colour] = self.over(chain.colour, chain.send)

    def face_opened(self, colour: Colour) -> None:
        """A transport came to be."""
        with self._lock:
            self._faces[colour] += 1

    async def face_closed(self, colour: Colour) -> None:
        """A transport was closed: with the last go the connections, unless direct calls use them."""
        with self._lock:
            self._faces[colour] -= 1
            unused = self._faces[colour] == 0 and colour not in self._kept
            # Taken away first: a transport opened meanwhile gets connections of its own.
            chain = self._chains.pop(colour, None) if unused else None
        if chain is not None:
            await chain.send.aclose()

    def close(self) -> None:
        """Close the connections of the sync side, and those of event loops that have ended."""
        chain = self._chains.get("sync")
        if chain is not None:
            drive(chain.send.aclose())
        chain = self._chains.get("async")
        if chain is not None and isinstance(chain.send, Dweller):
            chain.send.leave()

    async def aclose(self) -> None:
        """Close those of this event loop."""
        chain = self._chains.get("async")
        if chain is not None:
            await chain.send.aclose()


def http_settings(config: EdgeConfig, secrets: Resolved) -> HttpSettings:
    """How calls travel, as the engines take it."""
    http = config.http
    return HttpSettings(
        engine=http.engine, connect=http.connect, pool=http.pool, http2=http.http2, max_body=http.max_body,
        proxy=None if secrets.proxy is None else secrets.proxy.get_secret_value(), trust_env=http.trust_env,
        ca_file=_text(http.ca_file), cert_file=_text(http.cert_file), key_file=_text(http.key_file),
        tls_minimum=http.tls_minimum,
    )  # fmt: skip


def _text(path: os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)
