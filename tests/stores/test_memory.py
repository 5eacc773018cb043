"""The memory store: bounded in bytes and entries, shared by threads, empty in a forked child."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass

import pytest

from llm_edge.stores.memory import MemoryStore


@dataclass
class Item:
    size: int = 10
    word: str = ""


def test_what_is_kept_is_found_until_it_is_removed() -> None:
    store: MemoryStore[Item] = MemoryStore()
    item = Item(word="a")
    store.put("k", item)
    assert store.get("k") is item
    store.remove("k")
    store.remove("never there")
    assert store.get("k") is None


def test_a_later_answer_takes_the_place_of_an_earlier_one() -> None:
    store: MemoryStore[Item] = MemoryStore()
    for word in ("a", "b"):
        store.put("k", Item(word=word))
    found = store.get("k")
    assert found is not None
    assert (found.word, len(store)) == ("b", 1)


def test_all_of_it_can_be_forgotten() -> None:
    store: MemoryStore[Item] = MemoryStore()
    for number in range(5):
        store.put(str(number), Item())
    store.clear()
    assert len(store) == 0


def filled(store: MemoryStore[Item], count: int, size: int) -> int:
    for number in range(count):
        store.put(str(number), Item(size))
    kept = len(store)
    assert kept == sum(store.get(str(number)) is not None for number in range(count))
    return kept


@pytest.mark.parametrize("entries", [1, 7, 100])
def test_it_never_holds_more_entries_than_it_may(entries: int) -> None:
    assert filled(MemoryStore(entries=entries, bytes=2**20), 1000, 1) == entries


def test_it_never_holds_more_bytes_than_it_may() -> None:
    assert 0 < filled(MemoryStore(entries=1000, bytes=1000), 500, 90) <= 11


def test_what_is_larger_than_all_its_room_is_not_kept() -> None:
    store: MemoryStore[Item] = MemoryStore(bytes=100)
    store.put("small", Item(60))
    store.put("large", Item(101))
    assert store.get("large") is None
    assert store.get("small") is not None


@pytest.mark.parametrize(("entries", "size"), [(0, 2**20), (10, 0), (0, 0)])
def test_without_room_it_holds_nothing(entries: int, size: int) -> None:
    assert filled(MemoryStore(entries=entries, bytes=size), 10, 1) == 0


def test_threads_share_it() -> None:
    store: MemoryStore[Item] = MemoryStore(entries=50, bytes=5000)
    wrong: list[str] = []

    def work(mine: int) -> None:
        for number in range(500):
            key = str(number % 80)
            store.put(key, Item(10, word=key))
            found = store.get(str((number + mine) % 80))
            if found is not None and found.word != str((number + mine) % 80):
                wrong.append(found.word)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(store) <= 50


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_begins_empty_and_the_parent_keeps_its_own() -> None:
    store: MemoryStore[Item] = MemoryStore()
    store.put("k", Item())
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(20)
            empty = store.get("k") is None
            store.put("k", Item(word="child"))
            os._exit(0 if empty and store.get("k") else 3)
        finally:
            os._exit(4)
    _, status = os.waitpid(pid, 0)
    found = store.get("k")
    assert os.waitstatus_to_exitcode(status) == 0
    assert found is not None
    assert found.word == ""


_SHORT_LIVED = """
import threading
from llm_edge.stores.memory import MemoryStore

class Item:
    size = 1000

def use(store):
    for number in range(3000):
        store.put(str(number % 50), Item())
        store.get(str(number % 50))

def on_a_thread(work, *given):
    thread = threading.Thread(target=work, args=given)
    thread.start()
    thread.join()

first, second = MemoryStore(), MemoryStore()
on_a_thread(first.get, "k")  # whoever asks first is soon gone
for store in (first, second):
    on_a_thread(use, store)
    use(store)
print(len(first), len(second))
"""


def test_the_first_to_ask_may_be_a_thread_that_ends() -> None:
    # A process of its own: it would end with a segmentation fault.
    done = subprocess.run([sys.executable, "-c", _SHORT_LIVED], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["50", "50"]), done.stderr


def test_a_later_answer_that_is_too_large_leaves_no_earlier_one_behind() -> None:
    store: MemoryStore[Item] = MemoryStore(bytes=100)
    store.put("a", Item(60))
    store.put("a", Item(101))
    assert store.get("a") is None
