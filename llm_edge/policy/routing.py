"""
In which order the targets of a route are asked: one function for each strategy.

A strategy sees facts of this moment (`Candidate`) and what there is to know about the call
(`Question`), and gives the candidates back in order, the first choice first. It may leave some out.
Chance and turns come from the question, so that the same draw gives the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One target as a strategy sees it."""

    number: int
    """Its place in the configuration, from 0."""
    name: str
    weight: float = 1.0
    ready: bool = True
    """Its breaker would let a call pass, and its provider has not asked to be left alone."""
    in_flight: int = 0
    latency: float | None = None
    """Seconds until it answers, of late; None when nobody has asked it yet."""
    room: float | None = None
    """The share of its provider's limits that is left, from 0 to 1; None when nobody knows."""
    load: float = 0.0
    """Tokens of the last minute."""
    cost: float | None = None
    """What this call would cost there; None when the price is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a strategy may ask about the call, and its chance."""

    chance: Callable[[], float]
    """Numbers in [0, 1)."""
    turn: int = 0
    """How many calls this route has had before."""
    conversation: Callable[[], bytes] = lambda: b""
    """The same for all calls of one conversation."""
    difficulty: Callable[[], float] = lambda: 0.0
    """From 0, an easy question, to 1."""


Strategy: TypeAlias = Callable[[Question, Sequence[Candidate]], Sequence[Candidate]]


def failover(question: Question, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """As they are configured."""
    return candidates


def round_robin(question: Question, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Each in its turn."""
    first = question.turn % len(candidates)
    return [*candidates[first:], *candidates[:first]]


def weighted(question: Question, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """By chance, each as often as its weight says; one of weight 0 only when no other answers."""
    # The k-th root of a uniform draw: the largest belongs to each with a chance in proportion to its weight.
    drawn = {each.number: _drawn(question.chance(), each.weight) for each in candidates}
    return sorted(candidates, key=lambda each: drawn[each.number], reverse=True)


def _drawn(chance: float, weight: float) -> float:
    # As a logarithm, which does not run out of digits where weights are small.
    return -math.inf if weight <= 0 else math.log(max(chance, 1e-300)) / weight


def least_busy(question: Question, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """The fewest calls under way, for its weight; of equals each in its turn."""
    return sorted(round_robin(question, candidates), key=lambda each: each.in_flight / _some(each.weight))


def least_latency(question: Question, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """The quickest of late; one that nobody has asked yet comes first, so that it becomes known."""
    return sorted(round_robin(question, candidates), key=lambda each: each.latency or 0.0)


def p2c(question: Question, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Two by chance, and of these the one with less latency times calls under way; the rest by the same measure."""
    ordered = sorted(candidates, key=_burden)
    if len(ordered) < 3:
        return ordered
    one = int(question.chance() * len(ordered))
    other = int(question.chance() * (len(ordered) - 1))
    better = ordered.pop(min(one, other + (other >= one)))
    return [better, *ordered]


def _burden(each: Candidate) -> float:
    return (each.latency or 0.0) * (each.in_flight + 1) / _some(each.weight)


def cost(question: Question, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """The cheapest for this call; one whose price nobody knows comes last."""
    return sorted(candidates, key=lambda each: math.inf if each.cost is None else each.cost)


def usage(question: Question, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """The one with most room left in its provider's limits; of equals the one that did least of late for its weight."""
    rotated = round_robin(question, candidates)
    return sorted(
        rotated, key=lambda each: (-(1.0 if each.room is None else round(each.room, 2)), each.load / _some(each.weight))
    )


def sticky(question: Question, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """All calls of a conversation to one target, whose prompt cache stays warm; conversations spread by weight."""
    word = question.conversation()
    # Rendezvous hashing: who comes or goes moves its own conversations and no others.
    drawn = {each.number: _drawn(_hashed(word, each.name), each.weight) for each in candidates}
    return sorted(candidates, key=lambda each: drawn[each.number], reverse=True)


def _hashed(word: bytes, name: str) -> float:
    digest = blake2b(word, key=blake2b(name.encode(), digest_size=32).digest(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def semantic(question: Question, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Easy questions to the first, hard ones to the last: a route lists its targets from small to large."""
    first = int(question.difficulty() * (len(candidates) - 1) + 0.5)
    return [*candidates[first:], *reversed(candidates[:first])]


def shadow(question: Question, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """The first alone answers; the others get copies, whose answers nobody sees."""
    return candidates[:1]


def _some(weight: float) -> float:
    return max(weight, 1e-9)


STRATEGIES: Mapping[str, Strategy] = {
    "failover": failover,
    "round-robin": round_robin,
    "weighted": weighted,
    "least-busy": least_busy,
    "least-latency": least_latency,
    "p2c": p2c,
    "cost": cost,
    "usage": usage,
    "sticky": sticky,
    "semantic": semantic,
    "shadow": shadow,
}
_AS_CONFIGURED = frozenset({"failover", "shadow"})


def arranged(name: str, question: Question, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """
    The candidates by the strategy of that name, those that are not ready last.

    Where the order is the app's own it is kept: its first target is asked again as soon as it may be.
    """
    if len(candidates) < 2:
        return candidates
    ordered = STRATEGIES[name](question, candidates)
    if name in _AS_CONFIGURED or all(each.ready for each in ordered):
        return ordered
    return [*[each for each in ordered if each.ready], *[each for each in ordered if not each.ready]]
