"""Work that may hang is done by threads that nobody has to wait for longer than they will."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_edge.runtime import Awaiting, Blocking, drive
from llm_edge.stores.bells import Bell, bell
from llm_edge.stores.workers import Behind, NotYet, Workers
from tests.forks import in_child

BOUND = 20.0


@pytest.fixture(params=[True, False], ids=["prompt", "plain"])
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    made = Workers("test", 2, lambda: None, prompt=request.param)
    yield made
    made.close()
    made.join(BOUND)


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest, workers: Workers) -> Callable[..., Any]:
    """The work's result, in one colour."""

    def here(work: Callable[[], object], seconds: float = BOUND) -> object:
        if request.param == "sync":
            return drive(workers.run(work, Blocking(), seconds))
        return asyncio.run(workers.run(work, Awaiting(), seconds))

    return here


def refuse() -> None:
    raise LookupError("there is none")


def test_the_work_is_done_elsewhere_and_its_result_comes_back(run: Callable[..., Any]) -> None:
    assert run(threading.get_ident) != threading.get_ident()
    assert [run(lambda each=each: each) for each in range(50)] == list(range(50))


def test_what_the_work_raises_comes_back_too(run: Callable[..., Any]) -> None:
    with pytest.raises(LookupError, match="there is none"):
        run(refuse)


def test_work_that_hangs_is_waited_for_as_long_as_was_said(run: Callable[..., Any], workers: Workers) -> None:
    goes_on, begun = threading.Event(), threading.Semaphore(0)

    def hang() -> str:
        begun.release()
        goes_on.wait(BOUND)
        return "late"

    for _ in range(2):
        workers.submit(hang)
        assert begun.acquire(timeout=BOUND)
    with pytest.raises(NotYet):
        run(lambda: "never begun", 0.0)
    goes_on.set()
    assert run(lambda: "in time") == "in time"
    goes_on.clear()
    with pytest.raises((TimeoutError, NotYet)):
        run(hang, 0.01)
    goes_on.set()
    assert [run(lambda each=each: each) for each in range(20)] == list(range(20)), "and never another's"


def test_many_threads_get_each_its_own(workers: Workers) -> None:
    found: dict[int, list[int]] = {}

    def ask(number: int) -> None:
        found[number] = [drive(workers.run(lambda each=each: number * each, Blocking(), BOUND)) for each in range(100)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert found == {number: [number * each for each in range(100)] for number in range(12)}


PROC = Path("/proc/self/fd")
"""Where the system tells of open files; where it does not, there is nothing to be seen."""


def pipes() -> set[str]:
    """Those this process has open, whoever opened them."""
    found: set[str] = set()
    for each in PROC.iterdir() if PROC.exists() else ():
        with contextlib.suppress(OSError):  # the file by which the folder is read is gone by now
            found.add(str(each.readlink()))
    return {name for name in found if name.startswith("pipe:")}


def test_who_is_closed_leaves_neither_threads_nor_open_files() -> None:
    before, left = pipes(), list[int]()
    workers = Workers("test", 4, lambda: left.append(1), prompt=True)
    for _ in range(20):
        drive(workers.run(lambda: None, Blocking(), BOUND))
    made = pipes() - before
    assert made or not PROC.exists()
    workers.close()
    workers.join(BOUND)
    assert left
    assert not [thread for thread in workers._threads if thread.is_alive()]  # pyright: ignore[reportPrivateUsage]  # its own
    assert made.isdisjoint(pipes())


def test_who_is_forgotten_leaves_none_either() -> None:
    before = pipes()
    workers = Workers("test", 2, lambda: None, prompt=True)
    drive(workers.run(lambda: None, Blocking(), BOUND))
    made = pipes() - before
    assert made or not PROC.exists()
    threads = workers._threads  # pyright: ignore[reportPrivateUsage]  # its own
    del workers
    gc.collect()
    for thread in threads:
        thread.join(BOUND)
    assert threads
    assert made.isdisjoint(pipes())


def test_where_no_more_files_may_be_opened_the_work_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> tuple[int, int]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe", none_left)
    workers = Workers("test", 2, lambda: None, prompt=True)
    assert [drive(workers.run(lambda each=each: each, Blocking(), BOUND)) for each in range(5)] == list(range(5))  # type: ignore[misc]  # the number of now
    workers.close()
    workers.join(BOUND)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_hires_its_own_and_keeps_none_of_the_parents_files() -> None:
    workers = Workers("test", 2, lambda: None, prompt=True)
    before = pipes()
    assert drive(workers.run(os.getpid, Blocking(), BOUND)) == os.getpid()
    made = pipes() - before
    assert made or not PROC.exists()
    assert in_child(
        lambda: made.isdisjoint(pipes()) and drive(workers.run(os.getpid, Blocking(), BOUND)) == os.getpid()
    )
    assert drive(workers.run(os.getpid, Blocking(), BOUND)) == os.getpid()
    workers.close()
    workers.join(BOUND)


@pytest.fixture(params=[True, False], ids=["prompt", "plain"])
def rings(request: pytest.FixtureRequest) -> Iterator[Bell]:
    made = bell(prompt=request.param)
    yield made
    made.close()
    made.close()  # once more does no harm


def test_a_bell_is_heard_once_and_by_who_comes_later_too(rings: Bell) -> None:
    assert not rings.wait(0.0)
    rings.ring()
    assert rings.wait()
    assert not rings.wait(0.0)
    rings.ring()
    assert rings.wait(BOUND)


def test_a_loop_that_waits_a_moment_first_is_given_the_same(workers: Workers) -> None:
    def wrong() -> None:
        raise LookupError("not there")

    async def ask() -> list[object]:
        running = Awaiting()
        found: list[object] = [
            await workers.run(functools.partial(abs, each), running, BOUND, glance=True) for each in range(3)
        ]
        with pytest.raises(LookupError, match="not there"):
            await workers.run(wrong, running, BOUND, glance=True)
        with pytest.raises(TimeoutError):
            await workers.run(functools.partial(release.wait, BOUND), running, 0.01, glance=True)
        return found

    release = threading.Event()
    try:
        assert asyncio.run(ask()) == [0, 1, 2]
    finally:
        release.set()


def test_a_loop_goes_on_while_slow_work_is_done() -> None:
    async def ask() -> list[str]:
        workers = Workers("test", 1, lambda: None, prompt=True)
        found: list[str] = []
        for _ in range(3):
            told = threading.Event()
            asyncio.get_running_loop().call_soon(told.set)  # by the loop itself: it must not stand still
            work = functools.partial(told.wait, BOUND)
            found.append(str(await workers.run(work, Awaiting(), BOUND, glance=True)))
        workers.close()
        return found

    assert asyncio.run(ask()) == ["True"] * 3


def waited_for(workers: Workers, work: Callable[[], Any], *, here: bool) -> Any:
    """By this thread, or by a loop that goes on meanwhile."""
    if here:
        return drive(workers.run(work, Blocking(), BOUND))
    return asyncio.run(workers.run(work, Awaiting(), BOUND))


def at_rest(workers: Workers) -> None:
    until = time.monotonic() + BOUND
    while not workers._idle:  # pyright: ignore[reportPrivateUsage]  # nothing else tells
        assert time.monotonic() < until, "it never lies down"
        threading.Event().wait(0.001)


@pytest.fixture
def one() -> Iterator[Workers]:
    """A thread that lies down before it is brought more."""
    with one_thread() as workers:
        yield workers


@contextlib.contextmanager
def one_thread() -> Iterator[Workers]:
    workers = Workers("test", 1, lambda: None, prompt=True)
    for _ in range(2):
        waited_for(workers, lambda: None, here=True)
        at_rest(workers)
    yield workers
    workers.close()
    workers.join(BOUND)


placed = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system places its threads by itself")


@placed
def test_who_is_waited_for_goes_on_where_the_caller_was_and_else_wherever_there_is_room(one: Workers) -> None:
    everywhere = os.sched_getaffinity(0)
    try:
        for processor in everywhere:
            os.sched_setaffinity(0, {processor})
            at_rest(one)
            assert waited_for(one, lambda: os.sched_getaffinity(0), here=True) == {processor}
    finally:
        os.sched_setaffinity(0, everywhere)
    at_rest(one)
    assert waited_for(one, lambda: os.sched_getaffinity(0), here=False) == everywhere
    at_rest(one)
    assert len(waited_for(one, lambda: os.sched_getaffinity(0), here=True)) == 1
    assert os.sched_getaffinity(0) == everywhere, "the caller's own place is its own affair"


@placed
def test_where_threads_cannot_be_placed_the_work_is_done_all_the_same_and_it_is_tried_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[int] = []

    def forbidden(thread: int, processors: object) -> None:
        tried.append(thread)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", forbidden)
    with one_thread() as workers:
        for number in range(5):
            at_rest(workers)
            assert waited_for(workers, lambda number=number: number, here=True) == number  # type: ignore[misc]  # the number of now
    assert len(tried) == 1


@pytest.mark.parametrize(("before", "order"), [(3, [0, 1, 2, "soon"]), (200, ["soon", *range(101, 200)])])
def test_what_others_wait_for_is_neither_dropped_nor_done_after_much_else(before: int, order: list[object]) -> None:
    begun, gate, done = threading.Event(), threading.Event(), list[object]()
    with one_thread() as workers:
        behind = Behind(workers, items=100)
        behind.add(lambda: (begun.set(), gate.wait(BOUND)))
        assert begun.wait(BOUND)
        for number in range(before):
            behind.add(functools.partial(done.append, number))
        behind.add(functools.partial(done.append, "soon"), soon=True)
        gate.set()
        assert drive(behind.drained(Blocking(), BOUND))
    assert done == order


@placed
def test_a_thread_that_can_be_placed_no_more_is_not_left_where_it_was_put_last(
    one: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    everywhere, place = os.sched_getaffinity(0), os.sched_setaffinity
    refused: list[object] = []

    def once(thread: int, processors: set[int]) -> None:
        if not refused:
            refused.append(processors)
            raise OSError(22, "Invalid argument")
        place(thread, processors)

    at_rest(one)
    assert len(waited_for(one, lambda: os.sched_getaffinity(0), here=True)) == 1
    monkeypatch.setattr(os, "sched_setaffinity", once)
    at_rest(one)
    waited_for(one, lambda: None, here=False)
    at_rest(one)
    assert waited_for(one, lambda: os.sched_getaffinity(0), here=True) == everywhere
    assert len(refused) == 1
