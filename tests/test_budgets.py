"""Budgets as an app has them: hard and soft, in one process and over a shared store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llm_edge import BudgetExceeded, EdgeClient
from llm_edge.errors import CallError, Overloaded
from llm_edge.testing import Provider, answer, status, stream

from .conftest import Colour
from .stores.valkey import Valkey, valkey

Edges = Callable[..., EdgeClient]
USED = {"prompt_tokens": 1000, "completion_tokens": 100}
COSTS = 0.0035
"""Dollars, of a call that used so much."""

PATIENT = 20.0
"""Seconds: a store that is well counts for all, also where the machine stands still for a moment."""


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest, server: Valkey) -> dict[str, Any]:
    if request.param == "memory":
        return {"kind": "memory"}
    server.client().flushall()
    return {"kind": "redis", "url": server.url, "timeout": PATIENT}


# A shared store is told in the background what a call came to: a moment later, for whoever asks at once.
AT_ONCE = pytest.mark.parametrize("store", ["memory"], indirect=True)


@pytest.fixture
def make(edges: Edges, provider: Provider, store: dict[str, Any]) -> Callable[..., EdgeClient]:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    provider.script(answer("Hi", usage=USED))

    def made(budgets: Any, **sections: Any) -> EdgeClient:
        return edges(**{
            "providers": {"dear": place, "cheap": place}, "budgets": budgets, "store": store,
            "prices": {"models": {"dear/m": {"input": 2.5, "output": 10}, "cheap/m": {"input": 0, "output": 0}}},
            "retry": {"attempts": 1}, "cache": {"policy": "off"}, **sections,
        })  # fmt: skip

    return made


def test_a_hard_budget_holds_and_says_what_it_is(colour: Colour, make: Any) -> None:
    edge = make({"tenant": {"usd_total": 3 * COSTS}})
    said: list[str] = []
    while len(said) < 15:  # so many reservations alone are more than it allows
        try:
            colour.chat(edge, "dear/m", f"{len(said)}", max_tokens=100, edge={"tenant": "acme"})
            said.append("ok")
        except BudgetExceeded as error:
            said += [str(error)] if "cannot be asked" not in str(error) else []  # the store of a busy machine
    assert said[:2] == ["ok", "ok"]
    assert said[-1] == "the tenant budget has no room for this call: more than $0.0105 in total"
    assert colour.chat(edge, "dear/m", "Hi", max_tokens=100, edge={"tenant": "other"}).text == "Hi"


def test_under_an_sdk_it_is_an_answer_that_is_not_tried_again(colour: Colour, make: Any) -> None:
    import openai

    edge = make({"global": {"usd_per_day": 0.0001}})
    client = colour.openai(edge, "http://127.0.0.1:9/v1")
    with pytest.raises(openai.RateLimitError) as caught:
        colour.finish(client.chat.completions.create(model="dear/m", messages=[{"role": "user", "content": "Hi"}]))
    assert caught.value.code == "insufficient_quota"
    assert caught.value.response.headers["x-should-retry"] == "false"


@AT_ONCE
def test_what_was_reserved_beyond_the_cost_comes_back(colour: Colour, make: Any, provider: Provider) -> None:
    provider.script(answer("Hi", usage={"prompt_tokens": 10, "completion_tokens": 1}))
    edge = make({"global": {"usd_total": 0.011}})
    for number in range(20):  # each reserves a cent, and spends a fraction of it
        colour.chat(edge, "dear/m", f"{number}", max_tokens=1000)


@AT_ONCE
def test_a_refused_call_gives_all_back(colour: Colour, make: Any, provider: Provider) -> None:
    provider.script(*[status(503)] * 3, answer("Hi", usage=USED))
    edge = make({"global": {"usd_total": 0.011}}, breaker={"enabled": False})
    for number in range(3):
        with pytest.raises(Overloaded):
            colour.chat(edge, "dear/m", f"{number}", max_tokens=1000)
    assert colour.chat(edge, "dear/m", "last", max_tokens=1000).text == "Hi"


@AT_ONCE
def test_a_stream_settles_when_it_ends(colour: Colour, make: Any, provider: Provider) -> None:
    provider.script(stream("a", "b", usage={"prompt_tokens": 10, "completion_tokens": 2}))
    edge = make({"global": {"usd_total": 0.011}})
    for number in range(3):
        ask = edge.chat if colour.name == "sync" else edge.achat
        reply = colour.finish(ask("dear/m", f"{number}", max_tokens=1000, stream=True))
        with pytest.raises(BudgetExceeded):
            colour.chat(edge, "dear/m", "beside it", max_tokens=1000)
        colour.items(reply)


def test_a_route_goes_on_to_a_cheaper_target_when_it_may(colour: Colour, make: Any) -> None:
    targets = ["dear/m", "cheap/m"]
    edge = make(
        {"global": {"usd_total": 0.0001}},
        routes={"careful": {"targets": targets, "on_budget": "downgrade"}, "strict": {"targets": targets}},
    )
    reply = colour.chat(edge, "careful", "Hi")
    assert reply.target == "cheap/m"
    assert any(event["layer"] == "budget" for event in reply.explain()["events"])
    with pytest.raises(BudgetExceeded):
        colour.chat(edge, "strict", "Hi")


def test_an_unknown_price_under_a_hard_budget_is_refused_with_the_way_out(colour: Colour, make: Any) -> None:
    edge = make({"global": {"usd_total": 100}}, prices={})
    with pytest.raises(BudgetExceeded, match=r'the price of dear/m is not known; set it as prices\.models\."dear/m"'):
        colour.chat(edge, "dear/m", "Hi")
    assert colour.chat(make({"global": {"usd_total": 100, "hard": False}}, prices={}), "dear/m", "Hi").text == "Hi"


def test_a_dearer_way_of_serving_is_reserved_at_its_price(colour: Colour, make: Any, provider: Provider) -> None:
    edge = make(
        budgets={"global": {"usd_total": 0.0025}},
        prices={"models": {"dear/m": {"input": 0, "output": 10, "tiers": {"priority": {"input": 0, "output": 20}}}}},
    )
    provider.script(answer("Hi", usage={"prompt_tokens": 1, "completion_tokens": 1}))
    colour.chat(edge, "dear/m", "Hi", max_tokens=200, service_tier="flex")  # no price of its own: guessed as usual
    with pytest.raises(BudgetExceeded):
        colour.chat(edge, "dear/m", "Ho", max_tokens=200, service_tier="priority")


def test_a_soft_budget_lets_all_pass_and_warns_once(
    colour: Colour, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    edge = make({"global": {"usd_per_month": 0.001, "hard": False}})
    for number in range(3):
        colour.chat(edge, "dear/m", f"{number}")
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("the global budget of $0.001 is used to ")


def test_a_hit_costs_nothing_and_is_never_refused_for_money(colour: Colour, make: Any) -> None:
    edge = make({"global": {"usd_total": 0.011}}, cache={"policy": "all"})
    colour.chat(edge, "dear/m", "the same", max_tokens=1000)
    for _ in range(5):
        assert colour.chat(edge, "dear/m", "the same", max_tokens=1000).cache == "HIT"
    with pytest.raises(BudgetExceeded):
        colour.chat(edge, "dear/m", "another", max_tokens=1000)


def test_a_model_has_a_budget_of_its_own(colour: Colour, make: Any) -> None:
    edge = make({"model:dear/m": {"usd_per_hour": 0.0001}, "provider:cheap": {"usd_per_hour": 1}})
    assert colour.chat(edge, "cheap/m", "Hi").text == "Hi"
    with pytest.raises(CallError, match="model budget"):
        colour.chat(edge, "dear/m", "Hi")


def test_how_much_of_a_budget_is_used_stands_in_the_metrics(colour: Colour, make: Any) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    edge = make({"tenant": {"usd_total": 0.1}, "tenant:acme": {"usd_per_month": 0.01, "hard": False}})
    for number, tenant in enumerate(["acme", "other", "third"]):
        colour.chat(edge, "dear/m", f"{number}", max_tokens=100, edge={"tenant": tenant})
    shares = {
        (sample.labels["budget"], sample.labels["period"]): sample.value
        for family in text_string_to_metric_families(edge.metrics.text().decode())
        for sample in family.samples
        if sample.name == "llm_edge_budget_used_ratio"
    }
    assert shares.keys() == {("tenant", "total"), ("tenant:acme", "month")}
    assert 0.01 < shares["tenant", "total"] < shares["tenant:acme", "month"] < 0.2
