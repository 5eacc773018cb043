"""What may happen to the file of the keys while a sidecar runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from llm_edge import cli
from llm_edge.config import EdgeConfig
from llm_edge.errors import ConfigError
from llm_edge.runtime import FakeClock
from llm_edge.serve.auth import store_of
from llm_edge.serve.keyfile import KeyFile
from llm_edge.serve.keys import STALE, KeyStore
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
