"""The sidecar as a process: granian under it, workers beside each other, signals obeyed."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from ..client import EdgeClient
from ..config import EdgeConfig, ServeConfig, ServeTlsConfig
from ..errors import ConfigError
from ..runtime import ThreadClock
from ..telemetry import logs
from . import births, certificates
from .app import Sidecar
from .auth import LockedDoor, door_of
from .callers import Door
from .crowd import Crowd
from .intake import HEADER_BYTES
from .waking import Waking
from .wire import Receive, Scope, Send

_COUNTS = "PROMETHEUS_MULTIPROC_DIR"
_FILES = 2**20
YOUNG = 2_000
"""Objects a worker makes before the garbage collector looks at them: newer Pythons' own number, older ones have 700."""
PING = 30_000
"""Milliseconds between two asks whether the other side of an HTTP/2 connection is there; it has 20 s to say so."""
WATCH = 0.5
"""Seconds between two looks at the files, where they are watched."""
_STAYS = ("host", "port", "workers", "connections", "header_timeout", "drain")
"""Settings of the server itself, as they were when it began."""
_OURS = ("127.0.0.1", "::1", "localhost")

log = logging.getLogger("llm_edge.serve")


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read the configuration: once at the start, and again in each worker and at each reload."""

    file: str | None = None
    environment: str | None = None
    overrides: Mapping[str, Any] | None = None
    taken: EdgeConfig | None = None
    """What was read and found good: the files count again at the next reload."""

    def config(self) -> EdgeConfig:
        """Raises ConfigError when a setting cannot be used."""
        if self.taken is not None:
            return self.taken
        config = EdgeConfig.load(
            self.file, env=os.environ, environment=self.environment, overrides=self.overrides, serving=True
        )
        # As many go on as come in, or streams that callers hold open would keep others from the providers.
        most, changed = config.serve.connections, dict[str, Any]()
        if "pool" not in config.http.model_fields_set and config.http.pool < most:
            changed["http"] = config.http.model_copy(update={"pool": most})
        if "concurrency" not in config.breaker.model_fields_set and config.breaker.concurrency < most:
            changed["breaker"] = config.breaker.model_copy(update={"concurrency": most})
        return config.model_copy(update=changed) if changed else config

    def staying(self, serve: ServeConfig) -> Plan:
        """The same for a server that listens as it does, whatever the file says by now: no reload changes that."""
        given, stays = dict(self.overrides or {}), {name: getattr(serve, name) for name in _STAYS}
        return replace(self, overrides={**given, "serve": {**given.get("serve", {}), **stays}})

    def state(self) -> Mapping[str, object]:
        """How the files stand: the configuration's and, where it can be read, the certificates'."""
        found: list[Path] = []
        if self.file is not None:
            base = Path(self.file)
            found += [base, *base.parent.glob(f"{base.stem}.*{base.suffix}")]
        try:
            tls = self.config().serve.tls
            found += [each for each in (tls.cert_file, tls.key_file, tls.client_ca_file) if each is not None]
        except ConfigError:
            pass  # whoever reloads is told
        return {str(each): _stamp(each) for each in found}

    def edge(self) -> EdgeClient:
        """Raises ConfigError when a secret is missing, too."""
        return EdgeClient(self.config(), env=os.environ)

    def app(self) -> Sidecar:
        """What a worker serves."""
        edge = self.edge()
        serve_logs(edge)
        where = os.environ.get(_COUNTS) if edge.config.serve.workers > 1 else None
        # Checked at the start: a worker that takes another's place must not end them all because a disk is full now.
        door = door_of(edge.config, os.environ, ThreadClock(), patient=True)
        return Worker(edge, edge.config.serve, door, shared=Path(where) if where else None)


class Beginning:
    """What a worker begins with, whenever that is: who takes a dead one's place goes on with what the others have."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __call__(self) -> Sidecar:
        return self.plan.app()


class Worker(Sidecar):
    """A sidecar in a process of its own."""

    def __init__(self, edge: EdgeClient, config: ServeConfig, door: Door, *, shared: Path | None) -> None:
        super().__init__(edge, config, door, own=True, shared=shared)
        self._busy: dict[tuple[str, str], int] = {}
        self._crowd = Crowd(config.port, config.connections, config.header_timeout, self._busy)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer: Any = scope.get("client")  # address and port, as granian tells them
        busy = self._busy
        busy[peer] = busy.get(peer, 0) + 1
        try:
            await (self._inside if self._cors is None else self._cors)(scope, receive, send)
        finally:
            left = busy[peer] - 1
            if left:
                busy[peer] = left  # others of the same connection, as HTTP/2 has them
            else:
                del busy[peer]

    def start(self) -> None:
        super().start()
        self._crowd.begin()
        self.health.certificate = certificates.lifetime(self.config.tls)
        births.over(asyncio.get_running_loop(), self._stopping)
        # What is here now stays: a full collection that walked it would have all calls stand still for 20 ms and more.
        gc.collect()
        gc.freeze()
        # Calls leave no cycles behind: what is young is mostly in use, and is walked for nothing.
        gc.set_threshold(YOUNG, *gc.get_threshold()[1:])

    def _stopping(self) -> None:
        self._crowd.end()
        self.health.stopping = True  # whoever can still ask is told while running answers finish


def serve_logs(edge: EdgeClient) -> None:
    """Log lines of this process on stderr, as the configuration has them."""
    told = edge.config.telemetry
    logs.serve(told.log_level, told.log_format, edge.redactor)


def _stamp(file: Path) -> object:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Server(MPServer):
    """granian, minding our configuration: a reload that could not start is refused, and the old one goes on."""

    def __init__(self, plan: Plan, config: ServeConfig) -> None:
        self._asked, self._begun_with = plan, config
        self._plan = plan.staying(config)
        self._beginning = Beginning(replace(self._plan, taken=self._plan.config()))
        tls = config.tls
        super().__init__(  # pyright: ignore[reportUnknownMemberType]  # one of its types is of a library not here
            "llm_edge.serve",
            address=config.host,
            port=config.port,
            interface=Interfaces.ASGI,
            workers=config.workers,
            http=HTTPModes.auto,
            backlog=max(config.connections, 128),
            backpressure=config.connections,
            http1_settings=HTTP1Settings(
                header_read_timeout=max(int(config.header_timeout * 1e3), 1),
                max_buffer_size=4 * HEADER_BYTES,
            ),
            http2_settings=HTTP2Settings(max_headers_size=2 * HEADER_BYTES, keep_alive_interval=PING),
            log_level=LogLevels.warning,
            ssl_cert=tls.cert_file,
            ssl_key=tls.key_file,
            ssl_protocol_min=_oldest(tls),
            ssl_ca=tls.client_ca_file,
            ssl_client_verify=tls.client_ca_file is not None,
            workers_kill_timeout=max(int(config.drain), 1),
            respawn_failed_workers=True,
            respawn_interval=1.0,
        )
        self.main_loop_interrupt = Waking(self._has_more)

    def _has_more(self) -> bool:
        dead: list[int] = self.interrupt_children  # pyright: ignore[reportUnknownMemberType]  # granian leaves it untyped
        return bool(self.interrupt_signal or self.reload_signal or dead)

    def run(self, *, watch: bool = False) -> None:
        """Serves until told to stop. With `watch` a file that changes is a reload, too."""
        births.mind()
        _open_as_many_files_as_may_be()
        if watch:
            threading.Thread(target=self._watch, name="llm_edge watch", daemon=True).start()
        self.serve(target_loader=self._beginning, wrap_loader=False)

    def _stop_workers(self) -> None:
        # granian looks once, a millisecond after a worker closed its end, and says that it had to be killed where the
        # thread that watches it has not heard of its end by then.
        ends = time.monotonic() + max(self._begun_with.drain, 1.0)
        for worker in self.wrks:
            worker.terminate()  # type: ignore[no-untyped-call]  # granian leaves it untyped
        # granian leaves its workers untyped
        processes: list[BaseProcess] = [each.inner for each in self.wrks]  # pyright: ignore[reportUnknownMemberType]
        for process in processes:
            while process.is_alive() and (left := ends - time.monotonic()) > 0:
                process.join(left)
                time.sleep(0.001)  # that thread's turn
        super()._stop_workers()  # type: ignore[no-untyped-call]  # granian leaves it untyped

    def signal_handler_reload(self, *args: object, **kwargs: object) -> None:
        """Takes the new configuration if it can be used; a worker that starts with it takes over from the old one."""
        try:
            plan = replace(self._plan, taken=self._plan.config())
            edge = plan.edge()
            edge.close()
            check(edge.config)
            self._claim_metrics(edge.config)
            self._take_certificates(edge.config.serve.tls)
            changed = self._changed_in_vain()
            self._beginning.plan = plan
        except ConfigError as error:
            log.error("the configuration was not reloaded, the old one goes on: %s", error)
            return
        if changed:
            log.warning("%s: not changed by a reload; start the sidecar anew for that", ", ".join(changed))
        certificates.warn(edge.config.serve.tls)
        log.info("the configuration was read again; workers that start with it take over")
        super().signal_handler_reload(*args, **kwargs)  # type: ignore[no-untyped-call]  # granian leaves it untyped

    def _claim_metrics(self, config: EdgeConfig) -> None:
        now, before = config.serve, self._beginning.plan.config().serve
        if now.metrics and now.metrics_port not in {None, before.metrics_port if before.metrics else None}:
            _claim_metrics(config)

    def _changed_in_vain(self) -> list[str]:
        """The settings that are others in the files by now, and stay as they were."""
        now = self._asked.config().serve
        return [f"serve.{name}" for name in _STAYS if getattr(now, name) != getattr(self._begun_with, name)]

    def _take_certificates(self, tls: ServeTlsConfig) -> None:
        """The files as they are now: where a name leads may have changed, as it does when certificates are renewed."""
        self.build_ssl_context(
            tls.cert_file, tls.key_file, None, _oldest(tls), tls.client_ca_file, [], tls.client_ca_file is not None
        )

    def _watch(self) -> None:
        told = seen = self._plan.state()
        while True:
            time.sleep(WATCH)  # this thread has nothing else to do
            before, seen = seen, self._plan.state()
            if seen == before != told:  # half a file may be a good one, without keys
                told = seen
                os.kill(os.getpid(), signal.SIGHUP)


def _open_as_many_files_as_may_be() -> None:
    """Each stream takes two: most systems begin with 1,024, and let who asks have many more."""
    try:
        import resource
    except ImportError:
        return  # Windows has no such bound
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _oldest(tls: ServeTlsConfig) -> SSLProtocols:
    return SSLProtocols.tls12 if tls.minimum == "1.2" else SSLProtocols.tls13


def check(config: EdgeConfig) -> None:
    """Raises ConfigError for what could not be served."""
    serve = config.serve
    certificates.check(config)
    if not serve.auth.on and serve.auth.enabled is None and serve.host not in _OURS:
        raise ConfigError(
            f"serve.auth ({config.place(('serve', 'host'))}): others reach {serve.host}, and everybody would be let in."
            " Set API_KEYS, serve.auth.database or serve.auth.jwt; or serve.auth.enabled = false, if that is meant."
        )
    door = door_of(config, os.environ, ThreadClock())
    if isinstance(door, LockedDoor) and door.keys is not None:
        door.keys.close()
    counted = "[limits]" if any(limit.enabled for limit in config.limits.values()) else config.budgets and "[budgets]"
    if serve.workers > 1 and counted and config.store.kind == "memory":
        raise ConfigError(
            f"serve.workers ({config.place(('serve', 'workers'))}): each worker would count {counted} for itself."
            ' Under [store] add the lines kind = "redis" and url = "redis://127.0.0.1:6379/0", or set workers = 1.'
        )


def claim(config: EdgeConfig) -> None:
    """
    Raises ConfigError when the address cannot be listened on.

    Workers share their port (SO_REUSEPORT), and so would a second sidecar: each would get some of the calls. That is
    refused, unless it is meant: then all that listen there must be willing to share.
    """
    serve = config.serve
    _probe(config, "port", serve.port, shared=serve.share_port)
    _claim_metrics(config)


def _claim_metrics(config: EdgeConfig) -> None:
    serve = config.serve
    if serve.metrics and serve.metrics_port is not None:
        _probe(config, "metrics_port", serve.metrics_port, shared=serve.share_port)


def _probe(config: EdgeConfig, setting: str, port: int, *, shared: bool) -> None:
    host = config.serve.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger are in nobody's way
        if shared and hasattr(socket, "SO_REUSEPORT"):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            name, fix = "host", "Set an address of this machine"
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                name, fix = setting, "Stop what listens there, set another port, or serve.share_port to take over"
            place = config.place(("serve", name))
            raise ConfigError(f"serve.{name} ({place}): cannot be listened on, {error.strerror}. {fix}.") from None


@contextmanager
def share_counts(config: EdgeConfig) -> Generator[None]:
    """
    A directory in which the workers add up what they count, where there are many.

    To be entered before anything is counted: prometheus-client looks for the directory once, when it is loaded.
    """
    if config.serve.workers == 1 or not config.serve.metrics or os.environ.get(_COUNTS):
        yield
        return
    try:
        made = TemporaryDirectory(prefix="llm-edge-counts-")
    except OSError as error:
        raise ConfigError(
            f"serve.workers ({config.place(('serve', 'workers'))}): workers add up what they count in a temporary"
            f" directory, and none can be made: {error.strerror}. Set TMPDIR to one, or serve.metrics = false."
        ) from None
    with made as shared:
        os.environ[_COUNTS] = shared
        try:
            yield
        finally:
            del os.environ[_COUNTS]
