"""What a reload cannot change, and says so."""

from __future__ import annotations

import signal
from pathlib import Path

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
