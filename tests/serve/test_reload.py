"""What a reload cannot change, and says so."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path

import pytest

from llm_edge.config import EdgeConfig
from llm_edge.errors import ConfigError
from llm_edge.serve.run import share_counts

from .conftest import toml
from .kit import running

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
