"""Keys in a real Valkey: one store for sidecars on several machines."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from llm_edge.config import EdgeConfig
from llm_edge.errors import ConfigError, EdgeError, InvalidRequest
from llm_edge.runtime import FakeClock, ThreadClock
from llm_edge.serve.auth import door_of, store_of
from llm_edge.serve.keyredis import KeyRedis
from llm_edge.serve.keys import PATIENCE, STALE, KeyStore, Line
from llm_edge.serve.problems import NoKeysNow
from llm_edge.testing import Provider, answer
from tests.stores.valkey import Valkey, valkey as a_valkey

from ..ports import free_port
from .conftest import toml
from .kit import CHAT, post, running, until
from .test_server import body

PEPPER = b"p" * 32


@pytest.fixture
def prefix() -> str:
    return secrets.token_hex(4)


def opened(valkey: Valkey, prefix: str, clock: FakeClock | None = None, pepper: bytes = PEPPER) -> KeyStore:
    return KeyStore(KeyRedis(valkey.place, prefix=prefix, pepper=pepper), clock or FakeClock())


@pytest.fixture
def store(valkey: Valkey, prefix: str) -> Iterator[KeyStore]:
    with closing(opened(valkey, prefix)) as made:
        yield made


def test_a_key_opens_is_rotated_and_ends(store: KeyStore) -> None:
    text, made = store.create("me", name="app", tenant="acme", tier="pro", models=["fast*"], days=3)
    assert store.find(text) == made
    assert store.find(text + "x") is None
    fresh, other = store.rotate("me", made.id, 60)
    assert store.find(text) is not None
    assert store.find(fresh) == other
    store.revoke("you", made.id)
    assert store.find(text) is None
    assert [(each["who"], each["what"]) for each in store.trail(2)] == [("you", "keys.revoke"), ("me", "keys.rotate")]
    assert [key.id for key in store.every()] == [made.id, other.id]


def test_settings_are_kept_and_taken_back(store: KeyStore) -> None:
    store.set("me", "limits/global", {"requests_per_day": 1})
    before = store.settings()
    assert before == {"limits/global": '{"requests_per_day": 1}'}
    assert store.settings() is before
    store.set("me", "limits/global", None)
    assert store.settings() == {}


def test_nothing_at_rest_opens_anything(store: KeyStore, valkey: Valkey, prefix: str) -> None:
    text, _ = store.create("me")
    client = valkey.client()
    at_rest = b"".join(b"".join(pair) for pair in client.hgetall(f"{{{prefix}}}:kept").items())
    assert text.removeprefix("sk-edge-").encode() not in at_rest
    with closing(opened(valkey, prefix, pepper=b"q" * 32)) as stranger:
        assert stranger.find(text) is None
    client.close()


def test_what_is_changed_elsewhere_is_seen_without_a_call_waiting_for_it(
    store: KeyStore, valkey: Valkey, prefix: str
) -> None:
    with closing(opened(valkey, prefix)) as other:
        assert other.find("nothing yet") is None
        text, made = store.create("me")
        until(lambda: other.find(text) is not None)
        store.revoke("me", made.id)
        until(lambda: other.find(text) is None)


def test_keys_are_believed_for_a_minute_when_the_store_is_gone(prefix: str) -> None:
    clock = FakeClock()
    with a_valkey() as server, closing(opened(server, prefix, clock)) as store:
        text, _ = store.create("me")
        server.kill()
        assert store.find(text) is not None
        with pytest.raises(EdgeError, match="did not answer"):
            store.create("me")
        clock.advance(STALE + 1)
        with pytest.raises(NoKeysNow):
            store.find(text)


def configured(url: str, **more: object) -> EdgeConfig:
    return EdgeConfig().changed(serve={"auth": {"redis": url, "pepper": "p" * 32, **more}})


def test_a_store_that_is_not_there_is_told_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"serve\.auth\.redis.*did not answer") as caught:
        door_of(configured(f"redis://:secret@127.0.0.1:{free_port()}/0"), {}, ThreadClock())
    assert "secret" not in str(caught.value)


def test_it_needs_a_pepper_and_stands_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"serve\.auth\.pepper"):
        EdgeConfig().changed(serve={"auth": {"redis": "redis://127.0.0.1:1/0"}})
    with pytest.raises(ConfigError, match="stands beside database"):
        configured("redis://127.0.0.1:1/0", database=str(tmp_path / "keys.db"))


def test_a_key_revoked_elsewhere_opens_no_worker(
    upstream: str, provider: Provider, valkey: Valkey, tmp_path: Path
) -> None:
    provider.script(answer("Paris."))
    auth = f'[serve.auth]\nredis = "{valkey.url}"\nredis_prefix = "workers"\npepper = "{"p" * 32}"\n'
    keys = store_of(configured(valkey.url, redis_prefix="workers"), {}, ThreadClock())
    assert keys is not None
    with closing(keys), running(tmp_path, toml(upstream, auth), "--workers", "2") as process:
        text, made = keys.create("me")

        def told() -> set[bytes]:
            return {process.raw(post(CHAT, body("who?"), f"x-api-key: {text}"))[9:12] for _ in range(8)}

        until(lambda: told() == {b"200"})
        keys.revoke("me", made.id)
        until(lambda: told() == {b"401"})


def test_a_key_that_is_brought_twice_is_refused(store: KeyStore) -> None:
    store.create("me", brought="an-old-key")
    with pytest.raises(InvalidRequest, match="there already"):
        store.create("me", brought="an-old-key")


def test_keys_that_did_not_change_are_not_made_again(store: KeyStore) -> None:
    text, _ = store.create("me")
    before = store.find(text)
    store.create("me")
    assert store.find(text) is before


def test_what_was_ended_stays_ended(store: KeyStore, valkey: Valkey, prefix: str) -> None:
    text, made = store.create("me")
    with closing(KeyRedis(valkey.place, prefix=prefix, pepper=PEPPER)) as late:
        (digest,) = late.read(PATIENCE).keys
        store.revoke("me", made.id)
        late.change({digest: replace(made, tier="pro")}, {}, Line(0.0, "you", "tenants.change", "acme", {}))
    store.set("me", "limits/global", {"requests_per_day": 1})
    assert store.find(text) is None
    assert [key.state(0.0) for key in store.every()] == ["revoked"]
