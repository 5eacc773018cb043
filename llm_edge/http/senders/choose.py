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

    `auto` takes, where they are installed, pyreqwest for threads and aiohttp for event loops: there
    calls are cancelled, and pyreqwest cannot end a call whose answer has not begun. What an engine
    cannot do goes over httpx2: threads with aiohttp; HTTP/2 and SOCKS proxies, too.
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


def _blocking_name(settings: HttpSettings) -> str:
    if settings.engine in ("auto", "pyreqwest") and not rust_lost() and _has("pyreqwest", settings):
        return "pyreqwest"
    return "httpx2"


def _loop_name(settings: HttpSettings) -> str:
    if settings.engine == "pyreqwest":
        return _blocking_name(settings)
    unknown_to_aiohttp = settings.http2 or (settings.proxy or "").startswith("socks")
    if settings.engine in ("auto", "aiohttp") and _has("aiohttp", settings) and not unknown_to_aiohttp:
        return "aiohttp"
    return "httpx2"


def _has(package: str, settings: HttpSettings) -> bool:
    """Whether an engine is installed; raises ConfigError when it is not and was asked for by name."""
    if find_spec(package) is not None:
        return True
    if settings.engine == package:
        raise ConfigError(f'http.engine = "{package}" needs the package {package}: pip install "llm_edge[fast]"')
    return False


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
    if name == "aiohttp":
        from .aio import LoopAio

        return LoopAio(settings)
    from .portable import LoopPortable

    return LoopPortable(settings)
