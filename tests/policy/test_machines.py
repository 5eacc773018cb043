"""The smaller machines against models of a few lines: whatever is done to them, in whatever order."""

from __future__ import annotations

from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from llm_edge.policy.allowance import Allowance
from llm_edge.policy.hand import Hand, SharedHold, Want, ahead
from llm_edge.policy.hedging import Spare
from llm_edge.policy.keyring import Keyring
from llm_edge.policy.line import Line, Ticket
from llm_edge.policy.rows import NEVER, Full, Row
from llm_edge.policy.throttle import Reading, Throttle

QUICK = settings(max_examples=60, stateful_step_count=30, deadline=None)
MODELS = st.sampled_from(["", "m", "n"])
KEYS = st.integers(0, 2)


class KeyringMachine(RuleBasedStateMachine):
    """Three keys. The model: until when each is set aside, for one model or for all."""

    def __init__(self) -> None:
        super().__init__()
        self.ring, self.now, self.turn = Keyring(3), 0.0, 0
        self.out: dict[tuple[int, str], float] = {}

    @rule(seconds=st.sampled_from([0.5, 10.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=KEYS, seconds=st.sampled_from([1.0, 300.0]), model=MODELS)
    def is_refused(self, key: int, seconds: float, model: str) -> None:
        self.ring.set_aside(key, self.now, seconds, model=model)
        self.out[key, model] = self.now + seconds

    @rule(key=KEYS, model=st.sampled_from(["m", "n"]))
    def is_accepted(self, key: int, model: str) -> None:
        self.ring.welcome(key, model)
        self.out.pop((key, ""), None)
        self.out.pop((key, model), None)

    @rule(model=st.sampled_from(["m", "n"]))
    def is_asked_for(self, model: str) -> None:
        order = self.ring.order(model, self.now, lambda key: 0.0)

        def free(key: int) -> bool:
            return all(self.out.get((key, of), 0.0) <= self.now for of in ("", model))

        turned = [(self.turn + step) % 3 for step in range(3)]
        self.turn = (self.turn + 1) % 3
        assert sorted(order) == [0, 1, 2]
        ready = [key for key in turned if free(key)]
        assert list(order[: len(ready)]) == ready


class LineMachine(RuleBasedStateMachine):
    """Those who wait at two rows. The model: a list of who waits where."""

    waiting: Bundle[Ticket] = Bundle("waiting")
    rows = tuple(Row(key=key, kind="places", unit="places", limit=1) for key in "ab")

    def __init__(self) -> None:
        super().__init__()
        self.line, self.woken = Line(), list[Ticket]()
        self.model: dict[Ticket, str] = {}

    @rule(target=waiting, priority=st.integers(-1, 1), at=st.sampled_from("ab"))
    def comes(self, priority: int, at: str) -> Ticket:
        ticket = self.line.ticket(priority)
        self._waits(ticket, at)
        return ticket

    @rule(ticket=waiting, at=st.sampled_from("ab"))
    def moves(self, ticket: Ticket, at: str) -> None:
        if ticket in self.model:
            self._waits(ticket, at)

    def _waits(self, ticket: Ticket, at: str) -> None:
        self.line.wait_at(ticket, at, lambda: self.woken.append(ticket))
        self.model[ticket] = at

    @rule(ticket=consumes(waiting))
    def leaves(self, ticket: Ticket) -> None:
        self.line.leave(ticket, [(row, 1) for row in self.rows])
        self.model.pop(ticket, None)

    @rule(at=st.sampled_from("ab"))
    def something_is_given_back(self, at: str) -> None:
        there = sorted((ticket for ticket, where in self.model.items() if where == at), key=lambda each: each.order)
        armed = [ticket.wake is not None for ticket in there]
        self.woken.clear()
        self.line.room([(row, 1) for row in self.rows if row.key == at])
        assert self.woken == (there[:1] if armed[:1] == [True] else [])

    @invariant()
    def who_gives_way_has_somebody_before_it_and_the_first_has_nobody(self) -> None:
        asks = [(row, 1) for row in self.rows]
        for ticket in self.model:
            first = all(ticket.order <= other.order for other in self.model)
            assert (self.line.gives_way(ticket, asks) is None) == first
        assert self.line.empty == (not self.model)


class SpareMachine(RuleBasedStateMachine):
    """Second asks and further calls. The model: two counts."""

    def __init__(self) -> None:
        super().__init__()
        self.spare, self.calls, self.hedges = Spare(0.05), 0, 0
        self.allowance, self.now = Allowance(share=0.2, floor=3.0, ttl=10.0), 0.0
        self.log: list[tuple[float, str]] = []

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.0, 12.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(count=st.integers(1, 40))
    def calls_are_made(self, count: int) -> None:
        for _ in range(count):
            self.spare.call()
            self.allowance.call(self.now)
        self.calls += count
        self.log += [(self.now, "call")] * count

    @rule(count=st.integers(1, 10))
    def more_are_wanted(self, count: int) -> None:
        for _ in range(count):
            self.hedges += self.spare.draw()
            if self.allowance.draw(self.now):
                self.log.append((self.now, "drawn"))

    @invariant()
    def the_shares_hold(self) -> None:
        assert self.hedges <= 0.05 * self.calls + 1e-6
        lately = [what for moment, what in self.log if moment > self.now - 9.0]  # a slice of time is a tenth of ten
        older = [what for moment, what in self.log if moment > self.now - 11.0]
        assert lately.count("drawn") <= 0.2 * older.count("call") + 30


class HandMachine(RuleBasedStateMachine):
    """What a process has in hand of a pace. The model: one number, what the store has given and not got back."""

    held: Bundle[SharedHold] = Bundle("held")
    row = Row(key="r", kind="pace", unit="tokens", limit=100, rate=1000.0)

    def __init__(self) -> None:
        super().__init__()
        self.hand, self.now = Hand(), 0.0
        self.given = self.used = 0
        self.taken = self.given_in_all = 0

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.6]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=held, amount=st.integers(1, 30), store=st.sampled_from(["gives", "refuses", "is away"]))
    def a_call_takes(self, amount: int, store: str) -> MultipleResults[SharedHold] | SharedHold:
        asks, hold = [(self.row, amount)], SharedHold([(self.row, amount)])
        wants = self.hand.draw(asks, 1.0, self.now, hold)
        if isinstance(wants, Full):
            return multiple()
        if wants and store != "gives":
            self.hand.put_back(asks, wants, hold, self.now)
            if store == "refuses":
                self.hand.refused(self.row, amount, 0.1, self.now)
            return multiple()
        if wants:
            ((row, need, more),) = wants
            assert (row, need) == (self.row, amount)
            self.hand.receive([Want(row, need, more)], [more, 0, 0], NEVER, self.now, hold)
            self.given += need + more
            self.given_in_all += need + more
        self.used += amount
        self.taken += amount
        return hold

    @rule(hold=consumes(held), actual=st.one_of(st.none(), st.integers(0, 40)))
    def a_call_ends(self, hold: SharedHold, actual: int | None) -> None:
        ((_, amount),) = hold.asks
        self.hand.settle(hold, {} if actual is None else {"tokens": actual}, self.now)
        self.used += 0 if actual is None else actual - amount

    @rule(everything=st.booleans())
    def the_store_is_told(self, everything: bool) -> None:
        for owed in self.hand.sweep(self.now, everything=everything):
            self.given += owed.used - owed.taken
        if everything:
            assert self.hand.empty
            assert self.given == self.used

    @invariant()
    def no_more_is_used_than_was_given(self) -> None:
        assert self.taken <= self.given_in_all


class PlacesMachine(RuleBasedStateMachine):
    """What a process has in hand of places. The model: the names the store has given and not got back."""

    held: Bundle[SharedHold] = Bundle("held")
    row = Row(key="r", kind="places", unit="places", limit=40)
    exact = Row(key="e", kind="log", unit="requests", limit=1000)

    def __init__(self) -> None:
        super().__init__()
        self.hand, self.now, self.calls = Hand(), 0.0, 0
        self.out: dict[str, float] = {}
        """Each name, and when its lease runs out."""
        self.used: set[str] = set()

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.6, 14.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=held, lease=st.sampled_from([5.0, 20.0]), alone=st.booleans(), more=st.booleans(), gives=st.booleans())
    def a_call_takes(
        self, lease: float, alone: bool, more: bool, gives: bool
    ) -> MultipleResults[SharedHold] | SharedHold:
        self.calls += 1
        asks = [(self.row, 1)] if alone else [(self.row, 1), (self.exact, 1)]
        hold = SharedHold(asks, id=str(self.calls))
        wants = self.hand.draw(asks, lease, self.now, hold)
        assert not isinstance(wants, Full), "the store has refused nothing"
        if wants and not gives:
            self.hand.put_back(asks, wants, hold, self.now)
            return multiple()
        if wants:
            extra, until = wants[0].more if more else 0, self.now + lease + (15.0 if alone else 0.0)
            self.hand.receive(wants, [extra, 0, 0, 0, 0, 0], until, self.now, hold)
            self.out.update({f"{hold.id}:{number}": until for number in range(1, extra + 2)})
        ((_, name, until),) = hold.places
        assert name not in self.used
        assert self.out[name] == until >= self.now + lease, (
            "nobody has a place for a shorter time than its call may take"
        )
        self.used.add(name)
        return hold

    @rule(hold=consumes(held))
    def a_call_ends(self, hold: SharedHold) -> None:
        self.used.remove(hold.places[0][1])
        self.hand.settle(hold, {}, self.now)

    @rule(everything=st.booleans())
    def the_store_is_told(self, everything: bool) -> None:
        for owed in self.hand.sweep(self.now, everything=everything):
            assert owed.id not in self.used, "what is in use is not given back"
            del self.out[owed.id]
        assert len(self.out) - len(self.used) <= 3 * ahead(self.row), "few lie here unused, and none for ever"
        if everything:
            assert self.hand.empty
            assert set(self.out) == self.used


class ThrottleMachine(RuleBasedStateMachine):
    """The gate of one credential. The model: what the provider really has, which fills and is drawn on."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.now = Throttle(), 0.0
        self.level, self.limit, self.rate = 10.0, 10.0, 1.0

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.level = min(self.limit, self.level + seconds * self.rate)

    @rule()
    def a_call_is_made_when_the_gate_lets_it(self) -> None:
        if self.gate.wait({"requests": 1.0}, self.now) > 0:
            return
        if self.level < 1.0 - 1e-6:
            # It was never told, as nobody has asked since the beginning; now it is.
            assert not self.gate.meters
            self.gate.refused(1.0 - self.level, self.now)
            return
        self.gate.sent({"requests": 1.0})
        self.level -= 1.0
        missing = self.limit - self.level
        self.gate.heard([Reading("requests", self.limit, self.level, missing / self.rate)], self.now)
        self.gate.went_well()

    @precondition(lambda self: self.gate.meters)  # type: ignore[attr-defined]  # Hypothesis gives the machine itself
    @invariant()
    def it_never_waits_for_longer_than_a_call_takes_to_drip_in(self) -> None:
        assert self.gate.wait({"requests": 1.0}, self.now) <= max(1.0 - self.level, 0.0) / self.rate + 1e-6


TestKeyring, TestLine, TestSpare = KeyringMachine.TestCase, LineMachine.TestCase, SpareMachine.TestCase
TestHand, TestPlaces, TestThrottle = HandMachine.TestCase, PlacesMachine.TestCase, ThrottleMachine.TestCase
TestKeyring.settings = TestLine.settings = TestSpare.settings = TestHand.settings = TestThrottle.settings = QUICK
