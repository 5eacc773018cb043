"""Nothing waits longer than the call and nothing is left behind: deadlines, cancelling, loops, threads, forks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from llm_edge import EdgeClient
from llm_edge.errors import NetworkFailed
from llm_edge.http.sender import Sender
from llm_edge.http.senders import HttpSettings, choose
from llm_edge.runtime import drive

from .senders_kit import (
    CHUNKED,
    CLOCK,
    OK,
    Peer,
    Upstream,
    Wires,
    answering,
    chunk,
    patient,
    post,
    rest,
    then_silent,
)

SHORT = 0.3
SOON = SHORT + 25.0
"""A bound on behaviour, not on speed: where the limit does not hold, these servers go on for ever, or for `LATE`."""
LATE = 60.0


@pytest.fixture
def exact(wires: Wires) -> Wires:
    """The engine as `auto` takes it: pyreqwest's awaitable calls cannot be ended before their answer begins."""
    if (wires.colour.name, wires.engine) == ("async", "pyreqwest"):
        wires.engine = "auto"
    return wires


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert SHORT - 0.05 <= time.monotonic() - started < SOON


def dripping(first: bytes, drop: bytes, every: float = 0.05) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(first)
        peer.drip(drop, every)

    return script


DRIPS = {
    "bytes of the head": dripping(b"HTTP/1.1 200 OK\r\n", b"x"),
    "header fields": dripping(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "interim answers": dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "bytes of a body": dripping(b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n", b"x"),
    "comments": dripping(CHUNKED, chunk(b": ping\n\n")),
    "comments without a pause": dripping(CHUNKED, chunk(b": ping\n\n"), 0.0),
    "bytes of a chunk size": dripping(CHUNKED, b"0"),
}


@pytest.mark.parametrize("name", DRIPS)
def test_a_server_that_drips_gains_no_time(wires: Wires, name: str) -> None:
    with Upstream(DRIPS[name]) as upstream:
        send = wires.sender()
        with bounded(), pytest.raises((NetworkFailed, TimeoutError)):
            wires.get(send, upstream.url, patient(SHORT))
        assert upstream.left_alone()


@pytest.mark.parametrize("name", DRIPS)
def test_a_moment_that_comes_before_the_end_of_the_call_holds_too(exact: Wires, name: str) -> None:
    with Upstream(DRIPS[name]) as upstream:
        send = exact.sender()
        patience = patient(None, silence=SHORT)
        patience.within(SHORT)
        with bounded(), pytest.raises((NetworkFailed, TimeoutError)):
            exact.get(send, upstream.url, patience)
        assert upstream.left_alone()


def test_the_moment_moves_as_the_stream_goes_on(wires: Wires) -> None:
    """The hop gives more time with each event, and little at the end; once in ten times the machine keeps up."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED)
        for _ in range(4):
            time.sleep(SHORT / 2)
            peer.send(chunk(b"data: 1\n\n"))
        peer.wait_gone()

    async def talk(url: str) -> int:
        patience = patient(LATE)
        patience.within(SHORT)
        alarm = wires.alarm()
        try:
            answer = await alarm.until(patience.moment, send(post(url), patience))
        except (NetworkFailed, TimeoutError):
            return 0
        try:
            for number in range(5):
                patience.within(SHORT)
                try:
                    await alarm.until(patience.moment, answer.source.__anext__())
                except (NetworkFailed, TimeoutError):
                    return number
            return 5
        finally:
            await answer.source.aclose()

    with Upstream(script) as upstream:
        send = wires.sender()
        assert 4 in (wires.run(talk(upstream.url)) for _ in range(10))
        assert upstream.left_alone()


@pytest.mark.parametrize("silence", [None, LATE])
def test_a_server_that_says_nothing_is_given_up(wires: Wires, silence: float | None) -> None:
    with Upstream(then_silent()) as upstream:
        send = wires.sender()
        with bounded(), pytest.raises((NetworkFailed, TimeoutError)):
            wires.get(send, upstream.url, patient(SHORT, silence=silence))
        assert upstream.left_alone()


@pytest.fixture
def black_hole() -> Iterator[str]:
    """An address where connecting never ends: a queue that is full and never served."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        stuck = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            stuck.append(sock)
        yield f"http://127.0.0.1:{address[1]}/"
        for sock in stuck:
            sock.close()


def test_connecting_into_nothing_ends_with_the_connect_limit(wires: Wires, black_hole: str) -> None:
    send = wires.sender()
    with bounded(), pytest.raises(NetworkFailed) as caught:
        wires.get(send, black_hole, patient(LATE, connect=SHORT))
    assert caught.value.kind == "ConnectTimeout"


def test_connecting_into_nothing_ends_with_the_call(wires: Wires, black_hole: str) -> None:
    send = wires.sender()
    with bounded(), pytest.raises((NetworkFailed, TimeoutError)):
        wires.get(send, black_hole, patient(SHORT, connect=LATE))


def test_a_tls_handshake_that_never_ends_counts_as_connecting(wires: Wires) -> None:
    def script(peer: Peer) -> None:
        peer.wait_gone()

    with Upstream(script) as upstream:
        url = upstream.url.replace("http:", "https:")
        send = wires.sender()
        with bounded(), pytest.raises(NetworkFailed) as caught:
            wires.get(send, url, patient(LATE, connect=SHORT))
    assert caught.value.kind == "ConnectTimeout"


@pytest.fixture
def slow_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A resolver that does not answer before the test is over."""
    over = threading.Event()

    def never(*_: Any, **__: Any) -> Any:
        over.wait(LATE)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    yield
    over.set()


@pytest.mark.parametrize("seconds", [LATE, SHORT])
def test_a_name_that_takes_for_ever_counts_as_connecting(
    exact: Wires, slow_names: None, request: pytest.FixtureRequest, seconds: float
) -> None:
    send = exact.sender()
    with bounded(), pytest.raises((NetworkFailed, TimeoutError)):
        exact.get(send, "http://slow.example/", patient(seconds, connect=SHORT, silence=LATE))


def test_a_full_pool_makes_the_next_call_wait_and_its_deadline_hold(wires: Wires) -> None:
    async def talk(url: str) -> None:
        held = await send(post(url), patient(LATE))
        with bounded(), pytest.raises((NetworkFailed, TimeoutError)):
            await wires.fetch(send, post(url), patient(SHORT))
        await held.source.aclose()
        assert (await wires.fetch(send, post(url.replace("/v1", "/ok")), patient(LATE)))[0] == 200

    def script(peer: Peer) -> None:
        head = peer.request()
        if head is not None and b"/ok" in head:
            peer.send(OK)
        peer.send(CHUNKED)
        peer.wait_gone()

    with Upstream(script) as upstream:
        send = wires.sender(pool=1)
        wires.run(talk(upstream.url))


# ---------------------------------------------------------------- cancelling


CANCELLED = ["httpx2", "httptools"]
"""The engines whose calls can be ended before their answer begins."""


class Cancelling:
    """Drives a coroutine and cancels what it waits for the k-th time, as a task does when it is cancelled."""

    def __init__(self, work: Any, at: int) -> None:
        self._work, self._at = work, at
        self.cancelled = False

    def __await__(self) -> Any:
        step = 0
        error: BaseException | None = None
        while True:
            try:
                waited = self._work.send(None) if error is None else self._work.throw(error)
            except StopIteration as done:
                return done.value
            error = None
            if step == self._at:
                self.cancelled = True
                if asyncio.isfuture(waited):
                    waited.cancel()
                else:
                    error = asyncio.CancelledError()
            step += 1
            if error is None:
                try:
                    yield waited
                except BaseException as raised:
                    error = raised


@pytest.mark.parametrize("engine", CANCELLED)
@pytest.mark.parametrize("streamed", [False, True])
def test_cancelled_at_any_await_nothing_is_left(streamed: bool, engine: str) -> None:
    """With room for one connection only, a slot that is lost would stop the next call."""

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(CHUNKED + chunk(b"data: 1\n\n") if streamed else OK)
            if streamed:
                peer.wait_gone()

    async def call(send: Sender, url: str) -> None:
        answer = await send(post(url), patient(LATE))
        try:
            await answer.source.__anext__()
            if not streamed:
                with contextlib.suppress(StopAsyncIteration):
                    await answer.source.__anext__()
        finally:
            await answer.source.aclose()

    async def thrown_at(step: int, url: str) -> bool:
        send = choose(HttpSettings(engine=engine, trust_env=False, pool=1))[1]  # type: ignore[arg-type]
        before = asyncio.all_tasks()
        driven = Cancelling(call(send, url), step)
        try:
            await driven
        except (asyncio.CancelledError, NetworkFailed):
            pass
        assert asyncio.all_tasks() == before
        async with asyncio.timeout(LATE):
            await call(send, url)
        await send.aclose()
        return driven.cancelled

    with Upstream(script) as upstream:
        step = 0
        while asyncio.run(thrown_at(step, upstream.url)):
            step += 1
            assert step < 100
        assert step > 0
        for peer in upstream.peers:
            assert peer.gone.wait(LATE)


@pytest.mark.parametrize("engine", CANCELLED)
def test_a_queue_of_cancelled_calls_leaves_room(engine: str) -> None:
    async def talk(url: str) -> None:
        send = choose(HttpSettings(engine=engine, trust_env=False, pool=1))[1]  # type: ignore[arg-type]
        held = await send(post(url), patient(LATE))
        waiting = [asyncio.create_task(send(post(url), patient(LATE))) for _ in range(5)]
        for _ in range(8):
            await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await held.source.aclose()
        async with asyncio.timeout(LATE):
            other = await send(post(url), patient(LATE))
        await other.source.aclose()
        await send.aclose()

    with Upstream(then_silent(CHUNKED)) as upstream:
        asyncio.run(talk(upstream.url))


@pytest.mark.parametrize("engine", CANCELLED)
def test_cancelled_while_it_waits_the_provider_hears_of_it(engine: str) -> None:
    async def talk(url: str) -> None:
        send = choose(HttpSettings(engine=engine, trust_env=False))[1]  # type: ignore[arg-type]
        task = asyncio.create_task(send(post(url), patient(LATE)))
        while not (upstream.peers and upstream.peers[0].heads):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(upstream.peers[0].gone.wait, LATE)
        await send.aclose()

    with Upstream(then_silent()) as upstream:
        asyncio.run(talk(upstream.url))


def test_cancelled_in_mid_answer_the_provider_hears_of_it_from_every_engine(wires: Wires) -> None:
    """Also from pyreqwest on a loop, where cancelling before the answer began does not reach the provider."""

    async def talk(url: str) -> None:
        answer = await send(post(url), patient(LATE))
        await answer.source.__anext__()
        task = asyncio.create_task(answer.source.__anext__())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await answer.source.aclose()
        assert await asyncio.to_thread(upstream.peers[0].gone.wait, LATE)

    async def left(url: str) -> None:
        answer = await send(post(url), patient(LATE))
        await answer.source.__anext__()
        await answer.source.aclose()
        assert upstream.peers[0].gone.wait(LATE)

    with Upstream(then_silent(CHUNKED + chunk(b"data: 1\n\n"))) as upstream:
        send = wires.sender()
        wires.run(talk(upstream.url) if wires.colour.name == "async" else left(upstream.url))


@pytest.mark.parametrize("engine", ["httpx2", "pyreqwest", "httptools"])
@pytest.mark.parametrize("stage", ["head", "body"])
def test_cancelled_just_as_the_bytes_arrive_it_is_cancelled_all_the_same(engine: str, stage: str) -> None:
    """With the answer already in the process and the loop not yet told; the cancelled task must not go on."""
    asked, sent = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        if stage == "body":
            peer.send(CHUNKED + chunk(b"data: 1\n\n"))
        assert asked.wait(LATE)
        peer.send(CHUNKED if stage == "head" else chunk(b"data: 2\n\n"))
        sent.set()
        peer.wait_gone()

    async def talk(url: str) -> None:
        send = choose(HttpSettings(engine=engine, trust_env=False))[1]  # type: ignore[arg-type]
        answers = []

        async def call() -> None:
            answers.append(await send(post(url), patient(LATE)))
            await answers[0].source.__anext__()
            await answers[0].source.__anext__()

        task = asyncio.create_task(call())
        while not (upstream.peers and upstream.peers[0].heads) or (stage == "body" and not answers):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        asked.set()
        assert sent.wait(LATE)
        time.sleep(0.05)  # the engine's own threads take it in, while this loop stands still
        task.cancel()
        await asyncio.wait([task], timeout=LATE)
        assert task.cancelled()
        for answer in answers:
            await answer.source.aclose()
        if answers or engine in CANCELLED:  # what pyreqwest cannot end may end later: see below
            assert await asyncio.to_thread(upstream.peers[0].gone.wait, LATE)
        await send.aclose()

    with Upstream(script) as upstream:
        asyncio.run(talk(upstream.url))


def test_what_pyreqwest_cannot_end_ends_with_its_deadline() -> None:
    async def talk(url: str) -> None:
        send = choose(HttpSettings(engine="pyreqwest", trust_env=False))[1]
        task = asyncio.create_task(send(post(url), patient(SHORT)))
        while not (upstream.peers and upstream.peers[0].heads):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(upstream.peers[0].gone.wait, LATE)
        await send.aclose()

    with Upstream(then_silent()) as upstream:
        asyncio.run(talk(upstream.url))


# ---------------------------------------------------------------- loops and threads


@pytest.mark.parametrize("engine", ["httpx2", "pyreqwest", "httptools"])
def test_one_sender_serves_loops_one_after_the_other(engine: str) -> None:
    async def talk(url: str) -> int:
        return (await Wires(engine, _Async()).fetch(send, post(url)))[0]

    with Upstream(answering) as upstream:
        send = choose(HttpSettings(engine=engine, trust_env=False))[1]  # type: ignore[arg-type]
        assert [asyncio.run(talk(upstream.url)) for _ in range(3)] == [200] * 3
        gc.collect()


@pytest.mark.parametrize("engine", ["httpx2", "pyreqwest", "httptools"])
def test_a_loop_closed_without_warning_is_let_go_without_a_sound(engine: str) -> None:
    async def talk(url: str) -> int:
        return (await Wires(engine, _Async()).fetch(send, post(url)))[0]

    with Upstream(answering) as upstream:
        send = choose(HttpSettings(engine=engine, trust_env=False))[1]  # type: ignore[arg-type]
        for _ in range(3):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(talk(upstream.url)) == 200
            loop.close()
        assert asyncio.run(_finish(talk(upstream.url), send)) == 200
        gc.collect()
        if engine != "pyreqwest":
            assert all(peer.gone.wait(LATE) for peer in upstream.peers)


@pytest.mark.parametrize("engine", ["httpx2", "httptools"])
def test_what_a_closed_loop_left_open_goes_with_the_client(engine: str) -> None:
    with Upstream(answering) as upstream:
        edge = EdgeClient(env={}, http={"engine": engine, "trust_env": False})
        client = edge.async_http_client()
        loop = asyncio.new_event_loop()
        loop.run_until_complete(client.get(f"{upstream.url}/anything"))
        loop.run_until_complete(client.post(f"{upstream.url}/anything", content=in_pieces()))  # httpx2's in any case
        loop.close()
        assert not any(peer.gone.is_set() for peer in upstream.peers)
        edge.close()
        assert all(peer.gone.wait(LATE) for peer in upstream.peers)


async def in_pieces() -> AsyncIterator[bytes]:
    yield b"{}"


async def _finish(work: Any, send: Sender) -> Any:
    result = await work
    await send.aclose()
    return result


class _Async:
    name = "async"

    def runtime(self) -> Any:
        from llm_edge.runtime import Awaiting

        return Awaiting()


class _Sync:
    name = "sync"

    def runtime(self) -> Any:
        from llm_edge.runtime import Blocking

        return Blocking()


@pytest.mark.parametrize("engine", ["httpx2", "pyreqwest", "httptools"])
def test_threads_and_loops_share_a_sender(engine: str) -> None:
    blocking, looping = choose(HttpSettings(engine=engine, trust_env=False, pool=8))  # type: ignore[arg-type]
    statuses: list[int] = []

    def in_thread(url: str) -> None:
        for number in range(10):
            patience = patient(LATE, silence=LATE if number % 2 else None)
            statuses.append(drive(Wires(engine, _Sync()).fetch(blocking, post(url), patience))[0])

    async def many(url: str) -> None:
        kit = Wires(engine, _Async())
        for _ in range(5):
            got = await asyncio.gather(*(kit.fetch(looping, post(url)) for _ in range(4)))
            statuses.extend(status for status, _, _ in got)

    with Upstream(answering) as upstream:
        threads = [threading.Thread(target=in_thread, args=(upstream.url,)) for _ in range(6)]
        threads += [threading.Thread(target=lambda: asyncio.run(many(upstream.url))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LATE)
        drive(blocking.aclose())
        asyncio.run(_finish(_nothing(), looping))
        assert statuses == [200] * 120


async def _nothing() -> None: ...


@pytest.mark.parametrize("engine", ["httpx2", "pyreqwest", "httptools"])
def test_the_blocking_engine_works_inside_a_running_loop(engine: str) -> None:
    blocking, _ = choose(HttpSettings(engine=engine, trust_env=False))  # type: ignore[arg-type]

    async def notebook(url: str) -> list[int]:
        kit = Wires(engine, _Sync())
        statuses = [drive(kit.fetch(blocking, post(url), patient(silence=silence)))[0] for silence in (None, LATE)]
        await asyncio.sleep(0)
        return statuses

    with Upstream(answering) as upstream:
        assert asyncio.run(notebook(upstream.url)) == [200, 200]
        drive(blocking.aclose())


# ---------------------------------------------------------------- forks and no files left


def _in_child(work: Callable[[], bool]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    deadline = time.monotonic() + LATE
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_calls_on_its_own_and_the_parent_goes_on(wires: Wires) -> None:
    with Upstream(answering) as upstream:
        send = wires.sender()
        assert wires.get(send, upstream.url)[0] == 200

        def child() -> bool:
            name = "httptools" if wires.engine == "httptools" else "httpx2"
            if wires.colour.name == "sync":
                return drive(wires.fetch(send, post(upstream.url)))[0] == 200 and send.name == name
            asyncio.events._set_running_loop(None)
            return asyncio.run(wires.fetch(send, post(upstream.url)))[0] == 200 and send.name == name

        assert _in_child(child) == 0
        assert wires.get(send, upstream.url)[0] == 200
        assert send.name == wires.engine
        assert len(upstream.peers) == 2  # the parent's first connection, still in use, and the child's own
        assert len(upstream.peers[0].heads) == 2


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_sender_made_in_a_forked_child_works(wires: Wires) -> None:
    with Upstream(answering) as upstream:
        assert wires.get(wires.sender(), upstream.url)[0] == 200

        def child() -> bool:
            made = choose(HttpSettings(engine=wires.engine, trust_env=False))  # type: ignore[arg-type]
            return drive(Wires(wires.engine, _Sync()).fetch(made[0], post(upstream.url)))[0] == 200

        assert _in_child(child) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_in_mid_stream_disturbs_nobody(wires: Wires) -> None:
    def script(peer: Peer) -> None:
        while (head := peer.request()) is not None:
            if b"/stream" in head:
                peer.send(CHUNKED + chunk(b"data: 1\n\n"))
                assert forked.wait(LATE)
                peer.send(chunk(b"data: 2\n\n") + b"0\r\n\r\n")
            else:
                peer.send(OK)

    forked = threading.Event()

    async def talk(url: str) -> bytes:
        answer = await send(post(url + "/stream"), patient(LATE))
        data = await answer.source.__anext__()

        def child() -> bool:
            asyncio.events._set_running_loop(None)
            return drive(Wires(wires.engine, _Sync()).fetch(other, post(url)))[0] == 200

        assert _in_child(child) == 0
        forked.set()
        alarm = wires.alarm()
        data += await rest(answer.source, alarm, patient())
        await answer.source.aclose()
        return data

    with Upstream(script) as upstream:
        send = wires.sender()
        other = choose(HttpSettings(engine=wires.engine, trust_env=False))[0]  # type: ignore[arg-type]
        assert wires.run(talk(upstream.url)) == b"data: 1\n\ndata: 2\n\n"


def _pooled(engine: str, url: str) -> int:
    made = choose(HttpSettings(engine=engine, trust_env=False))  # type: ignore[arg-type]
    try:
        return drive(Wires(engine, _Sync()).fetch(made[0], post(url)))[0]
    finally:
        drive(made[0].aclose())


@pytest.mark.parametrize("engine", ["httpx2", "pyreqwest", "httptools"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_pool_of_forked_processes_works(engine: str) -> None:
    with Upstream(answering) as upstream:
        assert _pooled(engine, upstream.url) == 200
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.starmap_async(_pooled, [(engine, upstream.url)] * 4).get(LATE) == [200] * 4


def test_no_files_left_is_an_error_and_then_over(wires: Wires) -> None:
    with Upstream(answering) as upstream:
        send = wires.sender()
        wires.get(send, upstream.url)
        wires.run(send.aclose())
        upstream.left()  # its end here, too, is a file
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, hard))
        taken = []
        try:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.dup(0))
            with pytest.raises(NetworkFailed):
                wires.get(send, upstream.url)
        finally:
            for number in taken:
                os.close(number)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert wires.get(send, upstream.url)[0] == 200


def test_nothing_is_open_when_all_is_closed(wires: Wires) -> None:
    with Upstream(answering) as upstream:
        send = wires.sender()
        wires.get(send, upstream.url)
        wires.run(send.aclose())
        assert all(peer.gone.wait(LATE) for peer in upstream.peers)
    assert CLOCK.now() > 0


@pytest.mark.parametrize("seconds", [3e6, 3e7, 1e8])
def test_a_call_may_be_allowed_a_month_or_a_year(wires: Wires, seconds: float) -> None:
    with Upstream(answering) as upstream:
        assert wires.get(wires.sender(), upstream.url, patient(seconds))[0] == 200
