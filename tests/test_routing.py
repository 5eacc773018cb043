"""Routes as an app uses them: who answers, and what the story says of those who were passed by."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from llm_edge import EdgeClient, NoTarget, choosing
from llm_edge.errors import ContextTooLong, DeadlineExceeded, RateLimited, StreamBroken
from llm_edge.message import Body, Request
from llm_edge.providers import capabilities
from llm_edge.providers.base import Target
from llm_edge.runtime import FakeClock
from llm_edge.testing import Provider, answer, json_body, status, stream

from .conftest import Colour

Edges = Callable[..., EdgeClient]
TOO_LONG = {"error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}}
BLOCKED = {"error": {"message": "no", "type": "invalid_request_error", "code": "content_filter"}}


@pytest.fixture
def routed(edges: Edges, provider: Provider) -> Callable[..., EdgeClient]:
    """A client with one route, `r`, over models of one scripted server."""

    def make(*targets: Any, chance: Callable[[], float] | None = None, **route: Any) -> EdgeClient:
        places = {name: {"kind": "openai", "base_url": provider.url + "/v1"} for name in ("p", "openai", "anthropic")}
        return edges(
            providers=places, routes={"r": {"targets": list(targets), **route}}, cache={"policy": "off"},
            retry={"base": 0.0}, chance=chance or random.Random(1).random,
        )  # fmt: skip

    return make


def answered(colour: Colour, edge: EdgeClient, times: int, question: str = "hi", **fields: Any) -> list[str]:
    return [colour.chat(edge, "r", question, **fields).target for _ in range(times)]


def test_targets_take_turns(colour: Colour, routed: Callable[..., EdgeClient]) -> None:
    edge = routed("p/a", "p/b", strategy="round-robin")
    assert answered(colour, edge, 4) == ["p/a", "p/b", "p/a", "p/b"]
    reply = colour.chat(edge, "r", "hi")
    assert {"layer": "router", "strategy": "round-robin", "order": ["p/a", "p/b"]}.items() <= reply.explain()["events"][
        0
    ].items()


def test_what_another_strategy_brought_is_not_given(
    colour: Colour, edges: Callable[..., EdgeClient], provider: Provider, tmp_path: Path
) -> None:
    provider.script(*(answer(model) for model in ("a", "b", "a again")))

    def routed(strategy: str) -> EdgeClient:
        return edges(
            providers={"p": {"kind": "openai", "base_url": provider.url + "/v1"}}, routes={
                "r": {"targets": ["p/a", "p/b"], "strategy": strategy}
            }, cache={"disk": {"directory": str(tmp_path / "kept")}},
        )  # fmt: skip

    with routed("round-robin") as edge:
        assert answered(colour, edge, 1, "one") + answered(colour, edge, 1, "two") == ["p/a", "p/b"]
    with routed("failover") as edge:  # for which the second one is what it goes to in need
        assert answered(colour, edge, 1, "two") == ["p/a"]


def test_a_weighted_choice_is_the_same_under_the_same_chance(colour: Colour, routed: Callable[..., EdgeClient]) -> None:
    targets = ({"target": "p/a", "weight": 3}, "p/b")
    first = answered(colour, routed(*targets, strategy="weighted", chance=random.Random(5).random), 40)
    assert first == answered(colour, routed(*targets, strategy="weighted", chance=random.Random(5).random), 40)
    assert 20 <= first.count("p/a") < 40


@pytest.mark.parametrize("strategy", ["least-latency", "p2c", "usage", "least-busy", "sticky"])
def test_every_strategy_leaves_a_target_that_is_out_of_service(
    colour: Colour, routed: Callable[..., EdgeClient], provider: Provider, strategy: str
) -> None:
    edge = routed("p/a", "p/b", strategy=strategy)
    edge.breakers.force("p/a", "open")
    assert set(answered(colour, edge, 4)) == {"p/b"}
    assert {call.json["model"] for call in provider.calls} == {"b"}


def test_a_conversation_stays_with_its_target(colour: Colour, routed: Callable[..., EdgeClient]) -> None:
    edge = routed("p/a", "p/b", "p/c", strategy="sticky")
    began = [{"role": "user", "content": "tell me a story"}]
    turns = [*began, {"role": "assistant", "content": "once"}, {"role": "user", "content": "go on"}]
    assert colour.chat(edge, "r", began).target == colour.chat(edge, "r", turns).target
    assert len({colour.chat(edge, "r", f"question {number}").target for number in range(20)}) == 3


def test_easy_questions_go_to_the_small_model(colour: Colour, routed: Callable[..., EdgeClient]) -> None:
    edge = routed("p/small", "p/large", strategy="semantic")
    assert answered(colour, edge, 1, "The capital of France?") == ["p/small"]
    assert answered(colour, edge, 1, "Prove it. " * 200) == ["p/large"]


def test_the_one_with_less_work_done_is_asked(colour: Colour, routed: Callable[..., EdgeClient]) -> None:
    edge = routed("p/a", "p/b", strategy="usage")
    assert sorted(answered(colour, edge, 4)) == ["p/a", "p/a", "p/b", "p/b"]


def test_the_cheapest_able_target_is_asked(colour: Colour, edges: Edges, provider: Provider) -> None:
    place = {"kind": "openai", "base_url": provider.url + "/v1"}
    prices = {
        "p/dear": {"input": 10, "output": 30},
        "p/long": {"input": 1, "output": 20},
        "p/short": {"input": 9, "output": 2},
    }
    edge = edges(
        providers={"p": place}, prices={"models": prices}, cache={"policy": "off"},
        routes={"r": {"targets": ["p/unknown", "p/dear", "p/long", "p/short"], "strategy": "cost"}},
    )  # fmt: skip
    assert answered(colour, edge, 1, max_tokens=1000) == ["p/short"]
    assert answered(colour, edge, 1, "word " * 3000, max_tokens=5) == ["p/long"]


def test_a_function_of_the_apps_own_orders_the_targets(colour: Colour, routed: Callable[..., EdgeClient]) -> None:
    def by_length(request: Request, targets: Sequence[Target]) -> Iterable[Target]:
        return reversed(targets) if len(request.body.raw) > 500 else targets

    edge = routed("p/a", "p/b", strategy=by_length)
    assert answered(colour, edge, 1) == ["p/a"]
    assert answered(colour, edge, 1, "x" * 600) == ["p/b"]


def test_a_mistake_in_it_costs_no_answer(colour: Colour, routed: Callable[..., EdgeClient]) -> None:
    def mistaken(request: Request, targets: Sequence[Target]) -> Iterable[Target]:
        raise ValueError("a mistake")

    assert answered(colour, routed("p/a", "p/b", strategy=mistaken), 1) == ["p/a"]


def test_when_it_leaves_nobody_the_caller_is_told(colour: Colour, routed: Callable[..., EdgeClient]) -> None:
    edge = routed("p/a", "p/b", strategy=lambda request, targets: [])
    with pytest.raises(NoTarget, match="the strategy left nobody to ask"):
        colour.chat(edge, "r", "hi")


def test_a_model_that_cannot_see_is_not_shown_a_picture(colour: Colour, routed: Callable[..., EdgeClient]) -> None:
    edge = routed("openai/gpt-3.5-turbo", "openai/gpt-4o")
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    reply = colour.chat(edge, "r", [{"role": "user", "content": [picture]}])
    assert reply.target == "openai/gpt-4o"
    assert reply.explain()["fallbacks"] == 0
    passed = [event["passed_by"] for event in reply.explain()["events"] if "passed_by" in event]
    assert passed == [{"openai/gpt-3.5-turbo": "it does not take images"}]


def test_when_none_is_able_the_providers_judge(colour: Colour, routed: Callable[..., EdgeClient]) -> None:
    edge = routed("openai/gpt-3.5-turbo", "openai/gpt-4")
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert colour.chat(edge, "r", [{"role": "user", "content": [picture]}]).target == "openai/gpt-3.5-turbo"


def test_a_prompt_that_fits_nowhere_goes_to_the_larger_model_at_once(
    colour: Colour, routed: Callable[..., EdgeClient], provider: Provider
) -> None:
    edge = routed("openai/gpt-4", "openai/gpt-3.5-turbo", context_window_fallbacks=["openai/gpt-4.1"])
    assert answered(colour, edge, 1, "word " * 40_000) == ["openai/gpt-4.1"]
    provider.asked(1)


def test_a_prompt_refused_as_too_long_goes_to_the_larger_model(
    colour: Colour, routed: Callable[..., EdgeClient], provider: Provider
) -> None:
    provider.script(json_body(TOO_LONG, status=400), answer("fits"))
    assert answered(colour, routed("p/a", context_window_fallbacks=["p/large"]), 1) == ["p/large"]


def test_without_such_a_list_it_is_refused(
    colour: Colour, routed: Callable[..., EdgeClient], provider: Provider
) -> None:
    provider.script(json_body(TOO_LONG, status=400))
    with pytest.raises(ContextTooLong):
        colour.chat(routed("p/a", "p/b", fallbacks=["p/c"]), "r", "hi")
    provider.asked(1)


def test_a_refused_prompt_goes_elsewhere_only_where_the_app_said_so(
    colour: Colour, routed: Callable[..., EdgeClient], provider: Provider
) -> None:
    provider.script(json_body(BLOCKED, status=400), answer("fine"))
    assert answered(colour, routed("p/a", "p/b", content_policy_fallbacks=["p/lenient"]), 1) == ["p/lenient"]


def test_fallbacks_are_asked_when_all_targets_have_failed(
    colour: Colour, routed: Callable[..., EdgeClient], provider: Provider
) -> None:
    provider.script(status(401), status(401), answer("last"))
    reply = colour.chat(routed("p/a", "p/b", strategy="round-robin", fallbacks=["p/c"]), "r", "hi")
    assert (reply.target, reply.explain()["targets"]) == ("p/c", ["p/a", "p/b", "p/c"])


def test_a_stream_that_breaks_off_is_gone_on_with_by_a_model_that_can(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    place = {"kind": "openai", "base_url": provider.url + "/v1"}
    edge = edges(
        providers={"openai": place, "local": place},
        routes={"r": {"targets": ["openai/gpt-4o", "local/claude-opus-4-5"], "retry": {"continuation": True}}},
    )
    provider.script(stream("The capital", " is").cut(after_events=3), stream(" Paris", "."))
    got = colour.chat(edge, "r", "The capital of France?", stream=True)
    text = "".join(chunk.text for chunk in colour.items(got))
    assert text == "The capital is Paris."
    first, second = provider.asked(2)
    assert (first.json["model"], second.json["model"]) == ("gpt-4o", "claude-opus-4-5")
    assert second.json["messages"][-1] == {"role": "assistant", "content": "The capital is"}
    assert [event["characters"] for event in got.explain()["events"] if event["layer"] == "continuation"] == [14]


def test_where_nobody_can_go_on_the_caller_is_told_that_it_broke(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    place = {"kind": "openai", "base_url": provider.url + "/v1"}
    edge = edges(providers={"openai": place}, retry={"continuation": True})
    provider.script(stream("The capital", " is").cut(after_events=3), stream(" Paris", "."))
    with pytest.raises(StreamBroken):
        colour.items(colour.chat(edge, "openai/gpt-4o", "The capital of France?", stream=True))
    provider.asked(1)


def hedging(edges: Edges, *providers: Provider, **sections: Any) -> EdgeClient:
    """A route over these. By this clock every answer comes at once, so a second ask comes after 20 ms."""
    names = "abc"[: len(providers)]
    return edges(
        providers={name: {"base_url": each.url + "/v1"} for name, each in zip(names, providers, strict=True)},
        routes={"r": {"targets": [f"{name}/m" for name in names], "hedge": {"enabled": True}}},
        **{"cache": {"policy": "off"}, "hedge": {"least": 0.02}, "clock": FakeClock(), **sections},
    )  # fmt: skip


@pytest.mark.parametrize("engine", ["httptools", "httpx2"])
def test_a_slow_answer_is_asked_for_elsewhere_and_the_slow_one_is_given_up(
    colour: Colour, edges: Edges, providers: Callable[..., Provider], engine: str
) -> None:
    first, second = providers(answer("at once")), providers(answer("instead"))
    edge = hedging(edges, first, second, http={"engine": engine})
    for _ in range(20):
        assert colour.chat(edge, "r", "hi").target == "a/m"
    first.script(answer("late").stall())
    reply = colour.chat(edge, "r", "hi")
    assert (reply.text, reply.target) == ("instead", "b/m")
    story = reply.explain()
    assert [each["target"] for each in story["attempts"]] == ["a/m", "b/m"]
    assert [event["asks"] for event in story["events"] if "asks" in event] == ["b/m"]
    assert first.calls[-1].wait_ended().closed_early
    second.asked(1)


def test_a_stream_that_does_not_begin_is_asked_for_elsewhere(
    colour: Colour, edges: Edges, providers: Callable[..., Provider]
) -> None:
    first, second = providers(stream("at once")), providers(stream("in", "stead"))
    edge = hedging(edges, first, second)
    for _ in range(20):
        colour.items(colour.chat(edge, "r", "hi", stream=True))
    first.script(stream("late").stall())
    got = colour.chat(edge, "r", "hi", stream=True)
    assert "".join(chunk.text for chunk in colour.items(got)) == "instead"
    assert got.explain()["usage"]["total_tokens"] > 0
    assert first.calls[-1].wait_ended().closed_early


def test_a_call_that_is_asked_twice_ends_with_its_time_where_nobody_answers(
    colour: Colour, edges: Edges, providers: Callable[..., Provider]
) -> None:
    first, second = providers(answer("at once")), providers(answer("instead"))
    edge = hedging(edges, first, second, clock=None, retry={"attempts": 1})
    for _ in range(20):
        colour.chat(edge, "r", "hi")
    before = len(first.calls)
    first.script(answer("late").stall())
    second.script(answer("late").stall())
    with pytest.raises(DeadlineExceeded):
        colour.chat(edge, "r", "hi", timeout=0.7)
    for call in [*first.calls[before:], *second.calls]:  # none where the machine stood still for all of that time
        assert call.wait_ended().closed_early


def test_who_waits_for_a_place_leaves_when_its_time_is_over(colour: Colour, edges: Edges, provider: Provider) -> None:
    place = {"kind": "openai", "base_url": provider.url + "/v1"}
    edge = edges(providers={"p": place}, limits={"global": {"concurrency": 1, "patience": 600}})
    provider.script(stream("a", " b").stall(after_events=1))
    held = colour.chat(edge, "p/m", "hi", stream=True)  # a stream keeps its place until it is over
    with pytest.raises(RateLimited):
        colour.chat(edge, "p/m", "another", timeout=0.3)
    colour.close(held)
    provider.script(answer("well"))
    assert colour.chat(edge, "p/m", "a third").text == "well"


def test_no_more_than_a_twentieth_is_asked_twice(
    colour: Colour, edges: Edges, providers: Callable[..., Provider]
) -> None:
    first, second = providers(answer("at once")), providers(answer("instead"))
    edge = hedging(edges, first, second)
    for _ in range(20):
        colour.chat(edge, "r", "hi")
    first.script(answer("late").delay(0.2))
    for _ in range(3):
        colour.chat(edge, "r", "hi")
    second.asked(1)


def test_a_shadow_is_asked_and_never_heard(colour: Colour, edges: Edges, providers: Callable[..., Provider]) -> None:
    first, second = providers(answer("heard")), providers(answer("unheard"))
    edge = edges(
        providers={"a": {"base_url": first.url + "/v1"}, "b": {"base_url": second.url + "/v1"}},
        routes={"r": {"targets": ["a/m", {"target": "b/m", "weight": 1}], "strategy": "shadow"}},
    )

    async def asked() -> Any:
        reply = edge.chat("r", "hi") if colour.name == "sync" else await edge.achat("r", "hi")
        while not second.calls or not second.calls[-1].ended:
            await asyncio.sleep(0.001) if colour.name == "async" else threading.Event().wait(0.001)
        return reply

    reply = colour.run(asked())
    assert (reply.text, reply.explain()["targets"]) == ("heard", ["a/m"])
    assert [event["asks"] for event in reply.explain()["events"] if event["layer"] == "shadow"] == ["b/m"]
    second.asked(1)


def test_no_model_is_too_small_for_a_call_that_is_let_pass_unweighed() -> None:
    table = capabilities._table()  # pyright: ignore[reportPrivateUsage]  # all rows, whoever they are for
    rows = [*table.models.values(), *(row for rows in table.at.values() for row in rows.values())]
    contexts = [row["context"] for row in rows if row.get("context")]
    assert len(contexts) > 20
    assert min(contexts) >= choosing.SMALL


def test_retries_second_asks_and_calls_from_another_target_draw_on_one_allowance() -> None:
    edge = EdgeClient(env={}, retry={"share": 0.1, "per_second": 0.2}, routes={"r": {"targets": ["openai/a"]}})
    house = edge._house  # pyright: ignore[reportPrivateUsage]  # what the layers are given
    asked = Request(body=Body(json={}), model="r", route="r")
    (target,) = house.targets.of(asked)
    allowance = house.places.allowance(target, "https://api.openai.com")
    for _ in range(30):
        allowance.call(0.0)  # a tenth of these, and 0.2 a second: five in ten seconds
    allowance.take(0.0)  # came over from another target
    assert [house.places.once_more(target, asked, 0.0) for _ in range(2)] == [True, True]  # second asks
    assert [allowance.draw(0.0) for _ in range(3)] == [True, True, False]  # retries
    assert not house.places.once_more(target, asked, 0.0)
    assert allowance.draw(30.0)
