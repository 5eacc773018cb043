"""`edge.cache`: counted, emptied, filled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge import EdgeClient
from llm_edge.testing import Provider, answer

if TYPE_CHECKING:
    from tests.conftest import Colour

ASK = {"model": "p/m", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def edge(edges: Callable[..., EdgeClient], provider: Provider) -> EdgeClient:
    provider.script(answer("Hello"))
    return edges(providers={"p": {"kind": "openai", "base_url": f"{provider.url}/v1"}})


def clear(colour: Colour, edge: EdgeClient, **named: str) -> bool:
    done: bool = colour.finish((edge.cache.clear if colour.name == "sync" else edge.cache.aclear)(**named))
    return done


def test_what_happened_is_counted(colour: Colour, edge: EdgeClient) -> None:
    for question in ("a", "b", "a", "a"):
        colour.chat(edge, "p/m", question)
    report = edge.cache.stats()
    assert (report.hits, report.misses, report.coalesced, report.stale, report.entries) == (2, 2, 0, 0, 2)
    assert report.bytes > 0
    assert report.saved_seconds > 0
    assert report.second is None


@pytest.mark.parametrize(
    ("named", "left"),
    [({}, []), ({"tenant": "ada"}, ["bob", "n"]), ({"namespace": "n"}, ["ada", "bob"]), ({"model": "p/m"}, []),
     ({"model": "other"}, ["ada", "bob", "n"]), ({"tenant": "ada", "namespace": "n"}, ["ada", "bob", "n"])],
)  # fmt: skip
def test_what_is_named_is_forgotten_and_nothing_else(
    colour: Colour, edge: EdgeClient, named: dict[str, str], left: list[str]
) -> None:
    kinds: dict[str, Any] = {"ada": {"tenant": "ada"}, "bob": {"tenant": "bob"}, "n": {"namespace": "n"}}
    for asked in kinds.values():
        colour.chat(edge, "p/m", "Hi", edge=asked)
    assert clear(colour, edge, **named)
    again = {name: colour.chat(edge, "p/m", "Hi", edge=asked).cache for name, asked in kinds.items()}
    assert [name for name, status in again.items() if status == "HIT"] == left


def test_one_key_is_forgotten(colour: Colour, edge: EdgeClient) -> None:
    key = colour.chat(edge, "p/m", "Hi").explain()["cache"]["key"]
    colour.chat(edge, "p/m", "Ho")
    assert clear(colour, edge, key=key)
    assert [colour.chat(edge, "p/m", question).cache for question in ("Hi", "Ho")] == ["MISS", "HIT"]


def test_requests_asked_beforehand_are_hits(colour: Colour, edge: EdgeClient) -> None:
    warm = edge.cache.warm if colour.name == "sync" else edge.cache.awarm
    assert colour.finish(warm([ASK])) == (1, 0)
    assert colour.chat(edge, "p/m", "Hi").cache == "HIT"


def test_a_second_tier_is_counted_and_emptied_too(colour: Colour, provider: Provider, tmp_path: Path) -> None:
    provider.script(answer("Hello"))
    place = {"kind": "openai", "base_url": f"{provider.url}/v1"}
    edge = EdgeClient(providers={"p": place}, cache={"disk": {"directory": str(tmp_path / "kept")}}, env={})
    colour.chat(edge, "p/m", "Hi")
    clear(colour, edge)
    assert colour.chat(edge, "p/m", "Hi").cache == "MISS"
    second = edge.cache.stats().second
    assert second is not None
    assert second["hits"] == 0
    colour.close(edge)


def test_litellms_cache_keyword_is_understood_by_a_direct_call(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    assert colour.chat(edge, "p/m", "Hi").cache == "MISS"
    assert colour.chat(edge, "p/m", "Hi", cache={"no-cache": True}).cache == "MISS"
    assert "cache" not in provider.last.json
    assert colour.chat(edge, "p/m", "Hi", cache={"namespace": "b"}).cache == "MISS"
    assert colour.chat(edge, "p/m", "Hi").cache == "HIT"
