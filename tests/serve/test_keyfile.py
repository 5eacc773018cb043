"""What may happen to the file of the keys while a sidecar runs."""

from __future__ import annotations

import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from llm_edge import cli
from llm_edge.config import EdgeConfig
from llm_edge.errors import ConfigError
from llm_edge.runtime import FakeClock
from llm_edge.serve.auth import store_of
from llm_edge.serve.keyfile import KeyFile
from llm_edge.serve.keys import PATIENCE, STALE, KeyStore, Line
from llm_edge.serve.problems import NoKeysNow

from .conftest import App

Make = Callable[..., App]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(file: Path, clock: FakeClock) -> Iterator[KeyStore]:
    with closing(KeyStore(KeyFile(file), clock)) as made:
        yield made


def copied(file: Path) -> Path:
    """A plain copy of that one file, as `cp` makes it."""
    copy = file.with_name("copy.db")
    shutil.copy2(file, copy)
    return copy


@contextmanager
def full_disk() -> Iterator[None]:
    """No file grows, and none is begun."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_put_in_its_place_is_the_one_that_counts(store: KeyStore, file: Path, clock: FakeClock) -> None:
    """As from a backup: a key ended there afterwards opened for as long as the sidecar ran."""
    text, made = store.create("me")
    copied(file).replace(file)
    with closing(KeyStore(KeyFile(file), clock)) as other:
        other.revoke("you", made.id)
        mine, _ = other.create("you")
    clock.advance(1)
    assert store.find(text) is None
    assert store.find(mine) is not None
    third, _ = store.create("me")
    assert store.find(third) is not None
    assert len(store.every()) == 3


def test_keys_are_believed_for_a_minute_when_the_file_is_gone(store: KeyStore, file: Path, clock: FakeClock) -> None:
    text, _ = store.create("me")
    away = file.rename(file.with_name("away.db"))
    clock.advance(STALE)
    assert store.find(text) is not None
    clock.advance(1)
    with pytest.raises(NoKeysNow):
        store.find(text)
    away.rename(file)
    clock.advance(1)
    assert store.find(text) is not None


def test_a_pepper_that_came_with_the_file_counts(store: KeyStore, file: Path, clock: FakeClock, tmp_path: Path) -> None:
    other_file = tmp_path / "other" / "keys.db"
    with closing(KeyStore(KeyFile(other_file), clock)) as other:
        text, _ = other.create("me")
    shutil.copy2(f"{other_file}.pepper", f"{file}.pepper")
    copied(other_file).replace(file)
    clock.advance(1)
    assert store.find(text) is not None


def test_a_change_that_cannot_be_written_is_said_so_in_words(sidecar: Make, file: Path) -> None:
    app = sidecar(serve={"auth": {"database": file}})
    keys = app.app.door.keys  # type: ignore[attr-defined]
    admin = {"authorization": f"Bearer {keys.create('me', permissions=['admin'])[0]}"}
    file.rename(file.with_name("away.db"))
    said = app("POST", "/admin/keys", {}, admin)
    assert said.status == 503
    assert said.json["error"]["code"] == "keys_unavailable"
    assert "database of the keys" in said.json["error"]["message"]


def test_a_damaged_file_is_no_start(file: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(KeyStore(KeyFile(file), clock)) as store:
        for _ in range(50):
            store.create("me", name="x" * 200)
    raw = bytearray(copied(file).read_bytes())
    raw[8192:] = b"\xff" * (len(raw) - 8192)  # what SQLite looks at first is whole
    file.write_bytes(raw)
    config = EdgeConfig(serve={"auth": {"database": file}})
    with pytest.raises(ConfigError, match=r"serve\.auth\.database .*is damaged|cannot be used"):
        store_of(config, {}, clock)
    settings = file.with_name("edge.toml")
    settings.write_text(f'[serve.auth]\ndatabase = "{file}"\n')
    assert cli.main(["keys", "--config", str(settings), "list"]) == 2
    assert "llm-edge: serve.auth.database" in capsys.readouterr().err


def test_keys_open_on_a_full_disk_and_none_is_made(store: KeyStore, file: Path, clock: FakeClock) -> None:
    text, _ = store.create("me")
    store.close()
    with full_disk(), closing(KeyStore(KeyFile(file), clock)) as begun:
        assert begun.find(text) is not None
        with pytest.raises(NoKeysNow, match="cannot be used now"):
            begun.create("me")
        assert begun.find(text) is not None
    with closing(KeyStore(KeyFile(file), clock)) as later:
        assert len(later.every()) == 1
        later.create("me")


def test_a_first_start_on_a_full_disk_is_refused_and_leaves_nothing_in_the_way(file: Path, clock: FakeClock) -> None:
    """Half a pepper was left, which no later start took for one."""
    with full_disk(), pytest.raises(ConfigError, match=r"serve\.auth\.database: .* cannot be used: File too large"):
        KeyFile(file)
    with closing(KeyStore(KeyFile(file), clock)) as store:
        store.create("me")


def test_keys_without_their_pepper_are_refused(store: KeyStore, file: Path) -> None:
    """A new one was made, and no key opened any more."""
    store.create("me")
    file.with_name("keys.db.pepper").unlink()
    with pytest.raises(ConfigError, match="put back the one the keys were made with"):
        KeyFile(file)


def test_a_patient_one_begins_without_its_file_and_makes_none(file: Path, clock: FakeClock) -> None:
    with closing(KeyStore(KeyFile(file), clock)) as store:
        text, _ = store.create("me")
    away = file.rename(file.with_name("away.db"))
    with closing(KeyStore(KeyFile(file, there=True), clock, patient=True)) as patient:
        for act in (lambda: patient.find(text), lambda: patient.create("me"), patient.settings):
            with pytest.raises(NoKeysNow):
                act()
        assert not file.exists()
        away.rename(file)
        clock.advance(1)
        assert patient.find(text) is not None


def test_only_what_changed_is_read_again(store: KeyStore, file: Path, clock: FakeClock) -> None:
    kept, _ = store.create("me")
    ended, other = store.create("me")
    before, settings = store.find(kept), store.settings()
    with closing(KeyStore(KeyFile(file), clock)) as elsewhere:
        elsewhere.revoke("you", other.id)
        made, _ = elsewhere.create("you")
    clock.advance(1)
    assert store.find(ended) is None
    assert store.find(made) is not None
    assert store.find(kept) is before
    assert store.settings() is settings


@pytest.mark.parametrize(
    "change",
    ["update keys set revoked = 1", "delete from keys", "delete from keys; vacuum", "update keys set digest = x'00'"],
)
def test_what_is_changed_by_hand_counts_too(change: str, store: KeyStore, file: Path, clock: FakeClock) -> None:
    text, _ = store.create("me")
    assert store.find(text) is not None
    with closing(sqlite3.connect(file)) as database:
        database.executescript(change)
    clock.advance(1)
    assert store.find(text) is None


def test_nobody_at_the_door_waits_for_who_writes(
    store: KeyStore, file: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    text, made = store.create("me")
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("begin exclusive")
        writer.execute("update keys set revoked = 1")
        clock.advance(1)
        assert store.find(text) == made
        writer.execute("commit")
    assert caplog.records == []
    clock.advance(1)
    assert store.find(text) is None


def test_what_was_ended_stays_ended(store: KeyStore, file: Path, clock: FakeClock) -> None:
    """A change that began before, as of all keys of a tenant, wrote the key down as it was then: it opened again."""
    text, made = store.create("me")
    with closing(KeyFile(file)) as early:
        (digest,) = early.read(PATIENCE).keys
    store.revoke("me", made.id)
    with closing(KeyFile(file)) as late:
        late.change({digest: replace(made, tier="pro")}, {}, Line(0.0, "you", "tenants.change", "acme", {}))
    clock.advance(1)
    assert store.find(text) is None
    assert [key.state(clock.time()) for key in store.every()] == ["revoked"]
