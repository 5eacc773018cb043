"""A shared call in every order that its callers can come, go on and leave in: nobody hangs, each gets its own."""

from __future__ import annotations

import pytest

from llm_edge.errors import CallError, Overloaded, StreamBroken
from llm_edge.layers.flight import Flights
from llm_edge.message import Body, Request, Response, Stream

from .explorer import Actor, Given, Pause, Stage, orders, some_orders
from .kit import CHUNKS, DONE, Watch, answer, call, failed

TOLD = (CHUNKS[0], DONE)


class Source:
    """A stream's bytes, a wait before each; one that breaks breaks before its last."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream, self._left, self._over = upstream, list(TOLD), False

    async def __anext__(self) -> bytes:
        await Pause()
        assert not self._over, "it is read after its end"
        if len(self._left) == 1 and self._upstream.kind == "breaks":
            raise StreamBroken("cut")
        return self._left.pop(0)

    async def aclose(self) -> None:
        if not self._over:
            self._over = True
            self._upstream.open -= 1


class Upstream:
    """The provider: how often it is asked, and what is still open there."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.asked = self.open = self.most = 0

    async def __call__(self, request: Request, /) -> Response:
        self.asked += 1
        self.open += 1
        self.most = max(self.most, self.open)
        streams = False
        try:
            await Pause()
            if self.kind == "fails":
                raise failed(Overloaded)
            streams = self.kind != "whole"
            return Response(status=200, stream=Stream(Source(self), Watch())) if streams else answer()
        finally:
            self.open -= not streams


async def nothing(request: Request) -> Response | None:
    return None


class Callers:
    """So many callers of one question, each in its colour: `a` on a loop, `s` in a thread."""

    def __init__(self, kind: str, colours: str, *, interrupted: bool = False) -> None:
        self.kind, self._colours, self._interrupted = kind, colours, interrupted

    def __call__(self) -> tuple[Stage, list[Actor]]:
        stage, self.flights, self.upstream = Stage(), Flights(), Upstream(self.kind)
        callers = [
            stage.enter(f"caller {number}", self._ask(stage, apart=colour == "a"))
            for number, colour in enumerate(self._colours)
        ]
        for caller, colour in zip(callers, self._colours, strict=True):
            caller.may_leave = colour == "a" or self._interrupted
        return stage, callers

    async def _ask(self, stage: Stage, *, apart: bool) -> bytes:
        runtime = stage.runtime(apart=apart)
        response = await self.flights.share("k", call(), runtime, look=nothing, ask=self.upstream)
        if response.stream is None:
            assert response.body is not None
            return response.body.raw
        read = b""
        try:
            async for chunk in response.stream:
                read += chunk
        finally:
            await response.stream.aclose()
        return read


RIGHT = {"whole": (answer().body or Body(b"")).raw, "streams": b"".join(TOLD)}


def holds(scene: Callers, stage: Stage, callers: list[Actor]) -> None:
    kind, told = scene.kind, [(actor.name, actor.given_up, actor.error, actor.result) for actor in stage.actors]
    stayed = [caller for caller in callers if not isinstance(caller.error, Given)]
    assert all(caller.given_up for caller in callers if caller not in stayed), told
    if kind in RIGHT:
        assert [caller.result for caller in stayed] == [RIGHT[kind]] * len(stayed), told
    else:
        errors = [caller.error for caller in stayed]
        wanted = Overloaded if kind == "fails" else StreamBroken
        assert all(isinstance(error, wanted) for error in errors), told
        assert len({id(error) for error in errors}) == len(errors), told
    all_is_given_back(scene, callers, told)


def all_is_given_back(scene: Callers, callers: list[Actor], told: object) -> None:
    assert scene.flights.under_way == {}, told
    assert scene.upstream.open == 0, told
    assert scene.upstream.asked <= len(callers), told
    assert scene.upstream.most <= 1 + sum(caller.given_up for caller in callers), told


KINDS = ["whole", "fails", "streams", "breaks"]


@pytest.mark.parametrize(
    ("kind", "colours", "leave"),
    [
        *((kind, colours, 1) for kind in KINDS for colours in ("aa", "as", "sa")),
        *((kind, "ss", 0) for kind in KINDS),
        *((kind, "aa", 2) for kind in ("whole", "fails", "streams")),
    ],
)
def test_two_callers_in_every_order_and_any_of_them_may_leave(kind: str, colours: str, leave: int) -> None:
    scene = Callers(kind, colours)
    for stage, callers in orders(scene, give_up=leave):
        holds(scene, stage, callers)


@pytest.mark.parametrize("colours", ["aaa", "aas", "sas", "sss"])
@pytest.mark.parametrize("kind", KINDS)
def test_three_callers_in_many_orders_and_two_of_them_may_leave(kind: str, colours: str) -> None:
    scene = Callers(kind, colours)
    for stage, callers in some_orders(scene, 150, give_up=2):
        holds(scene, stage, callers)


@pytest.mark.parametrize("kind", KINDS)
def test_a_thread_that_is_interrupted_leaves_nobody_hanging(kind: str) -> None:
    scene = Callers(kind, "ss", interrupted=True)
    for stage, callers in orders(scene, give_up=1):
        told = [(actor.given_up, actor.error, actor.result) for actor in stage.actors]
        for caller in callers:
            # What it was reading is broken for the others, too, and they are told so.
            assert caller.given_up or caller.result == RIGHT.get(kind) or isinstance(caller.error, CallError), told
        all_is_given_back(scene, callers, told)


def test_the_orders_are_tried_one_by_one() -> None:
    scene = Callers("streams", "as")
    asked = [scene.upstream.asked for _ in orders(scene, give_up=1)]
    assert len(asked) > 200
    assert set(asked) == {1, 2}, "who came while a lone reader was given up asks anew"
