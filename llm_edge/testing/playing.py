"""Plays a row of acts to a transport: neutral of library and colour."""

from __future__ import annotations

from typing import Literal

from llm_edge.runtime import Runtime

from .acts import Act, Break, Bytes, End, Head, Hold, Wait
from .call import Call

Kind = Literal["refused", "reset", "closed", "read_timeout"]

PING = b": ping\n\n"

FOR_EVER = 3600.0
"""How long a caller without a read timeout sits in front of a silent provider; free with a FakeClock."""


class Broken(Exception):
    """The connection failed; the twins turn it into their library's exception."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind


class Playing:
    """One answer on its way through a transport: first `head()`, then `next()` until None."""

    def __init__(self, call: Call, acts: list[Act], runtime: Runtime, read_timeout: float | None) -> None:
        self._call = call
        self._acts = iter(acts)
        self._runtime = runtime
        self._patience = read_timeout
        self._pinging: Hold | None = None
        self._began = False

    async def head(self) -> Head:
        """The status and headers. Raises Broken."""
        for act in self._acts:
            if isinstance(act, Head):
                self._call.status = act.status
                self._began = True
                return act
            await self._other(act)
        raise AssertionError("a scripted reply has a head or breaks before it")

    async def next(self) -> bytes | None:
        """The next bytes of the body; None at its end. Raises Broken."""
        if self._pinging is not None:
            if not (self._pinging.until and self._pinging.until.is_set):
                await self._wait(self._pinging.ping_every or 0.0)
                return self._said(PING)
            self._pinging = None
        for act in self._acts:
            if isinstance(act, Bytes):
                return self._said(act.data)
            if isinstance(act, End):
                break
            if isinstance(act, Hold) and act.ping_every is not None:
                self._pinging = act
                return self._said(PING)
            await self._other(act)
        self._call.finish()
        return None

    def close(self) -> None:
        """The caller is done with it."""
        self._call.finish(early=True)

    def _said(self, data: bytes) -> bytes:
        self._call.sent += len(data)
        return data

    async def _other(self, act: Act) -> None:
        if isinstance(act, Wait):
            await self._wait(act.seconds)
        elif isinstance(act, Hold):
            await self._hold(act)
        elif isinstance(act, Break):
            self._call.finish()
            raise self._broken(act)

    def _broken(self, act: Break) -> Broken:
        if act.refused:
            return Broken("refused", "[Errno 111] Connection refused")
        if act.reset:
            return Broken("reset", "[Errno 104] Connection reset by peer")
        if not self._began:
            return Broken("closed", "Server disconnected without sending a response.")
        return Broken("closed", "peer closed connection without sending complete message body")

    async def _wait(self, seconds: float) -> None:
        if self._patience is not None and seconds > self._patience:
            await self._runtime.clock.sleep(self._patience)
            raise self._timed_out()
        await self._runtime.clock.sleep(seconds)

    async def _hold(self, hold: Hold) -> None:
        if hold.until is None:
            await self._runtime.clock.sleep(FOR_EVER if self._patience is None else self._patience)
            raise self._timed_out()
        if not await self._runtime.wait(hold.until, self._patience):
            raise self._timed_out()

    def _timed_out(self) -> Broken:
        self._call.finish(early=True)
        return Broken("read_timeout", "The read operation timed out")
