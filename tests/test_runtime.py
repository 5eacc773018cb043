"""The two ways to wait, and what is shared between threads, loops and forked processes."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge.runtime import (
    Alarm,
    Awaiting,
    Blocking,
    Crowd,
    FakeClock,
    Guard,
    LoopClock,
    Signal,
    ThreadClock,
    drive,
    drive_iter,
    mind_forks,
)
from tests.chaos.virtual import run

if TYPE_CHECKING:
    from tests.conftest import Colour

# ---------------------------------------------------------------- drive


class Suspends:
    def __await__(self) -> Any:
        yield


async def waits(closed: list[str]) -> None:
    try:
        await Suspends()
    finally:
        closed.append("closed")


def test_what_never_waits_runs_on_the_spot() -> None:
    async def inner() -> int:
        return 20

    async def outer() -> int:
        return await inner() + 1

    assert drive(outer()) == 21


def test_its_errors_are_raised_as_they_are() -> None:
    async def fails() -> None:
        raise KeyError("as it is")

    with pytest.raises(KeyError, match="as it is"):
        drive(fails())


def test_what_waits_for_a_loop_is_told_so_and_closed() -> None:
    closed: list[str] = []
    with pytest.raises(RuntimeError, match="awaited an event loop inside the sync client"):
        drive(waits(closed))
    assert closed == ["closed"]


async def waits_on_the_way_out() -> None:
    try:
        await Suspends()
    finally:
        await Suspends()


async def fails_on_the_way_out() -> None:
    try:
        await Suspends()
    finally:
        raise ValueError("on the way out")


@pytest.mark.parametrize("work", [waits_on_the_way_out, fails_on_the_way_out])
def test_what_goes_wrong_while_it_is_closed_does_not_hide_that(work: Callable[[], Any]) -> None:
    with pytest.raises(RuntimeError, match="awaited an event loop inside the sync client") as caught:
        drive(work())
    assert caught.value.__cause__ is not None


def test_asyncio_inside_the_sync_colour_is_told_so_under_a_running_loop() -> None:
    async def notebook() -> None:
        with pytest.raises(RuntimeError, match="inside the sync client"):
            drive(asyncio.sleep(1))

    asyncio.run(notebook())


def test_asyncio_inside_the_sync_colour_is_told_so_where_no_loop_runs() -> None:
    with pytest.raises(RuntimeError, match="inside the sync client") as caught:
        drive(asyncio.sleep(1))
    assert str(caught.value.__cause__) == "no running event loop"


def test_a_mistake_of_a_layer_is_not_taken_for_waiting() -> None:
    async def wrong() -> None:
        raise RuntimeError("another mistake")

    with pytest.raises(RuntimeError, match="another mistake"):
        drive(wrong())


def test_an_async_iterator_that_never_waits_is_read_as_a_plain_one() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1
        yield 2

    assert list(drive_iter(numbers())) == [1, 2]


# ---------------------------------------------------------------- clocks


def test_the_fake_clock_moves_only_when_someone_waits_or_says_so(colour: Colour) -> None:
    clock = FakeClock(5.0, time=100.0)
    colour.run(clock.sleep(2.5))
    clock.advance(1.5)
    assert (clock.now(), clock.time(), clock.slept) == (9.0, 104.0, [2.5])


def test_the_real_clocks_tell_the_same_time(colour: Colour) -> None:
    clock = ThreadClock() if colour.name == "sync" else LoopClock()
    before = (time.monotonic(), time.time())
    colour.run(clock.sleep(0))
    assert before[0] <= clock.now() <= time.monotonic()
    assert before[1] <= clock.time() <= time.time()


# ---------------------------------------------------------------- signals


async def waited(colour: Colour, signal: Signal, seconds: float | None) -> bool:
    return await colour.runtime().wait(signal, seconds)


def test_a_signal_that_is_set_is_not_waited_for(colour: Colour) -> None:
    happened = Signal()
    happened.set()
    assert colour.run(waited(colour, happened, None)) is True


@pytest.mark.parametrize("patience", [0.0, -1.0, 0.001])
def test_a_signal_nobody_sets_is_waited_for_in_vain(colour: Colour, patience: float) -> None:
    happened, calls = Signal(), list[str]()
    assert colour.run(waited(colour, happened, patience)) is False
    happened.subscribe(lambda: calls.append("woken"))
    happened.set()
    assert calls == ["woken"]


def test_a_signal_set_by_another_thread_wakes_whoever_waits(colour: Colour) -> None:
    happened = Signal()
    setter = threading.Thread(target=happened.set)

    async def wait() -> bool:
        setter.start()
        return await colour.runtime().wait(happened, 60)

    assert colour.run(wait()) is True
    setter.join()


def test_one_signal_wakes_threads_and_loops_together() -> None:
    happened, woken = Signal(), list[bool]()
    ready = threading.Semaphore(0)

    class Heard(Signal):
        """Says when someone begins to wait."""

        __slots__ = ()

        def subscribe(self, wake: Callable[[], None]) -> None:
            super().subscribe(wake)
            ready.release()

    happened = Heard()
    in_loop = threading.Thread(target=lambda: woken.append(asyncio.run(wait(Awaiting(), happened))))
    in_thread = threading.Thread(target=lambda: woken.append(drive(Blocking().wait(happened, 60))))
    in_loop.start()
    in_thread.start()
    ready.acquire()
    ready.acquire()
    happened.set()
    in_loop.join()
    in_thread.join()
    assert woken == [True, True]


async def wait(runtime: Awaiting, happened: Signal) -> bool:
    return await runtime.wait(happened, 60)


def test_a_signal_set_after_the_waiting_loop_is_gone_harms_nobody() -> None:
    happened, loop = Signal(), asyncio.new_event_loop()
    waiting = wait(Awaiting(), happened)
    task = loop.create_task(waiting)
    loop.run_until_complete(asyncio.sleep(0))
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio would complain, rightly
    loop.close()
    happened.set()
    assert happened.is_set
    waiting.close()


def test_a_crowd_waits_each_for_its_own_time_and_goes_on_in_the_order_it_came() -> None:
    crowd, told = Crowd(), list[tuple[str, bool, float]]()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def wait(name: str, seconds: float | None) -> None:
            happened = await Awaiting().wait(crowd, seconds)
            told.append((name, happened, loop.time()))

        patience = {"a": 30.0, "b": 10.0, "c": None, "d": 10.0, "e": 40.0, "f": 20.0, "left": 5.0}
        tasks = [asyncio.create_task(wait(name, seconds)) for name, seconds in patience.items()]
        await asyncio.sleep(1.0)
        tasks[-1].cancel()
        loop.call_later(24.0, crowd.set)
        await asyncio.gather(*tasks, return_exceptions=True)
        await wait("late", 1.0)
        assert tasks[-1].cancelled()

    run(main())
    assert told == [
        ("b", False, 10.0), ("d", False, 10.0), ("f", False, 20.0),
        ("a", True, 25.0), ("c", True, 25.0), ("e", True, 25.0), ("late", True, 25.0),
    ]  # fmt: skip


def test_each_waker_is_called_once_whoever_sets_and_subscribes() -> None:
    for _ in range(200):
        happened, calls, together = Signal(), list[int](), threading.Barrier(3)

        def subscribe(happened: Signal = happened, calls: list[int] = calls, together: Any = together) -> None:
            together.wait()
            happened.subscribe(lambda: calls.append(1))

        def set_it(happened: Signal = happened, together: Any = together) -> None:
            together.wait()
            happened.set()

        threads = [threading.Thread(target=act) for act in (subscribe, set_it, set_it)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert calls == [1]


def test_whoever_waits_no_longer_is_not_called() -> None:
    happened, calls = Signal(), list[int]()

    def wake() -> None:
        calls.append(1)

    happened.subscribe(wake)
    happened.unsubscribe(wake)
    happened.unsubscribe(wake)
    happened.set()
    assert calls == []


# ---------------------------------------------------------------- guard


def test_what_is_posted_inside_the_lock_is_done_when_it_opens() -> None:
    # As when the garbage collector, running inside the lock, drops a stream that gives something back.
    guard, done = Guard(), list[str]()

    def work() -> str:
        guard.post(lambda: done.append("posted"))
        done.append("work")
        return "result"

    assert guard.do(work) == "result"
    assert done == ["work", "posted"]


def test_what_threads_post_and_do_is_never_lost_and_never_at_once() -> None:
    guard, count = Guard(), [0]

    def add() -> None:
        seen = count[0]
        for _ in range(20):
            pass
        count[0] = seen + 1

    def act() -> None:
        for number in range(500):
            guard.do(add) if number % 2 else guard.post(add)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=act) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert count == [2000]


# ---------------------------------------------------------------- alarms


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts the timers that are set."""

    timers = 0

    def call_at(self, *given: Any, **named: Any) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(*given, **named)

    def pending(self) -> list[asyncio.TimerHandle]:
        return [timer for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]  # asyncio's own


def on_a_loop(work: Callable[[CountingLoop], Awaitable[None]]) -> CountingLoop:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CountingLoop)
        await work(loop)

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        runner.run(run())
        loop = runner.get_loop()
        assert isinstance(loop, CountingLoop)
        return loop


def ringing() -> Alarm:
    """An alarm of a clock that stands at 100: a moment before that is past."""
    return Awaiting(FakeClock(100.0)).alarm()


LATE, FAR = 99.0, 1e6


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def soon(value: int = 7) -> int:
    await asyncio.sleep(0)
    return value


def test_work_in_time_gives_its_result(colour: Colour) -> None:
    async def work() -> int:
        return 7

    alarm = colour.runtime(FakeClock()).alarm()
    assert colour.run(alarm.until(FAR, work())) == 7
    assert colour.run(alarm.until(None, work())) == 7


def test_a_late_wait_is_a_timeout_and_no_cancellation() -> None:
    async def act(loop: CountingLoop) -> None:
        alarm, task = ringing(), asyncio.current_task()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await alarm.until(LATE, forever())
        assert task is not None
        assert task.cancelling() == 0
        assert await alarm.until(FAR, soon()) == 7

    on_a_loop(act)


def test_the_work_of_a_late_wait_is_cancelled() -> None:
    async def act(loop: CountingLoop) -> None:
        ends: list[str] = []

        async def work() -> None:
            try:
                await forever()
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

        with pytest.raises(TimeoutError):
            await ringing().until(LATE, work())
        assert ends == ["cancelled"]

    on_a_loop(act)


@pytest.mark.parametrize("meanwhile", ["nothing", "before the alarm", "with the alarm"])
def test_a_foreign_cancel_stays_a_cancel_even_when_both_come_together(meanwhile: str) -> None:
    async def act(loop: CountingLoop) -> None:
        moment, counted = FAR if meanwhile == "nothing" else LATE, list[int]()
        task = asyncio.ensure_future(ringing().until(moment, forever()))
        await asyncio.sleep(0)  # now it waits, and a late alarm is due in the loop's next turn
        if meanwhile == "with the alarm":
            loop.call_later(0, lambda: counted.append(task.cancelling()) or task.cancel())
        else:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        # The alarm came first, and the task had not run in between.
        assert counted == ([1] if meanwhile == "with the alarm" else [])

    on_a_loop(act)


def test_work_that_swallows_the_cancellation_leaves_nothing_behind() -> None:
    async def act(loop: CountingLoop) -> None:
        alarm, task = ringing(), asyncio.current_task()
        assert task is not None

        async def swallows() -> int:
            try:
                await forever()
            except asyncio.CancelledError:
                pass
            return 3

        async def renames() -> None:
            try:
                await forever()
            except asyncio.CancelledError:
                raise ConnectionError("the engine's word for it") from None

        assert await alarm.until(LATE, swallows()) == 3
        assert task.cancelling() == 0
        with pytest.raises(ConnectionError):
            await alarm.until(LATE, renames())
        assert task.cancelling() == 0
        # And the next cancellation, which is another's, is not taken for the alarm's.
        inner = asyncio.ensure_future(alarm.until(FAR, forever()))
        await asyncio.sleep(0)
        inner.cancel()
        with pytest.raises(asyncio.CancelledError):
            await inner

    on_a_loop(act)


def test_inside_asyncio_timeout_each_limit_is_told_for_what_it_is() -> None:
    async def act(loop: CountingLoop) -> None:
        async with asyncio.timeout(60) as roomy:
            with pytest.raises(TimeoutError):
                await ringing().until(LATE, forever())
        assert not roomy.expired()
        task, cut = asyncio.current_task(), list[type[BaseException]]()

        async def outer(moment: float) -> None:
            async with asyncio.timeout(0):
                try:
                    await ringing().until(moment, forever())
                except BaseException as error:
                    cut.append(type(error))
                    raise

        for moment in (FAR, LATE):
            with pytest.raises(TimeoutError):
                await outer(moment)
        assert task is not None
        assert (cut[0], task.cancelling()) == (asyncio.CancelledError, 0)

    on_a_loop(act)


def test_the_waits_of_many_calls_set_one_timer() -> None:
    async def act(loop: CountingLoop) -> None:
        runtime, before = Awaiting(FakeClock(100.0)), loop.timers

        async def call() -> None:
            alarm = runtime.alarm()
            for chunk in range(50):
                await alarm.until(FAR + chunk, soon())

        await asyncio.gather(*[call() for _ in range(100)])
        assert loop.timers - before == 1
        assert len(loop.pending()) == 1

    on_a_loop(act)


def test_of_many_that_wait_only_who_is_late_is_told_so() -> None:
    async def act(loop: CountingLoop) -> None:
        clock = FakeClock(100.0)
        runtime = Awaiting(clock)

        async def call(moment: float) -> int:
            ended = loop.create_future()
            loop.call_later(0.05, lambda: ended.done() or ended.set_result(7))
            return await runtime.alarm().until(moment, ended)

        told = await asyncio.gather(*[call(moment) for moment in (FAR, LATE, FAR, LATE)], return_exceptions=True)
        assert [each if isinstance(each, int) else type(each) for each in told] == [7, TimeoutError, 7, TimeoutError]

    on_a_loop(act)


def test_an_alarm_serves_one_loop_after_another() -> None:
    runtime = Awaiting(FakeClock(100.0))
    alarm = runtime.alarm()

    async def act(loop: CountingLoop) -> None:
        assert await alarm.until(FAR, soon()) == 7
        with pytest.raises(TimeoutError):
            await alarm.until(LATE, forever())

    on_a_loop(act)
    on_a_loop(act)


def test_a_moment_that_comes_nearer_is_kept() -> None:
    async def act(loop: CountingLoop) -> None:
        alarm = ringing()
        await alarm.until(FAR, soon())
        with pytest.raises(TimeoutError):
            await alarm.until(LATE, forever())
        assert loop.pending() == []

    on_a_loop(act)


def test_a_timer_that_rings_early_is_set_again() -> None:
    async def act(loop: CountingLoop) -> None:
        clock = FakeClock(100.0)
        alarm = Awaiting(clock).alarm()
        await alarm.until(100.0, soon())  # its timer is due at once, and rings between waits or inside the next

        async def time_passes() -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            clock.advance(50.0)

        passing = asyncio.ensure_future(time_passes())
        assert await alarm.until(100.0 + 1e-9, several_turns()) == 7  # nobody is cancelled before the moment
        await passing
        with pytest.raises(TimeoutError):
            await alarm.until(149.0, forever())

    on_a_loop(act)


async def several_turns() -> int:
    for _ in range(3):
        await asyncio.sleep(0)
    return 7


# ---------------------------------------------------------------- forks


def in_a_child(look: Callable[[], bool]) -> bool:
    """What a forked child sees; an alarm of the system ends a child that hangs."""
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(20)
            os._exit(0 if look() else 3)
        finally:
            os._exit(4)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 0


needs_fork = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@needs_fork
def test_a_lock_held_by_another_thread_is_free_in_a_forked_child() -> None:
    guard, held, done = Guard(), threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        done.wait()

    holder = threading.Thread(target=lambda: guard.do(hold))
    holder.start()
    held.wait()
    try:
        assert in_a_child(lambda: guard.do(lambda: True))
    finally:
        done.set()
        holder.join()


class Counts:
    def __init__(self) -> None:
        self.forks = 0

    def after_fork(self) -> None:
        self.forks += 1


@needs_fork
def test_only_the_child_hears_of_a_fork_and_hears_of_it_once() -> None:
    things = [Counts(), Counts()]
    for thing in things:
        mind_forks(thing)
    mind_forks(things[0])
    assert in_a_child(lambda: [thing.forks for thing in things] == [1, 1])
    assert [thing.forks for thing in things] == [0, 0]


@needs_fork
def test_what_is_gone_is_not_told() -> None:
    thing = Counts()
    mind_forks(thing)
    del thing
    gc.collect()
    assert in_a_child(lambda: True)


def test_importing_does_not_watch_forks() -> None:
    program = (
        "import os; calls = []; os.register_at_fork = lambda **named: calls.extend(named.values())\n"
        "import llm_edge.runtime as runtime; ours = lambda: [c for c in calls if c.__module__ == 'llm_edge.signals']\n"
        "assert not ours(); runtime.Guard(); runtime.Guard(); assert len(ours()) == 3"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


ROOT = Path(__file__).resolve().parents[1]
SLOW = """
import os, signal, sys, threading, types
import llm_edge.runtime as runtime
runtime.Guard()
gate = sys.modules["gate"] = types.ModuleType("gate")
gate.begun, gate.go = threading.Event(), threading.Event()
with open("slow.py", "w") as file:
    file.write("import gate\\ngate.begun.set(); gate.go.wait(); sum(range(10**6)); done = True")
sys.path.insert(0, ".")
threading.Thread(target=lambda: __import__("slow"), daemon=True).start()
gate.begun.wait()
os.register_at_fork(before=gate.go.set)  # heard before ours, so the import ends while that one waits
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    import slow
    os._exit(0 if slow.done else 3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_fork_waits_for_what_another_thread_is_importing(tmp_path: Path) -> None:
    given = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", SLOW]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=given)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_wait_that_is_moved_rings_at_its_new_moment() -> None:
    async def act(loop: CountingLoop) -> None:
        alarm = ringing()

        async def moved(*moments: float | None) -> int:
            for moment in moments:
                alarm.move(moment)
            return await (forever_7() if moments[-1] == LATE else soon())

        assert await alarm.until(LATE, moved(None)) == 7
        assert await alarm.until(LATE, moved(FAR)) == 7
        with pytest.raises(TimeoutError):
            await alarm.until(FAR, moved(None, LATE))

    on_a_loop(act)


async def forever_7() -> int:
    await forever()
    return 7
