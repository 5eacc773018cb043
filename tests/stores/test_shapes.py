"""Limits over other shapes of a store than one server that is well: clusters, sentinels, copies, full and odd ones."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from llm_edge.policy.rows import Asks, Full, OnFailure, Row, Taken, Verdict
from llm_edge.runtime import Blocking, drive
from llm_edge.stores.places import Place, place
from llm_edge.stores.shared import SharedCounters
from tests.conftest import Colour

from ..ports import free_port
from .valkey import Valkey, Watcher, running

BOUND = 60.0
QUICK = {"repl-diskless-sync-delay": "0"}
"""A master that makes its copies at once."""
PREFIX = "{t}:"


@contextmanager
def counting(where: Place, **given: Any) -> Iterator[SharedCounters]:
    store = SharedCounters(where, prefix=PREFIX, **given)
    try:
        yield store
    finally:
        store.close()


def asks(mode: OnFailure = "local") -> Asks:
    """One of each kind that is shared out."""
    return [
        (Row(key="places", kind="places", unit="places", limit=4, on_failure=mode), 1),
        (Row(key="log", kind="log", unit="requests", limit=4, window=60.0, on_failure=mode), 1),
        (Row(key="pace", kind="pace", unit="tokens", limit=100, rate=0.001, on_failure=mode), 10),
        (Row(key="day", kind="tally", unit="requests", limit=100, period="day", on_failure=mode), 1),
    ]


def until(truth: Callable[[], bool]) -> None:
    end = time.monotonic() + BOUND
    while not truth():
        assert time.monotonic() < end, "it does not come true"
        threading.Event().wait(0.02)


def probe(store: SharedCounters) -> None:
    """What a worker does when the pause is over."""
    store.telling.look()  # as it happens by itself, but now


def took(verdict: Verdict) -> bool:
    return isinstance(verdict, Taken)


# ---------------------------------------------------------------- a cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two servers, half of the slots each."""
    nodes = [
        Valkey(**{"cluster-enabled": "yes", "cluster-config-file": "nodes.conf", "cluster-port": str(free_port())})
        for _ in range(2)
    ]
    try:
        for number, node in enumerate(nodes):
            node.client().execute_command("CLUSTER", "ADDSLOTSRANGE", 8192 * number, 8192 * number + 8191)
        bus = nodes[1].client().config_get("cluster-port")["cluster-port"]
        nodes[0].client().execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1].port, bus)
        until(lambda: all(b"cluster_state:ok" in _info(node) for node in nodes))
        until(lambda: all(b"cluster_known_nodes:2" in _info(node) for node in nodes))
        yield f"redis+cluster://127.0.0.1:{nodes[0].port},127.0.0.1:{nodes[1].port}"
    finally:
        for node in nodes:
            node.stop()


def _info(node: Valkey) -> bytes:
    connection = redis.Redis(port=node.port).connection_pool.get_connection()
    connection.send_command("CLUSTER", "INFO")
    told: bytes = connection.read_response()
    connection.disconnect()
    return told


def test_in_a_cluster_all_rows_of_a_call_are_taken_in_one_act(cluster: str, colour: Colour) -> None:
    with redis.RedisCluster.from_url(cluster.partition(",")[0].replace("+cluster", "")) as client:
        client.flushall(target_nodes=redis.RedisCluster.PRIMARIES)
    with counting(place(cluster), patience=2.0) as store, counting(place(cluster), patience=2.0) as other:
        views = [each.view(colour.runtime()) for each in (store, other)]
        verdicts = [colour.run(views[number % 2].take(asks(), 30.0)) for number in range(5)]
        assert [took(verdict) for verdict in verdicts] == [True] * 4 + [False]
        for verdict in verdicts[:4]:
            assert isinstance(verdict, Taken)
            store.view(Blocking()).settle(verdict.hold, {})
        assert store.alive == 2
        assert not store.fuse.blown


# ---------------------------------------------------------------- masters that change


def test_when_a_master_dies_the_limits_go_on_with_the_next() -> None:
    with running(Valkey(**QUICK)) as master, running(Valkey()) as copy:
        copy.client().execute_command("REPLICAOF", "127.0.0.1", master.port)
        until(lambda: copy.client().info("replication")["master_link_status"] == "up")
        with running(Watcher(master.port)) as watcher, counting(place(watcher.url), patience=1.0) as store:
            view = store.view(Blocking())
            watched = redis.Redis(port=watcher.port)
            until(lambda: bool(watched.execute_command("SENTINEL", "REPLICAS", "m")))
            assert took(drive(view.take(asks(), 30.0)))
            until(lambda: copy.client().zcard(f"{PREFIX}places") == 1)
            master.kill()
            until(lambda: copy.client().info("replication")["role"] == "master")
            until(lambda: took(drive(view.take(asks(), 30.0))) and copy.client().zcard(f"{PREFIX}places") > 1)


def test_a_copy_that_may_not_be_written_to_counts_as_no_store_until_it_may(colour: Colour) -> None:
    with running(Valkey(**QUICK)) as master, running(Valkey()) as copy, counting(copy.place, patience=1.0) as store:
        view = store.view(colour.runtime())
        copy.client().execute_command("REPLICAOF", "127.0.0.1", master.port)
        until(lambda: copy.client().info("replication")["master_link_status"] == "up")
        assert took(colour.run(view.take(asks("local"), 30.0)))
        assert not took(colour.run(view.take(asks("closed"), 30.0)))
        assert copy.client().keys(f"{PREFIX}*") == []
        for _ in range(5):
            colour.run(view.take(asks("open"), 30.0))
        assert store.fuse.blown
        probe(store)
        assert store.fuse.blown
        copy.client().execute_command("REPLICAOF", "NO", "ONE")
        probe(store)
        assert not store.fuse.blown
        assert took(colour.run(view.take(asks("closed"), 30.0)))
        assert copy.client().zcard(f"{PREFIX}log") == 1


# ---------------------------------------------------------------- a store that is full, or odd


def test_a_store_without_memory_counts_as_none_until_it_has_some(colour: Colour) -> None:
    def pace(mode: OnFailure) -> Asks:
        return [each for each in asks(mode) if each[0].kind == "pace"]

    with running(Valkey(**{"maxmemory-policy": "noeviction"})) as server, counting(server.place) as store:
        view = store.view(colour.runtime())
        before = colour.run(view.take(pace("closed"), 30.0))
        assert isinstance(before, Taken)
        full_at = server.client().get(f"{PREFIX}pace")
        server.client().config_set("maxmemory", 1)
        assert took(colour.run(view.take(pace("local"), 30.0)))
        refused = colour.run(view.take(pace("closed"), 30.0))
        assert isinstance(refused, Full)
        assert refused.row.says == "the store of its counts cannot be asked"
        view.settle(before.hold, {"tokens": 0})  # told when there is room again
        store.fuse.bad(store.clock.now(), at_once=True)
        probe(store)
        assert store.fuse.blown
        server.client().config_set("maxmemory", 0)
        probe(store)
        assert not store.fuse.blown
        assert server.client().get(f"{PREFIX}pace") != full_at
        assert took(colour.run(view.take(pace("closed"), 30.0)))


ODD = {
    "loading": b"-LOADING server is loading the dataset in memory\r\n",
    "cluster down": b"-CLUSTERDOWN The cluster is down\r\n",
    "moved": b"-MOVED 3999 127.0.0.1:1\r\n",
    "no login": b"-NOAUTH Authentication required.\r\n",
    "too many": b"-ERR max number of clients reached\r\n",
    "not allowed": b"-NOPERM this user has no permissions\r\n",
    "no disk": b"-MISCONF Errors writing to the AOF file\r\n",
    "no answer": b"",
    "garbage": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a word": b"+OK\r\n",
    "words": b"*2\r\n$1\r\na\r\n$1\r\nb\r\n",
    "too short": b"*2\r\n:1\r\n:0\r\n",
    "another length": b"*3\r\n:1\r\n:0\r\n",
    "numbers like 99 of them": b"*5\r\n:1\r\n:0\r\n:0\r\n:1\r\n:7\r\n",
}


class Says(socketserver.StreamRequestHandler):
    """Answers every command with the same bytes, but for the greeting of the library."""

    def handle(self) -> None:
        try:
            while line := self.rfile.readline():
                words = [self._word() for _ in range(int(line[1:]))]
                greeting = words[0].upper() in {b"CLIENT", b"HELLO", b"SELECT"}
                said: bytes = b"+OK\r\n" if greeting else self.server.says  # type: ignore[attr-defined]  # set below
                if not said:
                    return
                self.wfile.write(said)
        except (OSError, ValueError):
            return

    def _word(self) -> bytes:
        length = int(self.rfile.readline()[1:])
        return self.rfile.read(length + 2)[:-2]


@pytest.fixture(scope="module")
def odd() -> Iterator[Any]:
    server: Any = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Says)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("says", ODD)
def test_whatever_a_store_says_a_call_is_told_what_its_mode_says(odd: Any, says: str, colour: Colour) -> None:
    odd.says = ODD[says]
    where = place(f"redis://127.0.0.1:{odd.server_address[1]}")
    with counting(where) as store:
        view = store.view(colour.runtime())
        held = colour.run(view.take(asks("local"), 30.0))
        assert isinstance(held, Taken)
        assert not took(colour.run(view.take(asks("closed"), 30.0)))
        view.settle(held.hold, {})
        for _ in range(4):
            colour.run(view.take(asks("open"), 30.0))
        assert store.fuse.blown or says == "too many"
