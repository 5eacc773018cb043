"""Keys at rest: shown once, found by digest, ended at once; and a trail that only grows."""

from __future__ import annotations

import asyncio
import hmac
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from llm_edge.errors import ConfigError, InvalidRequest, RateLimited
from llm_edge.message import Headers
from llm_edge.runtime import FakeClock
from llm_edge.serve.auth import LockedDoor
from llm_edge.serve.callers import Caller
from llm_edge.serve.keyfile import KeyFile
from llm_edge.serve.keys import FRESH, OVERLAP, KeyStore
from llm_edge.serve.problems import Unauthenticated


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock):
    made = KeyStore(KeyFile(tmp_path / "keys" / "keys.db"), clock)
    yield made
    made.close()


def test_a_key_opens_and_says_whose_it_is(store: KeyStore) -> None:
    text, made = store.create("me", name="app", tenant="acme", tier="pro", models=["fast*"])
    found = store.find(text)
    assert found == made
    assert text.startswith("sk-edge-")
    assert len(text) > 45
    caller = made.caller()
    assert (caller.tenant, caller.tier, caller.permissions, caller.models) == (
        "acme", "pro", frozenset({"call"}), ("fast*",),
    )  # fmt: skip


def test_a_key_without_a_tenant_is_a_tenant_of_its_own(store: KeyStore) -> None:
    one, other = store.create("me")[1], store.create("me")[1]
    assert (one.tenant, other.tenant) == (one.id, other.id)


def test_nothing_at_rest_opens_anything(store: KeyStore, tmp_path: Path) -> None:
    text, _ = store.create("me")
    at_rest = b"".join(file.read_bytes() for file in (tmp_path / "keys").iterdir())
    assert text.encode() not in at_rest
    assert text.removeprefix("sk-edge-").encode() not in at_rest
    assert {file.stat().st_mode & 0o077 for file in (tmp_path / "keys").iterdir() if file.suffix != ".db-shm"} <= {0}


@given(st.text(max_size=50))
def test_no_other_text_opens(text: str) -> None:
    assert _SHARED.find(text) is None


@pytest.fixture(scope="module", autouse=True)
def _shared(tmp_path_factory: pytest.TempPathFactory):
    global _SHARED
    _SHARED = KeyStore(KeyFile(tmp_path_factory.mktemp("shared") / "keys.db"), FakeClock())
    _SHARED.create("me")
    yield
    _SHARED.close()


_SHARED: KeyStore


def test_a_key_ends_when_it_is_revoked(store: KeyStore) -> None:
    text, made = store.create("me")
    store.revoke("me", made.id)
    assert store.find(text) is None
    with pytest.raises(InvalidRequest, match="no active key"):
        store.revoke("me", made.id)


def test_a_key_ends_with_its_days(store: KeyStore, clock: FakeClock) -> None:
    text, made = store.create("me", days=2)
    clock.advance(86_400 * 2 - 1)
    assert store.find(text) is not None
    clock.advance(1)
    assert store.find(text) is None
    assert made.shown(clock.time())["state"] == "expired"


def test_a_rotated_key_opens_until_its_overlap_is_over(store: KeyStore, clock: FakeClock) -> None:
    old, made = store.create("me", tenant="acme", permissions=["call", "metrics"])
    fresh, after = store.rotate("me", made.id)
    assert (after.tenant, after.permissions) == ("acme", ("call", "metrics"))
    assert store.find(old) is not None
    clock.advance(OVERLAP)
    assert store.find(old) is None
    assert store.find(fresh) is not None
    with pytest.raises(InvalidRequest, match="overlap"):
        store.rotate("me", after.id, -1)


def test_a_key_revoked_by_another_process_is_dead_within_a_second(
    store: KeyStore, clock: FakeClock, tmp_path: Path
) -> None:
    text, made = store.create("me")
    assert store.find(text) is not None
    other = KeyStore(KeyFile(tmp_path / "keys" / "keys.db"), clock)
    other.revoke("other", made.id)
    other.close()
    clock.advance(1)
    assert store.find(text) is None


def test_the_trail_tells_every_change_and_only_grows(store: KeyStore, tmp_path: Path) -> None:
    _, made = store.create("me")
    store.revoke("you", made.id)
    store.note("you", "breakers.force", "openai/x", {"state": "open"})
    assert [(line["who"], line["what"]) for line in store.trail()] == [
        ("you", "breakers.force"), ("you", "keys.revoke"), ("me", "keys.create"),
    ]  # fmt: skip
    database = sqlite3.connect(tmp_path / "keys" / "keys.db")
    for change in ("update trail set who = 'nobody'", "delete from trail"):
        with pytest.raises(sqlite3.IntegrityError, match="only grows"):
            database.execute(change)
    database.close()


def test_a_change_that_fails_leaves_nothing_behind(store: KeyStore) -> None:
    with pytest.raises(InvalidRequest):
        store.rotate("me", "key_none")
    assert store.every() == []
    assert store.trail() == []


@pytest.mark.parametrize(
    "wrong", [{"permissions": ["all"]}, {"name": "a\nb"}, {"tenant": "x" * 201}, {"days": 0}, {"models": ["a\0"]}]
)
def test_what_makes_no_key_is_refused(wrong: dict, store: KeyStore) -> None:
    with pytest.raises(InvalidRequest):
        store.create("me", **wrong)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "keys.db").write_text("not a database, but long enough to be looked at" * 10)
    with pytest.raises(ConfigError, match=r"serve.auth.database"):
        KeyStore(KeyFile(tmp_path / "keys.db"), clock)


def test_a_pepper_that_others_may_read_or_that_is_none_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    KeyStore(KeyFile(tmp_path / "keys.db"), clock).close()
    pepper = tmp_path / "keys.db.pepper"
    pepper.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        KeyStore(KeyFile(tmp_path / "keys.db"), clock)
    pepper.chmod(0o600)
    pepper.write_bytes(b"short")
    with pytest.raises(ConfigError, match="put back"):
        KeyStore(KeyFile(tmp_path / "keys.db"), clock)


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used"):
        KeyStore(KeyFile(tmp_path / "file" / "keys.db"), clock)


def test_keys_open_in_a_forked_child_too(store: KeyStore) -> None:
    text, _ = store.create("me")
    store.after_fork()
    assert store.find(text) is not None


def test_a_key_that_is_brought_opens_and_rests_as_argon2(store: KeyStore, tmp_path: Path) -> None:
    text, made = store.create("me", tenant="acme", brought="hunter2-hunter2")
    assert text == "hunter2-hunter2"
    assert store.find(text) is None  # not by the quick way
    with closing(KeyStore(KeyFile(tmp_path / "keys" / "keys.db"), FakeClock())) as other:
        assert other.has_stretched
        assert other.remembered(text) == (False, None)
        other.stretch(text)
        assert other.remembered(text) == (True, made)
        other.stretch("a guess")
        assert other.remembered("a guess") == (True, None)
    at_rest = b"".join(file.read_bytes() for file in (tmp_path / "keys").iterdir())
    assert b"hunter2" not in at_rest
    quick = hmac.digest((tmp_path / "keys" / "keys.db.pepper").read_bytes(), text.encode(), "sha256")
    assert quick not in at_rest  # nor anything that could be guessed at speed


def test_what_rests_today_is_found_by_the_versions_to_come(store: KeyStore) -> None:
    store._rest.pepper = bytes(32)
    assert store._digest("sk-edge-x").hex() == ("cee969c573568d6647183f5d91621625a8187285d3a5299228864f5529fb986a")
    assert store.stretch("hunter2-hunter2").hex() == (
        "2c5c788f51d7ff0b8e2ce537e4dea2cf1a573471304d6b2b79888f5e542490ae"
    )


def test_what_is_remembered_of_guesses_is_bounded(store: KeyStore) -> None:
    store.remembers = 3
    for number in range(6):
        store.stretch(f"guess {number}")
    assert [store.remembered(f"guess {number}")[0] for number in range(6)] == [False] * 3 + [True] * 3


@pytest.mark.parametrize("brought", ["short", "with space in it", "ünïcode-key", "x" * 201, "a\nb-long-enough"])
def test_a_key_that_could_not_be_shown_is_not_taken(brought: str, store: KeyStore) -> None:
    with pytest.raises(InvalidRequest, match="8 to 200 visible ASCII"):
        store.create("me", brought=brought)


def test_the_door_opens_for_a_key_that_was_brought(store: KeyStore) -> None:
    text, made = store.create("me", brought="hunter2-hunter2")
    ended, other = store.create("me", brought="another-old-key")
    store.revoke("me", other.id)
    door = LockedDoor({}, KeyStore(store._rest, FakeClock()), None)

    async def shown(key: str) -> object:
        try:
            return (await door.admit(Headers([("x-api-key", key)]))).name
        except (Unauthenticated, RateLimited) as error:
            return type(error)

    async def run() -> None:
        assert await shown(text) == made.id
        assert await shown(ended) is Unauthenticated
        told = await asyncio.gather(*(shown(f"guess-{number}") for number in range(30)))
        assert told.count(Unauthenticated) == 16  # the rest are told to wait, and cost no more
        assert told.count(RateLimited) == 14
        assert await shown(text) == made.id
        assert await shown("guess-later") is Unauthenticated  # those before it wait no longer

    asyncio.run(run())


class Counted(KeyStore):
    """Counts how often a key is worked out, and how many at a time."""

    worked = now = most = 0

    def stretch(self, key: str) -> bytes:
        self.worked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return super().stretch(key)
        finally:
            self.now -= 1


def test_a_guess_is_worked_out_once_one_at_a_time_and_not_at_all_where_nobody_brought_a_key(store: KeyStore) -> None:
    keys = Counted(store._rest, FakeClock())
    door = LockedDoor({}, keys, None)

    async def guessed(*keys: str) -> bool:
        said = [door.admit(Headers([("x-api-key", key)])) for key in keys]
        return all(isinstance(each, Unauthenticated) for each in await asyncio.gather(*said, return_exceptions=True))

    assert asyncio.run(guessed("guess"))
    assert keys.worked == 0
    keys.create("me", brought="hunter2-hunter2")
    keys.worked = 0
    assert asyncio.run(guessed(*["again"] * 5, "one", "two"))
    assert (keys.worked, keys.most) == (3, 1)
    assert asyncio.run(guessed("again"))
    assert keys.worked == 3


def test_who_shows_a_key_is_the_same_until_something_of_the_key_changes(store: KeyStore, clock: FakeClock) -> None:
    text, _ = store.create("me", tenant="acme", tier="free")
    door = LockedDoor({}, store, None)

    def shown() -> Caller:
        return asyncio.run(door.admit(Headers([("x-api-key", text)])))

    first = shown()
    assert shown() is first
    store.of_tenant("me", "acme", tier="pro")
    clock.advance(FRESH)
    assert (first.tier, shown().tier) == ("free", "pro")


def test_a_file_of_an_older_version_is_taken(tmp_path: Path, clock: FakeClock) -> None:
    with closing(KeyStore(KeyFile(tmp_path / "keys.db"), clock)) as store:
        text, _ = store.create("me")
    with closing(sqlite3.connect(tmp_path / "keys.db")) as database:
        database.execute("alter table keys drop column stretched")
        database.execute("drop table settings")
        database.commit()
    with closing(KeyStore(KeyFile(tmp_path / "keys.db"), clock)) as store:
        assert store.find(text) is not None
