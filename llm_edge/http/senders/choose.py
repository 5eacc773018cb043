"""Chooses the HTTP engine, opens it at the first call, and changes it in a forked child."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.util import find_spec

from ...errors import ConfigError
from ...providers.base import Wire
from ..sender import Answer, Patience, Sender
from .forks import rust_lost, rust_used, watch
from .settings import HttpSettings, check


def choose(settings: HttpSettings) -> tuple[Sender, Sender]:
    """
    The engine for threads and the one for event loops, not opened yet.

    `auto` takes pyreqwest for threads, where it is installed, and httpx2 for event loops: there
    calls are cancelled, and pyreqwest cannot end a call whose answer has not begun.
    Raises ConfigError for an engine that is not installed, a file that cannot be read, a proxy that is none.
    """
    check(settings)
    return Chosen(settings, _open_blocking, _blocking_name), Chosen(settings, _open_loop, _loop_name)


class Chosen:
    """Sends through the engine chosen, opened at the first call."""

    def __init__(
        self,
        settings: HttpSettings,
        open_engine: Callable[[str, HttpSettings], Sender],
        name_of: Callable[[HttpSettings], str],
    ) -> None:
        self._settings = settings
        self._open_engine = open_engine
        self._name_of = name_of
        self._lock = threading.Lock()
        self._engine: Sender | None = None
        self.name = name_of(settings)
        watch(self)

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        return await (self._engine or self._open())(wire, patience)

    def _open(self) -> Sender:
        with self._lock:
            if self._engine is None:
                self._engine = self._open_engine(self.name, self._settings)
            return self._engine

    async def aclose(self) -> None:
        """Close the engine; a later call opens it anew."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            await engine.aclose()

    def reborn(self) -> object:
        parents, self._engine = self._engine, None
        self._lock = threading.Lock()
        self.name = self._name_of(self._settings)
        return parents


def _loop_name(settings: HttpSettings) -> str:
    return "httpx2" if settings.engine == "auto" else _blocking_name(settings)


def _blocking_name(settings: HttpSettings) -> str:
    if settings.engine == "httpx2" or rust_lost():
        return "httpx2"
    if find_spec("pyreqwest") is not None:
        return "pyreqwest"
    if settings.engine == "pyreqwest":
        raise ConfigError('http.engine = "pyreqwest" needs the package pyreqwest: pip install "llm_edge[fast]"')
    return "httpx2"


def _open_blocking(name: str, settings: HttpSettings) -> Sender:
    if name == "pyreqwest":
        from .fast import BlockingFast

        rust_used()
        return BlockingFast(settings)
    from .portable import BlockingPortable

    return BlockingPortable(settings)


def _open_loop(name: str, settings: HttpSettings) -> Sender:
    if name == "pyreqwest":
        from .fast import LoopFast

        rust_used()
        return LoopFast(settings)
    from .portable import LoopPortable

    return LoopPortable(settings)
