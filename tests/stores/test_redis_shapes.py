"""The second tier over every kind of address: TLS, users with few rights, sentinels, a cluster, a socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from llm_edge.stores.places import place
from llm_edge.stores.redis import redis_tier
from llm_edge.stores.tombstones import tag
from llm_edge.testing.certificates import Certificates
from tests.conftest import Colour
from tests.stores.kit import BOUND, Asker, Ticking, an_entry, closing, key_of
from tests.stores.test_redis import SECRET
from tests.stores.valkeys import behind_tls, started, until

Opens = Callable[..., Asker]


@pytest.fixture
def opens(colour: Colour) -> Iterator[Opens]:
    with ExitStack() as stack:

        def make(url: str, ca_file: Path | None = None, **options: Any) -> Asker:
            given = {"secret": SECRET, "clock": Ticking(), "patience": BOUND, **options}
            tier = stack.enter_context(closing(redis_tier(place(url, ca_file=ca_file), **given)))
            return Asker(tier, colour.run, colour.runtime())

        yield make


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("server")
    # A path for a socket is short, whatever the folder of the tests is called.
    with started(folder, "--unixsocket", "s") as number:
        yield number


def asked(stack: ExitStack, port: int) -> Any:
    """redis-py's own client, closed with the stack."""
    return stack.enter_context(redis.Redis(port=port))


def works(one: Asker, other: Asker) -> None:
    """Everything the tier does."""
    before = time.time() - 100  # the clock of the tiers stands still
    one.put(*(an_entry(number, made=before) for number in range(20)))
    assert [other.get(number) is not None for number in range(20)] == [True] * 20
    other.remove(3)
    assert one.get(3) is None
    claimed = f"{key_of(1)} {{}}"
    assert one._run(one.tier.claim(claimed, "a", 60.0))  # pyright: ignore[reportPrivateUsage]
    assert other._run(other.tier.claim(claimed, "b", 60.0)) is False  # pyright: ignore[reportPrivateUsage]
    one.tier.put(an_entry(1, payload=b"leased"), (claimed, "a"))
    other.tier.put(an_entry(1, payload=b"late"), (claimed, "b"))
    one.tier.release(claimed, "a")
    one.drain()
    other.drain()
    found = other.get(1)
    assert found is not None
    assert found.payload == b"leased"
    assert one.purge(tag(namespace="docs"))
    assert one.get(5) is None
    assert (one.second.counts().errors, other.second.counts().errors) == (0, 0)


def test_over_tls_to_a_server_whose_authority_is_named(opens: Opens, port: int, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    with redis.Redis(port=port) as raw:
        raw.flushall()
    with behind_tls(port, certificates.server_context()) as outer:
        url = f"rediss://127.0.0.1:{outer}/0"
        works(opens(url, certificates.ca_file), opens(url, certificates.ca_file))


def test_a_certificate_nobody_vouches_for_is_a_miss(opens: Opens, port: int, tmp_path: Path) -> None:
    with redis.Redis(port=port) as raw:
        raw.flushall()
    with behind_tls(port, Certificates(tmp_path).server_context()) as outer:
        one = opens(f"rediss://127.0.0.1:{outer}/0")
        one.put(an_entry(1))
        assert [one.get(1) for _ in range(6)] == [None] * 6
        assert (one.second.counts().errors, one.second.counts().written) == (6, 0)
    with redis.Redis(port=port) as raw:
        assert raw.dbsize() == 0


RIGHTS = ("~llm-edge:cache:*", "+get", "+set", "+del", "+exists", "+hset", "+hgetall", "+eval", "+client|setinfo")


def test_a_user_may_have_no_more_than_what_is_needed(opens: Opens, port: int) -> None:
    with redis.Redis(port=port) as raw:
        raw.flushall()
        raw.execute_command("ACL", "SETUSER", "edge", "reset", "on", ">s3cret@word", *RIGHTS)
    url = f"redis://edge:s3cret%40word@127.0.0.1:{port}/0"
    works(opens(url), opens(url))


@pytest.mark.parametrize("login", ["edge:wrong", "nobody:s3cret"])
def test_who_is_not_let_in_misses(opens: Opens, port: int, login: str) -> None:
    one = opens(f"redis://{login}@127.0.0.1:{port}/0")
    one.put(an_entry(1))
    assert [one.get(1) for _ in range(3)] == [None] * 3
    assert one.second.counts().written == 0


def test_a_cluster_keeps_each_answer_where_it_belongs(opens: Opens, tmp_path: Path) -> None:
    with ExitStack() as stack:
        ports = [
            stack.enter_context(started(tmp_path / str(number), "--cluster-enabled", "yes"))
            for number in range(2)
        ]  # fmt: skip
        one, other = (asked(stack, number) for number in ports)
        one.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        other.execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        one.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[1])
        until(lambda: all(b"cluster_state:ok" in _info(each) for each in (one, other)))
        url = f"redis+cluster://127.0.0.1:{ports[0]}"
        works(opens(url), opens(url))
        assert all(each.dbsize() > 0 for each in (one, other))


def _info(server: Any) -> bytes:
    told: Any = server.execute_command("CLUSTER", "INFO")
    return told if isinstance(told, bytes) else repr(told).replace("': '", ":").encode()


def test_sentinels_say_who_is_the_master_and_a_change_is_followed(opens: Opens, tmp_path: Path) -> None:
    with ExitStack() as stack:
        ports = [stack.enter_context(started(tmp_path / name)) for name in ("first", "second")]
        file = tmp_path / "sentinel.conf"
        file.write_text(f"sentinel monitor main 127.0.0.1 {ports[0]} 1\n")
        watcher = stack.enter_context(started(tmp_path / "watcher", config=file))
        first, second, sentinel = (asked(stack, port) for port in (*ports, watcher))
        url, clock = f"redis+sentinel://127.0.0.1:{watcher}/main/0", Ticking()
        one = opens(url, clock=clock)
        works(one, opens(url))
        first.replicaof("127.0.0.1", ports[1])
        sentinel.execute_command("SENTINEL", "REMOVE", "main")
        sentinel.execute_command("SENTINEL", "MONITOR", "main", "127.0.0.1", ports[1], 1)
        first.client_kill_filter(_type="normal", skipme=True)  # as a master does that steps down
        while one.get(30) is None:
            one.put(an_entry(30, namespace="new"))
            clock.advance(40.0)
        assert second.dbsize() > 0
