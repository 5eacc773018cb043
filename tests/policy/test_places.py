"""One place and three who want it, in every order in which threads could do their steps: nobody is forgotten."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import pytest

from llm_edge.policy.ledger import Ledger
from llm_edge.policy.line import Line, Ticket
from llm_edge.policy.rows import Asks, Hold, Row, Taken

ROW = Row(key="r", kind="places", unit="places", limit=1)
ASKS: Asks = [(ROW, 1)]


@dataclass
class World:
    """What they share. Each step of theirs is one that a lock keeps to itself, as in the layer."""

    line: Line = field(default_factory=Line)
    ledger: Ledger = field(default_factory=Ledger)
    inside: dict[str, Hold] = field(default_factory=dict[str, Hold])
    woken: dict[str, bool] = field(default_factory=dict[str, bool])
    tickets: dict[str, Ticket] = field(default_factory=dict[str, Ticket])

    def take(self, name: str) -> bool:
        verdict = self.ledger.take(ASKS, 0.0, 0.0, lease=1e9)
        if isinstance(verdict, Taken):
            self.inside[name] = verdict.hold
            assert len(self.inside) == 1, "there is one place"
        return isinstance(verdict, Taken)

    def settle(self, name: str) -> None:
        self.ledger.settle(self.inside.pop(name), {}, 0.0, 0.0)

    def wake(self, name: str) -> None:
        self.woken[name] = True


def calls(world: World, name: str) -> Generator[str]:
    """One call: says after each step where it stands."""
    empty = world.line.empty
    yield f"looked {empty}"
    if empty and world.take(name):
        yield "in at once"
    else:
        yield "lines up"
        yield from _in_line(world, name)
    if name in world.inside:
        yield "inside"
        world.settle(name)
        yield "settled"
        world.line.room(ASKS)


def _in_line(world: World, name: str) -> Generator[str]:
    ticket, there = world.line.ticket(), False
    world.tickets[name] = ticket
    try:
        while True:
            world.woken[name] = False
            if there:
                world.line.wait_at(ticket, ROW.key, lambda: world.wake(name))
                yield "stands"
            behind = world.line.gives_way(ticket, ASKS)
            yield f"{'first' if behind is None else 'behind'} {there}"
            if behind is None and world.take(name):
                yield "taken"
                return
            if there:
                yield "sleeps"
            there = True
    finally:
        world.line.leave(ticket, ASKS)


def stands(order: Sequence[str], leave: str) -> tuple[World, dict[str, str], list[str]]:
    """How the world is after these steps: where each stands, and what may happen next. `b!`: b is cancelled."""
    world = World()
    lives = {name: calls(world, name) for name in "abc"}
    at = dict.fromkeys("abc", "begins")
    for step in order:
        name, cancelled = step[0], step.endswith("!")
        if cancelled:
            lives[name].close()
        at[name] = "over" if cancelled else next(lives[name], "over")
    waits = [name for name in leave if name in world.tickets and at[name] not in {"taken", "inside", "settled", "over"}]
    able = [name for name in "abc" if at[name] != "over" and (at[name] != "sleeps" or world.woken[name])]
    return world, at, able + [f"{name}!" for name in waits]


def signature(world: World, at: dict[str, str]) -> object:
    waiting = [
        (name, ticket.order[1], ticket.at, ticket.wake is None) for name, ticket in sorted(world.tickets.items())
    ]
    return tuple(at.items()), tuple(world.inside), tuple(sorted(world.woken.items())), tuple(waiting)


@pytest.mark.parametrize("leave", ["", "bc"])
def test_in_every_order_one_is_inside_and_nobody_waits_for_ever(leave: str) -> None:
    seen, todo = set[object](), list[tuple[str, ...]]([()])
    while todo:
        order = todo.pop()
        world, at, able = stands(order, leave)
        mark = signature(world, at)
        if mark in seen:
            continue
        seen.add(mark)
        if not able:
            assert set(at.values()) == {"over"}, f"after {order} nobody goes on: {at}"
            assert world.line.empty
        todo += [(*order, name) for name in able]
    assert len(seen) > 500
