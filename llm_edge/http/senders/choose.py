"""Chooses the HTTP engine, opens it at the first call, and changes it in a forked child."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import Any

from ...errors import ConfigError
from ...lasting import lasting
from ...providers.base import Wire
from ..sender import Answer, Dweller, Patience, Sender
from .forks import rust_lost, rust_used, watch
from .settings import HttpSettings, check


def refuse(settings: HttpSettings) -> None:
    """Raises ConfigError for an engine that is not installed, a file that cannot be read, a proxy that is none."""
    check(settings)
    _name(settings)


def choose(settings: HttpSettings) -> tuple[Sender, Sender]:
    """
    The engine for threads and the one for event loops, not opened yet.

    `auto` takes httptools where it is installed, else httpx2. What httptools does not do goes over httpx2: proxies,
    HTTP/2, bodies sent piece by piece. Raises as `refuse` does.
    """
    check(settings)
    return Chosen(settings, _open_blocking), Chosen(settings, _open_loop)


class Chosen:
    """Sends through the engine chosen, opened at the first call."""

    def __init__(self, settings: HttpSettings, open_engine: Callable[[str, HttpSettings], Sender]) -> None:
        self._settings = settings
        self._open_engine = open_engine
        self._lock = threading.Lock()
        self._engine: Sender | None = None
        self.name = _name(settings)
        watch(self)

    # Not async itself: the engine's own coroutine is given, with no frame around it.
    def __call__(self, wire: Wire, patience: Patience, /) -> Coroutine[Any, Any, Answer]:
        return (self._engine or self._open())(wire, patience)

    def _open(self) -> Sender:
        with self._lock:
            if self._engine is None:
                self._engine = self._open_engine(self.name, self._settings)
            return self._engine

    def leave(self) -> None:
        """Let go of what belonged to event loops that are closed."""
        engine = self._engine
        if engine is not None and isinstance(engine, Dweller):
            engine.leave()

    async def aclose(self) -> None:
        """Close the engine; a later call opens it anew."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            await engine.aclose()

    def reborn(self) -> object:
        parents, self._engine = self._engine, None
        self._lock = threading.Lock()
        self.name = _name(self._settings)
        return parents


def _name(settings: HttpSettings) -> str:
    if settings.engine == "pyreqwest" and not rust_lost() and _has("pyreqwest", settings):
        return "pyreqwest"
    direct = not settings.http2 and settings.proxy is None
    if settings.engine in ("auto", "httptools") and _has("httptools", settings) and direct:
        return "httptools"
    return "httpx2"


def _has(package: str, settings: HttpSettings) -> bool:
    """Whether an engine is installed; raises ConfigError when it is not and was asked for by name."""
    if find_spec(package) is not None:
        return True
    if settings.engine == package:
        raise ConfigError(f"http.engine = \"{package}\" needs the package {package}: pip install 'llm_edge[fast]'")
    return False


def _open_blocking(name: str, settings: HttpSettings) -> Sender:
    if name == "pyreqwest":
        lasting("pyreqwest.client")
        from .fast import BlockingFast

        rust_used()
        return BlockingFast(settings)
    if name == "httptools":
        from .http1_threads import BlockingHttp1

        return BlockingHttp1(settings)
    from .portable import BlockingPortable

    return BlockingPortable(settings)


def _open_loop(name: str, settings: HttpSettings) -> Sender:
    if name == "pyreqwest":
        lasting("pyreqwest.client")
        from .fast import LoopFast

        rust_used()
        return LoopFast(settings)
    if name == "httptools":
        from .http1_loops import LoopHttp1

        return LoopHttp1(settings)
    from .portable import LoopPortable

    return LoopPortable(settings)
