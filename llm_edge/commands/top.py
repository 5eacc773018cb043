"""`llm-edge top`: a view of the metrics of a sidecar, or of a file of them, that goes on."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConfigError
from ..telemetry.overview import Snapshot, overview, parsed
from .codes import FAILED, GOOD
from .top_view import lines

_PATIENCE = 5.0
"""Seconds for a page."""
_LARGEST = 64 * 2**20
_CLEAR = "\x1b[H\x1b[J"


def add(commands: Any) -> None:
    """The options of the command."""
    top = commands.add_parser(
        "top",
        help="watch a sidecar or a file of metrics: rates, hit rate, cost, breakers",
        description="Shows what the metrics of a sidecar say, over and over: calls, failures, times, the cache, cost,"
        " breakers, budgets. Ctrl-C ends it.",
    )
    top.add_argument(
        "source", nargs="?", default="http://127.0.0.1:8080",
        help="a sidecar's address, a file in Prometheus' text format, or the directory of PROMETHEUS_MULTIPROC_DIR"
        " (default: http://127.0.0.1:8080)",
    )  # fmt: skip
    top.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="between two looks (default: 2)")
    top.add_argument("--once", action="store_true", help="look once, at all since the process began, and end")
    top.add_argument("--plain", action="store_true", help="no colours, even where rich is installed")


def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Looks until it is interrupted. The key for a sidecar that wants one stands in LLM_EDGE_KEY."""
    if not 0.1 <= options.every <= 3600:
        raise ConfigError("--every: must be from 0.1 to 3600 seconds.")
    read = _reader(options.source, env.get("LLM_EDGE_KEY", ""))
    try:
        first = parsed(read(), time.monotonic())
    except ValueError as error:
        raise ConfigError(f"{options.source}: {error}.") from None
    if options.once:
        print("\n".join(lines(overview(first), options.source)))
        return GOOD
    try:
        return _watch(options, read, first)
    except KeyboardInterrupt:
        return GOOD


def _watch(options: argparse.Namespace, read: Callable[[], str], before: Snapshot) -> int:
    show, close = _screen(plain=options.plain)
    lost = 0
    try:
        show(list(lines(overview(before), options.source)))
        while True:
            time.sleep(options.every)
            try:
                now = parsed(read(), time.monotonic())
            except (ConfigError, ValueError) as error:
                lost += 1
                show([f"llm-edge top: {error}", "", "It is asked again."])
                if lost >= 30:
                    return FAILED
                continue
            lost = 0
            show(list(lines(overview(now, before), options.source)))
            before = now
    finally:
        close()


def _screen(*, plain: bool) -> tuple[Callable[[list[str]], None], Callable[[], None]]:
    """How lines are shown, and what ends it: by rich on a whole screen, else from the top of a terminal."""
    terminal = sys.stdout.isatty()
    if terminal and not plain and find_spec("rich") is not None:
        live_module: Any = import_module("rich.live")  # not installed for type checkers
        text_module: Any = import_module("rich.text")
        live: Any = live_module.Live(screen=True, auto_refresh=False)
        live.start()

        def shown(told: list[str]) -> None:
            live.update(text_module.Text("\n").join([_coloured(text_module, line) for line in told]), refresh=True)

        return shown, live.stop

    def written(told: list[str]) -> None:
        sys.stdout.write((_CLEAR if terminal else "") + "\n".join(told) + "\n")
        sys.stdout.flush()

    return written, lambda: None


def _coloured(text_module: Any, line: str) -> Any:
    style = "bold" if line.startswith(("llm_edge", "model ", "budget ")) else ""
    text = text_module.Text(line, style=style)
    text.highlight_words(["open", "left alone"], "bold red")
    text.highlight_words(["half-open"], "yellow")
    return text


def _reader(source: str, key: str) -> Callable[[], str]:
    """What reads the page. Each reading raises ConfigError when it cannot be had."""
    if source.startswith(("http://", "https://")):
        parts = urlsplit(source)
        url = source if parts.path.strip("/") else f"{source.rstrip('/')}/metrics"
        return lambda: _fetched(url, key)
    path = Path(source)
    if path.is_dir():
        return lambda: _added_up(path)

    def read() -> str:
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ConfigError(f"{source}: cannot be read: {getattr(error, 'strerror', None) or error}.") from None

    return read


def _fetched(url: str, key: str) -> str:
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url)  # noqa: S310  http and https only, as asked above
    if key:
        request.add_header("authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310  as above
            page: bytes = answer.read(_LARGEST)
    except urllib.error.HTTPError as error:
        error.close()
        hint = {401: " A key goes into LLM_EDGE_KEY.", 403: " The key in LLM_EDGE_KEY needs the permission `metrics`."}
        raise ConfigError(f"{url} answered with {error.code}.{hint.get(error.code, '')}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigError(f"{url} cannot be asked: {reason}.") from None
    return page.decode(errors="replace")


def _added_up(directory: Path) -> str:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    whole = CollectorRegistry()
    MultiProcessCollector(whole, str(directory))  # type: ignore[no-untyped-call]  # prometheus-client leaves it untyped
    return generate_latest(whole).decode()
