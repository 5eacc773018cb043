"""What a reload cannot change, and says so."""

from __future__ import annotations

import signal
import socket
import tempfile
from pathlib import Path

import pytest

from llm_edge.config import EdgeConfig
from llm_edge.errors import ConfigError
from llm_edge.serve.run import share_counts

from .conftest import toml
from .kit import CHAT, post, running
from .test_server import body

LIMIT = "[limits.global]\nrequests_per_minute = 5\n"


def test_what_only_a_new_start_changes_is_named(upstream: str, tmp_path: Path) -> None:
    with running(tmp_path, toml(upstream)) as process:
        process.file.write_text(toml(upstream, "[serve]\nconnections = 7\nheartbeat = 3\n"))
        process.signal(signal.SIGHUP)
        assert "serve.connections: not changed by a reload" in process.printed("not changed by a reload")


def test_workers_that_would_each_count_for_themselves_take_no_limits(upstream: str, tmp_path: Path) -> None:
    """However many the file names by now: those that run are two."""
    with running(tmp_path, toml(upstream, "[serve]\nworkers = 2\n")) as process:
        process.file.write_text(toml(upstream, LIMIT))
        process.signal(signal.SIGHUP)
        assert "each worker would count [limits] for itself" in process.printed("the old one goes on")


def test_workers_without_a_place_for_their_counts_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A container whose file system can only be read has no temporary directory, unless it is given one."""
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with (
        pytest.raises(ConfigError, match=r"serve\.workers .*Set TMPDIR"),
        share_counts(EdgeConfig(serve={"workers": 2})),
    ):
        pass


def test_a_reload_opens_no_address_that_others_reach(upstream: str, tmp_path: Path) -> None:
    """It was judged by the address in the file, which a reload does not change."""
    locked = '[serve]\nhost = "0.0.0.0"\n[serve.auth]\nkeys = ["sk-fixed-0123456789"]\n'
    with running(tmp_path, toml(upstream, locked)) as process:
        process.file.write_text(toml(upstream))
        process.signal(signal.SIGHUP)
        assert "everybody would be let in" in process.printed("the old one goes on")
        assert b" 401 " in process.raw(post(CHAT, body()))


def test_a_reload_refuses_a_port_for_metrics_that_is_taken(upstream: str, tmp_path: Path) -> None:
    """The worker went on without its beginning and its end."""
    with running(tmp_path, toml(upstream)) as process, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process.file.write_text(toml(upstream, f"[serve]\nmetrics_port = {taken.getsockname()[1]}\n"))
        process.signal(signal.SIGHUP)
        assert "serve.metrics_port" in process.printed("the old one goes on")
