"""A provider that answers from a script and remembers what it was asked."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from .acts import Act
from .call import Asked, Call
from .steps import Step, answer, status

if TYPE_CHECKING:
    import httpx
    import httpx2

    from llm_edge.runtime import Clock

    from .server import Server

Script = Step | Callable[[Call], Step]
"""A step, or a function that chooses one for the call."""

Library = Literal["httpx2", "httpx"]


class Stage(Protocol):
    """Whatever can say what happens for a request: a provider, a cassette."""

    def open(self, asked: Asked, connection: int, /) -> tuple[Call, list[Act]]: ...


class Provider:
    """
    A scripted provider. Steps are given in turn; the last one repeats.

    Without a step it says hello. A function may stand where a step does: it gets the call and
    returns the step. Calls may come from many threads and loops at once.
    """

    def __init__(
        self,
        *steps: Script,
        models: tuple[str, ...] = ("scripted",),
        clock: Clock | None = None,
        remember: int | None = None,
    ) -> None:
        """
        `clock` is what its transports wait on (a FakeClock makes delays free); a server waits for real.
        `remember` keeps only so many calls, for long runs.
        """
        self.models = models
        self.clock = clock
        self.calls: list[Call] = []
        """Every request so far, oldest first."""
        self._remember = remember
        self._lock = threading.Lock()
        self._seen = 0
        self._servers: list[Server] = []
        self._script: list[Script] = []
        self.script(*steps)

    def script(self, *steps: Script) -> Provider:
        """Forget what was to come and give these steps from now on. Raises TypeError for what is no step."""
        _refuse_what_is_no_step(steps)
        with self._lock:
            self._script = list(steps) or [answer("Hello!")]
            self._left = _repeats(self._script[0])
        return self

    def then(self, *steps: Script) -> Provider:
        """Add steps to the end of the script. Raises TypeError for what is no step."""
        _refuse_what_is_no_step(steps)
        with self._lock:
            self._script.extend(steps)
        return self

    def open(self, asked: Asked, connection: int, /) -> tuple[Call, list[Act]]:
        """Take a request in: note the call, and say what happens for it."""
        with self._lock:
            self._seen += 1
            call = Call(asked, number=self._seen, connection=connection)
            self.calls.append(call)
            if self._remember is not None and len(self.calls) > self._remember:
                del self.calls[0]
            chosen = self._next()
        try:
            step = _step_of(chosen if isinstance(chosen, Step) else chosen(call))
            return call, step.acts(call, self.models)
        except Exception as error:
            # The caller must get some answer, and the test its reason; an exception would die in the server's thread.
            return call, status(500, f"the scripted step failed: {error!r}").acts(call)

    def _next(self) -> Script:
        while self._left < 1 and len(self._script) > 1:
            del self._script[0]
            self._left = _repeats(self._script[0])
        self._left -= 1
        return self._script[0]

    @property
    def last(self) -> Call:
        """The newest call. Raises AssertionError when nobody asked yet."""
        if not self.calls:
            raise AssertionError("the provider was never asked")
        return self.calls[-1]

    def asked(
        self,
        times: int | None = None,
        *,
        path: str | None = None,
        model: str | None = None,
        headers: Mapping[str, str] | None = None,
        where: Callable[[Call], bool] | None = None,
        **fields: Any,
    ) -> list[Call]:
        """
        The calls that match: path by its end, the rest exactly, other keywords as fields of the JSON body.

        Raises AssertionError, with what was asked instead, unless there are `times` of them (at least one by default).
        """
        wanted = {"path": path, "model": model, "headers": headers, **fields}
        found = [
            call
            for call in self.calls
            if (path is None or call.path.endswith(path))
            and (model is None or call.model == model)
            and all(call.headers.get(name) == value for name, value in (headers or {}).items())
            and all(call.field(name) == value for name, value in fields.items())
            and (where is None or where(call))
        ]
        if (times is None and found) or times == len(found):
            return found
        asked_for = ", ".join(f"{name}={value!r}" for name, value in wanted.items() if value is not None) or "anything"
        seen = "\n".join(f"  {call!r}" for call in self.calls) or "  nothing"
        expected = "at least 1 call" if times is None else f"{times} call{'' if times == 1 else 's'}"
        raise AssertionError(f"expected {expected} with {asked_for}, saw {len(found)}. All that was asked:\n{seen}")

    def never_asked(self) -> None:
        """Raises AssertionError when anything was asked."""
        self.asked(0)

    @overload
    def transport(self, library: Literal["httpx2"] = "httpx2") -> httpx2.BaseTransport: ...
    @overload
    def transport(self, library: Literal["httpx"]) -> httpx.BaseTransport: ...
    def transport(self, library: Library = "httpx2") -> httpx2.BaseTransport | httpx.BaseTransport:
        """This provider as a sync transport: `httpx2.Client(transport=…)`."""
        if library == "httpx2":
            from . import on_httpx2

            return on_httpx2.ScriptedTransport(self, self.clock)
        from . import on_httpx

        return on_httpx.ScriptedTransport(self, self.clock)

    @overload
    def async_transport(self, library: Literal["httpx2"] = "httpx2") -> httpx2.AsyncBaseTransport: ...
    @overload
    def async_transport(self, library: Literal["httpx"]) -> httpx.AsyncBaseTransport: ...
    def async_transport(self, library: Library = "httpx2") -> httpx2.AsyncBaseTransport | httpx.AsyncBaseTransport:
        """This provider as an async transport."""
        if library == "httpx2":
            from . import on_httpx2

            return on_httpx2.AsyncScriptedTransport(self, self.clock)
        from . import on_httpx

        return on_httpx.AsyncScriptedTransport(self, self.clock)

    @overload
    def http_client(self, library: Literal["httpx2"] = "httpx2") -> httpx2.Client: ...
    @overload
    def http_client(self, library: Literal["httpx"]) -> httpx.Client: ...
    def http_client(self, library: Library = "httpx2") -> httpx2.Client | httpx.Client:
        """A ready client over `transport()`: `OpenAI(http_client=provider.http_client())`."""
        if library == "httpx2":
            import httpx2

            return httpx2.Client(transport=self.transport())
        import httpx

        return httpx.Client(transport=self.transport("httpx"))

    @overload
    def async_http_client(self, library: Literal["httpx2"] = "httpx2") -> httpx2.AsyncClient: ...
    @overload
    def async_http_client(self, library: Literal["httpx"]) -> httpx.AsyncClient: ...
    def async_http_client(self, library: Library = "httpx2") -> httpx2.AsyncClient | httpx.AsyncClient:
        """A ready async client over `async_transport()`."""
        if library == "httpx2":
            import httpx2

            return httpx2.AsyncClient(transport=self.async_transport())
        import httpx

        return httpx.AsyncClient(transport=self.async_transport("httpx"))

    def serve(self, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> Server:
        """This provider on a real socket, at once; close it, or use it as a context manager. Raises OSError."""
        from .server import Server

        server = Server(self, host=host, port=port, tls=tls)
        with self._lock:
            self._servers.append(server)
        return server

    @property
    def url(self) -> str:
        """The address of its server, started at the first use: `base_url=f"{provider.url}/v1"`."""
        with self._lock:
            running = [server for server in self._servers if not server.closed]
        return (running[0] if running else self.serve()).url

    def close(self) -> None:
        """Stop every server of this provider."""
        with self._lock:
            servers, self._servers = self._servers, []
        for server in servers:
            server.close()

    def __enter__(self) -> Provider:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


def _repeats(script: Script) -> int:
    return script.repeat if isinstance(script, Step) else 1


def _refuse_what_is_no_step(steps: tuple[object, ...]) -> None:
    for step in steps:
        if not callable(step):
            _step_of(step)


def _step_of(given: object) -> Step:
    if isinstance(given, Step):
        return given
    fix = "write answer(...), status(...) or the like"
    if isinstance(given, str):
        fix = f"write answer({given!r})"
    elif type(given) in (list, tuple):
        fix = "give them one by one, as in script(*steps)"
    raise TypeError(f"a script is made of steps, not of {type(given).__name__}: {fix}")
