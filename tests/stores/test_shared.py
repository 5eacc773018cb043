"""Counts in a real server: all or nothing, each word told once, and a store that fails costs little and once."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from llm_edge.policy.hand import Owed, SharedHold, Want
from llm_edge.policy.rows import Account, Asks, Full, Kind, OnFailure, Row, Taken, Unit, Verdict
from llm_edge.runtime import Awaiting, Blocking, FakeClock, drive
from llm_edge.stores.counters import Counters, MemoryCounters
from llm_edge.stores.shared import SharedCounters, SharedView
from llm_edge.stores.wire import cancelled, ran, settled, taken

from .relay import relayed
from .valkey import Valkey, valkey

if TYPE_CHECKING:
    from tests.conftest import Colour

BOUND = 20.0
HURRIED = 0.05
"""Seconds a store waits that is to find out that its server hangs."""
Stores: TypeAlias = Callable[..., SharedCounters]
PREFIX = "{t}:"
UNITS: dict[Kind, Unit] = {"places": "places", "pace": "requests", "log": "requests", "tally": "nano-dollars"}


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


@pytest.fixture(autouse=True)
def emptied(server: Valkey) -> None:
    server.client().flushall()


@pytest.fixture
def stores(server: Valkey) -> Iterator[Stores]:
    """
    Makes stores as so many processes would; all are closed with the test.

    They are patient where nothing else is said: a machine that stands still for a moment is no server that is away.
    """
    made: list[SharedCounters] = []

    def make(place: Any = None, **given: Any) -> SharedCounters:
        store = SharedCounters(place or server.place, prefix=PREFIX, **{"patience": BOUND, **given})
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(stores: Stores) -> SharedCounters:
    return stores()


@pytest.fixture
def view(store: SharedCounters, colour: Colour) -> SharedView:
    return store.view(colour.runtime())


def row(kind: Kind, limit: int, *, unit: Unit | None = None, **more: Any) -> Row:
    return Row(key=f"{kind}:{unit}:{limit}", kind=kind, unit=unit or UNITS[kind], limit=limit, **more)


def granted(verdict: Verdict) -> SharedHold:
    assert isinstance(verdict, Taken), verdict
    assert isinstance(verdict.hold, SharedHold)
    return verdict.hold


def refused(verdict: Verdict) -> Full:
    assert isinstance(verdict, Full), verdict
    return verdict


def take(colour: Colour, view: SharedView, *rows: Row, amount: int = 1, lease: float = 30.0) -> Verdict:
    return colour.run(view.take([(row, amount) for row in rows], lease))


def wait_until(truth: Callable[[], bool]) -> None:
    """Some things are told behind the callers' backs."""
    end = time.monotonic() + BOUND
    while not truth():
        assert time.monotonic() < end, "it does not come true"
        threading.Event().wait(0.01)


PACE, LOG = row("pace", 3, rate=0.001), row("log", 2, window=60.0)
PLACES, MONEY = row("places", 2), row("tally", 100, period="total")
DAY = row("tally", 3, unit="requests", period="day")


def held(server: Valkey) -> set[bytes]:
    """What the server remembers of rows."""
    return {key for key in server.client().keys(f"{PREFIX}*") if b"hold" not in key}


# ---------------------------------------------------------------- one row


@pytest.mark.parametrize(
    ("one", "most"), [(PACE, 3), (LOG, 2), (PLACES, 2), (DAY, 3)], ids=lambda v: getattr(v, "key", "")
)
def test_a_row_gives_its_limit_and_no_more(colour: Colour, view: SharedView, one: Row, most: int) -> None:
    for _ in range(most):
        granted(take(colour, view, one))
    full = refused(take(colour, view, one))
    assert full.row is one
    assert full.wait > 0


def test_the_wait_that_is_told_is_exact(colour: Colour, view: SharedView, store: SharedCounters) -> None:
    pace, log = row("pace", 1, rate=10.0), row("log", 1, window=0.1)
    for one in (pace, log):
        # On a machine that stands still what was taken may be back before it is asked for again.
        verdicts = (take(colour, view, one) for _ in range(1000))
        wait = next(verdict.wait for verdict in verdicts if isinstance(verdict, Full))
        assert 0.0 < wait <= 0.1
        threading.Event().wait(wait + 0.002)
        granted(take(colour, view, one))


def test_what_can_never_fit_is_told_without_asking(colour: Colour, view: SharedView, store: SharedCounters) -> None:
    assert refused(take(colour, view, PACE, amount=4)).wait == float("inf")
    assert store.trips == 0


def test_what_one_row_refuses_costs_the_others_nothing(colour: Colour, view: SharedView, server: Valkey) -> None:
    granted(take(colour, view, LOG))
    granted(take(colour, view, LOG))
    before = held(server)
    for _ in range(5):
        assert refused(take(colour, view, PLACES, PACE, LOG, DAY, MONEY)).row is LOG
    assert held(server) == before


def test_money_is_reserved_and_settled(colour: Colour, view: SharedView, server: Valkey) -> None:
    hold = granted(take(colour, view, MONEY, amount=60))
    assert refused(take(colour, view, MONEY, amount=60)).wait == float("inf")  # the total never begins anew
    for _ in range(3):
        view.settle(hold, {"nano-dollars": 10})
    wait_until(lambda: server.client().hget(PREFIX + MONEY.key, "r") == b"0")
    assert server.client().hget(PREFIX + MONEY.key, "s") == b"10"
    granted(take(colour, view, MONEY, amount=90))


def test_money_nobody_settles_becomes_spent_and_unconfirmed(colour: Colour, view: SharedView, server: Valkey) -> None:
    batch = taken(PREFIX, "other", "dead", [Want(MONEY, 70, 0)], 0.01)
    assert ran(server.client(), batch)[0] == 1
    threading.Event().wait(0.02)
    granted(take(colour, view, MONEY, amount=30))
    spent, reserved, unconfirmed = server.client().hmget(PREFIX + MONEY.key, "s", "r", "u")
    assert (spent, reserved, unconfirmed) == (b"70", b"30", b"70")


def test_what_stands_under_a_tally_is_told_by_both_stores(colour: Colour, view: SharedView, server: Valkey) -> None:
    other = replace(MONEY, key="never", period="month")
    own = MemoryCounters().view(colour.runtime())

    def stands(where: Counters) -> Sequence[Account] | None:
        return colour.run(where.accounts([MONEY, other]))

    for each in (view, own):
        assert stands(each) == [Account(), Account()]
        taken = colour.run(each.take([(MONEY, 30)], 30.0))
        assert isinstance(taken, Taken)
        assert stands(each) == [Account(reserved=30), Account()]
        each.settle(taken.hold, {"nano-dollars": 20})
        wait_until(lambda each=each: stands(each) == [Account(spent=20), Account()])  # type: ignore[misc]  # as a default
    assert not server.client().exists(f"{PREFIX}never")


def test_tokens_are_settled_with_what_was_used(colour: Colour, view: SharedView, store: SharedCounters) -> None:
    tokens = row("pace", 1000, unit="tokens", rate=0.001)
    hold = granted(take(colour, view, tokens, amount=800))
    assert refused(take(colour, view, tokens, amount=800)).wait > 60
    view.settle(hold, {"tokens": 100})
    wait_until(lambda: store.hand.empty)
    threading.Event().wait(0.3)  # the refusal has counted for long enough
    assert granted(take(colour, view, tokens, amount=890))


def test_a_place_comes_back_with_its_call(colour: Colour, view: SharedView) -> None:
    first = granted(take(colour, view, PLACES))
    granted(take(colour, view, PLACES))
    assert refused(take(colour, view, PLACES)).wait == 1.0
    view.settle(first, {})
    wait_until(lambda: isinstance(take(colour, view, PLACES), Taken))
    refused(take(colour, view, PLACES))


def test_the_places_of_the_dead_come_back_when_their_leases_run_out(
    colour: Colour, view: SharedView, server: Valkey
) -> None:
    assert ran(server.client(), taken(PREFIX, "other", "dead", [Want(PLACES, 2, 0)], 30.0))[0] == 1
    assert refused(take(colour, view, PLACES)).row is PLACES
    client, places = server.client(), PREFIX + PLACES.key
    client.zadd(places, dict.fromkeys(client.zrange(places, 0, -1), 1))  # its clock cannot be moved, so their ends are
    wait_until(lambda: isinstance(take(colour, view, PLACES), Taken))


def test_how_a_row_stands_can_be_seen(colour: Colour, view: SharedView) -> None:
    granted(take(colour, view, MONEY, amount=60))
    standing = colour.run(view.look(MONEY))
    assert standing is not None
    assert (standing.limit, standing.left) == (100, 40)


# ---------------------------------------------------------------- told twice, told late


def test_a_take_that_is_sent_again_is_made_once(server: Valkey) -> None:
    batch = taken(PREFIX, "p", "same", [Want(PACE, 1, 0), Want(PLACES, 1, 0), Want(MONEY, 60, 0)], 30.0)
    said = [list(ran(server.client(), batch)) for _ in range(11)]
    assert said == [said[0]] * 11
    assert server.client().zcard(PREFIX + PLACES.key) == 1
    assert server.client().hget(PREFIX + MONEY.key, "r") == b"60"


def test_a_settlement_that_is_told_again_is_made_once(server: Valkey) -> None:
    tokens = row("pace", 1000, unit="tokens", rate=0.001)
    ran(server.client(), taken(PREFIX, "p", "a", [Want(tokens, 800, 0)], 30.0))
    batch = settled(PREFIX, "told", [Owed(tokens, "", 300, 0)])
    for _ in range(5):
        ran(server.client(), batch)
    assert ran(server.client(), taken(PREFIX, "p", "b", [Want(tokens, 500, 0)], 30.0))[0] == 1
    assert ran(server.client(), taken(PREFIX, "p", "c", [Want(tokens, 1, 0)], 30.0))[0] == 0


@pytest.mark.parametrize("late", [False, True], ids=["made, then undone", "undone before it came"])
def test_a_take_nobody_knows_of_is_undone_whenever_it_comes(server: Valkey, late: bool) -> None:
    rows = [Want(row("pace", 10, rate=0.001), 1, 5), Want(row("places", 10), 1, 3), Want(DAY, 1, 1), Want(MONEY, 60, 0)]
    batch = taken(PREFIX, "p", "lost", rows, 30.0)
    if not late:
        assert ran(server.client(), batch)[0] == 1
    for _ in range(2):
        ran(server.client(), cancelled(batch))
    assert ran(server.client(), batch)[0] == 0  # it comes late, or again
    again = taken(PREFIX, "p", "next", [want._replace(need=want.row.limit, more=0) for want in rows], 30.0)
    assert ran(server.client(), again)[0] == 1


def test_a_script_the_server_forgot_is_sent_again(colour: Colour, view: SharedView, server: Valkey) -> None:
    granted(take(colour, view, LOG))
    server.client().script_flush()
    granted(take(colour, view, LOG))
    refused(take(colour, view, LOG))


def test_what_others_put_in_a_rows_place_is_put_aside(colour: Colour, view: SharedView, server: Valkey) -> None:
    server.client().lpush(PREFIX + LOG.key, "junk")
    server.client().set(PREFIX + DAY.key, "junk")
    granted(take(colour, view, LOG, DAY))
    assert len(server.client().keys("*:odd:*")) == 2


# ---------------------------------------------------------------- what is in hand


RICH = [
    row("places", 100), row("pace", 200, rate=1000.0), row("tally", 10**6, unit="requests", period="day"),
]  # fmt: skip


def test_most_calls_need_not_ask(colour: Colour, view: SharedView, store: SharedCounters) -> None:
    for _ in range(100):
        view.settle(granted(take(colour, view, *RICH)), {})
    assert store.trips <= 15


def test_what_is_not_used_goes_back_and_every_call_is_counted(
    colour: Colour, view: SharedView, store: SharedCounters, server: Valkey
) -> None:
    for _ in range(30):
        view.settle(granted(take(colour, view, *RICH)), {})
    wait_until(lambda: store.hand.empty and server.client().zcard(PREFIX + RICH[0].key) == 0)
    wait_until(lambda: server.client().hget(PREFIX + RICH[2].key, "s") == b"30")


def test_a_store_that_is_closed_gives_everything_back(stores: Stores, server: Valkey) -> None:
    store = stores()
    view = store.view(Blocking())
    drive(view.take([(each, 1) for each in RICH], 30.0))
    assert server.client().zcard(PREFIX + RICH[0].key) > 1
    store.close()
    store.close()
    wait_until(lambda: server.client().zcard(PREFIX + RICH[0].key) == 1)  # the call's own, which was never settled
    assert server.client().hget(PREFIX + RICH[2].key, "s") == b"1"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_nothing_in_hand_and_a_name_of_its_own(store: SharedCounters, server: Valkey) -> None:
    view = store.view(Blocking())
    drive(view.take([(each, 1) for each in RICH], 30.0))
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(20)
            empty, name = store.hand.empty, store.name
            taken_here = isinstance(drive(view.take([(each, 1) for each in RICH], 30.0)), Taken)
            os._exit(0 if empty and taken_here and name != os.environ.get("NOBODY") and store.trips == 1 else 3)
        finally:
            os._exit(4)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert store.trips == 1


# ---------------------------------------------------------------- a store that fails


def modes(mode: OnFailure) -> Asks:
    return [(replace(row("pace", 4, rate=0.001), on_failure=mode), 1)]


@pytest.fixture
def own() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


@pytest.mark.parametrize("mode", ["local", "open", "closed"])
@pytest.mark.parametrize("fault", ["frozen", "killed", "never there"])
def test_a_store_that_fails_costs_little_and_once(
    own: Valkey, stores: Stores, colour: Colour, fault: str, mode: OnFailure
) -> None:
    store = stores(own.place, patience=HURRIED if fault == "frozen" else BOUND)
    view = store.view(colour.runtime())
    if fault != "never there":
        granted(take(colour, view, DAY))
    if fault != "frozen":
        own.kill()
    before = store.trips
    with own.frozen() if fault == "frozen" else nullcontext():
        verdicts = [colour.run(view.take(modes(mode), 30.0)) for _ in range(50)]
    assert store.trips - before <= 10  # most calls did not wait for it: five failures are reason enough
    kinds = [type(verdict) for verdict in verdicts]
    if mode == "open":
        assert kinds == [Taken] * 50
    elif mode == "closed":
        assert kinds == [Full] * 50
        assert refused(verdicts[0]).row.says == "the store of its counts cannot be asked"
    else:
        assert kinds == [Taken] * 4 + [Full] * 46  # one process was ever heard of: its share is the whole


def test_a_process_holds_itself_to_its_share_while_the_store_is_away(own: Valkey, stores: Stores) -> None:
    one, other = stores(own.place), stores(own.place)
    views = [store.view(Blocking()) for store in (one, other)]
    asks = modes("local")
    for view in (*views, views[0]):
        drive(view.take(asks, 30.0))
    assert one.alive == 2
    own.kill()
    passed = [isinstance(drive(views[0].take(asks, 30.0)), Taken) for _ in range(6)]
    assert passed == [True, True, False, False, False, False]


def test_a_store_that_is_back_is_used_again_and_told_what_it_missed(
    own: Valkey, stores: Stores, colour: Colour
) -> None:
    clock = FakeClock(100.0)
    store = stores(own.place, clock=clock, patience=HURRIED)
    view, places = store.view(colour.runtime()), [(row("places", 2), 1)]
    hold = granted(colour.run(view.take(places, 30.0)))
    with own.frozen():
        while not store.fuse.blown:
            colour.run(view.take(places, 30.0))
        view.settle(hold, {})
        assert granted(colour.run(view.take(places, 30.0))).within is not None

    def back() -> bool:
        clock.advance(40.0)
        verdict = colour.run(view.take(places, 30.0))
        return isinstance(verdict, Taken) and isinstance(verdict.hold, SharedHold) and verdict.hold.within is None

    wait_until(back)
    # One place is held now. The first was given back late, and the takes nobody heard of are undone.
    key = PREFIX + places[0][0].key
    wait_until(lambda: own.client().zcard(key) == 1)


def test_a_fresh_server_at_the_same_address_is_used(own: Valkey, stores: Stores, colour: Colour) -> None:
    clock = FakeClock(100.0)
    store = stores(own.place, clock=clock)
    view, asks = store.view(colour.runtime()), modes("local")
    granted(colour.run(view.take(asks, 30.0)))
    own.kill()
    own.start_again()

    def back() -> bool:
        clock.advance(40.0)
        verdict = colour.run(view.take(asks, 30.0))
        return isinstance(verdict, Taken) and isinstance(verdict.hold, SharedHold) and verdict.hold.within is None

    wait_until(back)


def test_a_call_that_is_cancelled_while_it_asks_takes_nothing(server: Valkey, store: SharedCounters) -> None:
    places = row("places", 100)

    async def hurried() -> list[SharedHold]:
        view, got = store.view(Awaiting()), list[SharedHold]()
        for _ in range(20):
            task = asyncio.ensure_future(view.take([(places, 1), (row("log", 20, window=60.0), 1)], 30.0))
            await asyncio.sleep(0)
            task.cancel()
            (verdict,) = await asyncio.gather(task, return_exceptions=True)
            if not isinstance(verdict, BaseException):  # the answer was there before it was cancelled
                got.append(granted(verdict))
        return got

    got = asyncio.run(hurried())
    wait_until(lambda: store.telling.rests)
    assert server.client().zcard(PREFIX + places.key) == len(got)
    assert server.client().zcard(f"{PREFIX}log:None:20") == len(got)


# ---------------------------------------------------------------- leases


def test_a_store_that_thaws_hears_all_it_missed_before_it_is_asked_again(
    own: Valkey, stores: Stores, colour: Colour
) -> None:
    store, other = stores(own.place, patience=HURRIED), stores(own.place)
    view = store.view(colour.runtime())
    first = granted(take(colour, view, PLACES))
    with own.frozen():
        unheard = granted(take(colour, view, PLACES))  # sent, and waits in the server's own ear
        view.settle(first, {})
        view.settle(unheard, {})

    def back() -> bool:
        store.telling.look()  # as it happens when the pause is over, but now
        return not store.fuse.blown

    wait_until(back)
    assert [type(take(colour, other.view(colour.runtime()), PLACES)) for _ in range(3)] == [Taken, Taken, Full]


@pytest.mark.parametrize("deadline", [100.0, 3600.0])
def test_what_a_call_without_end_holds_is_renewed_until_it_ends(
    server: Valkey, stores: Stores, colour: Colour, deadline: float
) -> None:
    store = stores(lease=2.0)
    view, client = store.view(colour.runtime()), server.client()
    hold = granted(take(colour, view, PLACES, MONEY, lease=deadline))
    place, bill = f"{PREFIX}{PLACES.key}", f"{PREFIX}{MONEY.key}:o"
    ends = [client.zscore(place, f"{hold.id}:1"), client.zscore(bill, hold.id)]
    for end in ends:
        assert end <= (time.time() + 2.0) * 1e6  # whoever is killed now keeps others out no longer than that
    wait_until(lambda: client.zscore(place, f"{hold.id}:1") > ends[0] and client.zscore(bill, hold.id) > ends[1])
    view.settle(hold, {"nano-dollars": 1})
    wait_until(lambda: client.zcard(place) == client.zcard(bill) == 0)
    assert store.leases.empty


def test_a_lease_that_has_run_out_is_not_brought_back_to_life(server: Valkey, stores: Stores) -> None:
    store = stores(lease=30.0)
    view = store.view(Blocking())
    hold = granted(drive(view.take([(PLACES, 1), (MONEY, 1)], 3600.0)))
    server.client().flushall()
    now = store.clock.now()
    (renewal,) = store.guard.do(lambda: store.leases.due(PREFIX, now + 15.0))
    store.pool.ask(lambda client: ran(client, renewal.batch))
    assert held(server) == set()
    assert store.leases.due(PREFIX, now + 31.0) == []
    assert store.leases.empty
    view.settle(hold, {})


def test_a_crowd_that_comes_at_once_finds_every_place(stores: Stores) -> None:
    many, view = row("places", 60), stores(patience=5.0).view(Awaiting())

    async def crowd() -> list[Verdict]:
        return await asyncio.gather(*(view.take([(many, 1)], 30.0) for _ in range(61)))

    verdicts = asyncio.run(crowd())
    assert [type(verdict) for verdict in verdicts].count(Taken) == 60
    for verdict in verdicts:
        if isinstance(verdict, Taken):
            view.settle(verdict.hold, {})


def test_places_on_their_way_here_are_found_by_who_is_refused(server: Valkey, stores: Stores) -> None:
    many = row("places", 60)
    with relayed(server.place.hosts[0]) as relay:
        view = stores(replace(server.place, hosts=(("127.0.0.1", relay.port),)), patience=5.0).view(Awaiting())

        async def crowd() -> list[Verdict]:
            first = asyncio.ensure_future(view.take([(many, 1)], 30.0))
            while not relay.held.is_set():  # it fetches some for others, too, and they do not arrive
                await asyncio.sleep(0)
            others = [asyncio.ensure_future(view.take([(many, 1)], 30.0)) for _ in range(59)]
            while relay.answered < 59:
                await asyncio.sleep(0)
            relay.come.set()
            return await asyncio.gather(first, *others)

        verdicts = asyncio.run(crowd())
    assert [type(verdict) for verdict in verdicts] == [Taken] * 60


def test_one_call_after_the_other_finds_the_only_place(stores: Stores, colour: Colour) -> None:
    """What one gives back is told behind its back; the next one does not come too early for it."""
    view = stores(patience=5.0).view(colour.runtime())

    async def calls() -> None:
        for _ in range(50):
            view.settle(granted(await view.take([(row("places", 1), 1)], 30.0)), {})

    colour.run(calls())


def test_wave_after_wave_finds_its_places(stores: Stores) -> None:
    many, exact = row("places", 60), row("log", 10_000, window=1.0, unit="requests")
    view = stores(patience=5.0).view(Awaiting())

    async def wave(asks: Asks) -> None:
        verdicts = await asyncio.gather(*(view.take(asks, 30.0) for _ in range(30)))
        for verdict in verdicts:
            view.settle(granted(verdict), {})

    async def waves() -> None:
        for _ in range(5):
            await wave([(many, 1)])
            await wave([(many, 1), (exact, 1)])

    asyncio.run(waves())


# ---------------------------------------------------------------- a store that is short of memory (fault 19)


def test_a_row_that_was_evicted_begins_anew_and_gives_no_more_than_its_limit_for_it(
    colour: Colour, view: SharedView, store: SharedCounters, server: Valkey
) -> None:
    rows = {PACE: 3, LOG: 2, PLACES: 2, DAY: 3}
    for one, most in rows.items():
        first = [granted(take(colour, view, one)) for _ in range(most)]
        server.client().delete(PREFIX + one.key)
        for _ in range(most):
            granted(take(colour, view, one))
        assert refused(take(colour, view, one)).row is one
        for hold in first:  # what the evicted held is settled, and nobody is let in for it
            view.settle(hold, {})
        store.telling.all_now()
        assert isinstance(take(colour, view, one), Full)


def test_money_whose_reservations_were_evicted_is_spent_and_unconfirmed(
    colour: Colour, view: SharedView, store: SharedCounters, server: Valkey
) -> None:
    hold = granted(take(colour, view, MONEY, amount=60))
    server.client().delete(f"{PREFIX}{MONEY.key}:o")
    assert colour.run(view.accounts([MONEY])) == [Account(60, 0, 60)]
    view.settle(hold, {"nano-dollars": 10})
    store.telling.all_now()
    assert colour.run(view.accounts([MONEY])) == [Account(60, 0, 60)]
    server.client().delete(f"{PREFIX}{MONEY.key}")
    assert colour.run(view.accounts([MONEY])) == [Account()]


@pytest.mark.parametrize("policy", ["allkeys-random", "noeviction"])
def test_a_store_that_evicts_keys_is_warned_of_once(
    own: Valkey, stores: Stores, caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    client, looks = own.client(), itertools.count()
    client.config_set("maxmemory", "64mb")
    client.config_set("maxmemory-policy", policy)
    store = stores(own.place, patience=5.0)
    view = store.view(Blocking())

    def asked() -> bool:
        """Whether the store was asked about its memory, our own looks left out."""
        ours = next(looks)
        return bool(client.info("commandstats").get("cmdstat_info", {"calls": 0})["calls"] > ours)

    for _ in range(2):
        view.settle(granted(drive(view.take([(PLACES, 1)], 30.0))), {})
        wait_until(lambda: asked() and (policy == "noeviction" or bool(caplog.records)))
    store.close()
    assert [policy in record.getMessage() for record in caplog.records] == [True] * (policy == "allkeys-random")
