"""`explain()` end to end: what it tells of the cache, limits, targets and attempts, and the shape it keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from llm_edge import EdgeClient
from llm_edge.errors import Overloaded, RateLimited
from llm_edge.story import VERSION
from llm_edge.testing import Provider, answer, status

from .conftest import Colour

Edges = Callable[..., EdgeClient]
USED = {"prompt_tokens": 1000, "completion_tokens": 100}

NUMBER, TEXT, ITEMS = (int, float), (str,), (list,)
SHAPE: dict[str, tuple[type, ...]] = {
    "version": (int,), "request_id": TEXT, "trace_id": (str, type(None)), "operation": TEXT, "model": TEXT,
    "status": (int,), "cache": (dict,), "limits": ITEMS, "route": (str, type(None)), "considered": ITEMS,
    "targets": ITEMS, "target": (str, type(None)),
    "attempts": ITEMS, "fallbacks": (int,), "changes": ITEMS, "events": ITEMS, "usage": (dict, type(None)),
    "cost_usd": (*NUMBER, type(None)), "cost_estimated": (bool,), "cost_unknown": (str, type(None)),
    "saved_usd": (*NUMBER, type(None)), "first_byte_ms": (*NUMBER, type(None)),
    "duration_ms": (*NUMBER, type(None)), "upstream_ms": NUMBER, "waited_ms": NUMBER,
    "overhead_ms": (*NUMBER, type(None)), "error": (str, type(None)),
}  # fmt: skip
"""Version 1: what programs may rely on. Whoever changes or takes away one of these makes a new version."""
INSIDE = {
    "cache": {"status", "reason", "age", "key", "key_parts"},
    "limits": {"scope", "unit", "limit", "left", "reset_s", "says"},
    "considered": {"target", "passed_by", "score"},
    "attempts": {"target", "at_ms", "ms", "outcome", "status", "engine", "usage", "cost_usd"},
}


def check(story: dict[str, Any]) -> None:
    assert story["version"] == VERSION == 1
    assert {
        name: isinstance(story.get(name, Ellipsis), kinds) for name, kinds in SHAPE.items() if name
    } == dict.fromkeys(SHAPE, True)
    assert story.keys() == SHAPE.keys()
    for name, keys in INSIDE.items():
        for item in story[name] if isinstance(story[name], list) else [story[name]]:
            assert item.keys() == keys
    assert all({"at_ms", "layer"} <= event.keys() for event in story["events"])
    assert json.loads(json.dumps(story)) == story


@pytest.fixture
def make(edges: Edges, provider: Provider) -> Callable[..., EdgeClient]:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}

    def made(**sections: Any) -> EdgeClient:
        return edges(
            providers={"gpt": place, "spare": place},
            routes={"r": {"targets": ["gpt/m", "spare/m"], "strategy": "least-latency"}},
            retry={"base": 0, "attempts": 1}, prices={"models": {"gpt/m": {"input": 2.5, "output": 10}}}, **sections,
        )  # fmt: skip

    return made


def test_what_went_into_the_key_is_named_and_not_shown(colour: Colour, make: Any) -> None:
    edge = make()
    story = colour.chat(edge, "gpt/m", "my secret", temperature=0.5, user="lovelace", edge={"tenant": "acme"}).explain()
    check(story)
    assert story["cache"]["key_parts"] == ["dialect", "tenant", "body.model", "body.messages", "body.temperature"]
    assert "by dialect, tenant, body.model" in str(story)
    assert not any(word in str(story) + json.dumps(story) for word in ("my secret", "acme", "lovelace"))


def test_each_limit_is_told_with_what_was_left(colour: Colour, make: Any, provider: Provider) -> None:
    provider.script(answer("Hi", usage=USED))
    edge = make(
        limits={"global": {"requests_per_minute": 10, "concurrency": 4}, "tenant": {"tokens_per_minute": 9000}},
        budgets={"global": {"usd_per_day": 2.0}},
    )
    story = colour.chat(edge, "gpt/m", "Hi", edge={"tenant": "acme"}).explain()
    check(story)
    told = {(each["scope"], each["says"]): each for each in story["limits"]}
    requests = [each for each in told.values() if (each["scope"], each["unit"]) == ("global", "requests")]
    assert requests
    assert all(each["left"] == each["limit"] - 1 for each in requests)
    (money,) = [each for each in told.values() if each["unit"] == "usd"]
    assert money["limit"] == 2.0
    assert 1.9 < money["left"] < 2.0
    assert [each["unit"] for (scope, _), each in told.items() if scope.startswith("tenant")] == ["tokens"]
    assert {each["unit"] for each in told.values()} == {"requests", "places", "tokens", "usd"}
    assert "requests left, global" in str(story)


def test_a_refusal_tells_which_limit_had_no_room(colour: Colour, make: Any) -> None:
    edge = make(limits={"global": {"requests_per_minute": 1, "patience": 0}})
    colour.chat(edge, "gpt/m", "one")
    with pytest.raises(RateLimited) as caught:
        colour.chat(edge, "gpt/m", "two")
    story: Any = caught.value.explain()
    check(story)
    assert (story["error"], story["status"], story["limits"][0]["left"]) == ("RateLimited", 429, 0)


def test_the_targets_are_told_with_what_the_strategy_saw(colour: Colour, make: Any, provider: Provider) -> None:
    provider.script(answer("Hi", usage=USED))
    edge = make()
    colour.chat(edge, "gpt/m", "Hi")
    story = colour.chat(edge, "r", "Ho").explain()
    check(story)
    scores = {each["target"]: each["score"] for each in story["considered"]}
    assert scores.keys() == {"gpt/m", "spare/m"}
    assert scores["gpt/m"]["latency_ms"] > 0
    assert scores["spare/m"]["latency_ms"] is None
    assert "gpt/m: ready True, in_flight 0, weight 1.0, latency_ms" in str(story)


def test_an_error_tells_its_attempts(colour: Colour, make: Any, provider: Provider) -> None:
    provider.script(*[status(503)] * 2)
    with pytest.raises(Overloaded) as caught:
        colour.chat(make(), "r", "Hi")
    story: Any = caught.value.explain()
    check(story)
    assert [(each["target"], each["outcome"], each["status"]) for each in story["attempts"]] == [
        ("gpt/m", "Overloaded", 503), ("spare/m", "Overloaded", 503),
    ]  # fmt: skip
    assert story["fallbacks"] == 1
    assert story["upstream_ms"] > 0
    assert story["duration_ms"] == pytest.approx(
        story["overhead_ms"] + story["upstream_ms"] + story["waited_ms"], abs=0.01
    )


def test_what_a_translation_changed_is_told(colour: Colour, edges: Edges, provider: Provider) -> None:
    place = {"kind": "anthropic", "base_url": provider.url, "api_key": "k"}
    edge = edges(providers={"claude": place})
    story = colour.chat(edge, "claude/m", "Hi", logit_bias={"1": 1}).explain()
    check(story)
    assert any("logit_bias" in change for change in story["changes"])


def test_a_hit_is_told_in_the_same_shape(colour: Colour, make: Any, provider: Provider) -> None:
    provider.script(answer("Hi", usage=USED))
    edge = make()
    stories = [colour.chat(edge, "gpt/m", "Hi").explain() for _ in range(2)]
    for story in stories:
        check(story)
    assert (stories[1]["cache"]["status"], stories[1]["attempts"], stories[1]["cost_usd"]) == ("HIT", [], 0)
    assert stories[1].as_dict() == dict(stories[1])
