"""What a call may ask of llm_edge itself, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from llm_edge.errors import InvalidRequest
from llm_edge.message import NO_CONTROLS, Controls, Headers
from llm_edge.policy.controls import from_field, from_headers, from_keyword

HEADERS: list[tuple[str, str, dict[str, Any]]] = [
    ("cache-control", "no-cache", {"no_cache": True}),
    ("cache-control", "no-store", {"no_store": True}),
    ("cache-control", "only-if-cached", {"only_if_cached": True}),
    ("cache-control", "max-age=60", {"max_age": 60.0}),
    ("cache-control", 'No-Cache , max-age="5"', {"no_cache": True, "max_age": 5.0}),
    ("cache-control", "max-age=2147483648", {"max_age": 1e9}),
    ("cache-control", "max-age=5, max-age=60, max-age=30", {"max_age": 5.0}),
    ("cache-control", "stale-if-error=99999999999", {"stale_if_error": 1e9}),
    ("cache-control", "max-stale=9, private", {}),
    ("x-llm-edge-cache-ttl", "0.5", {"ttl": 0.5}),
    ("x-llm-edge-cache-ttl", "0", {"ttl": 0.0}),
    ("X-LLM-Edge-Cache-Namespace", "team a", {"namespace": "team a"}),
    ("x-llm-edge-route", "fast", {"route": "fast"}),
    ("x-llm-edge-deadline-ms", "1500", {"deadline": 1.5}),
    ("x-request-timeout-ms", "250", {"at_most": 0.25}),
    ("x-llm-edge-tenant", "acme", {"tenant": "acme"}),
    ("x-llm-edge-user", "ann", {"user": "ann"}),
    ("x-llm-edge-tier", "pro", {"tier": "pro"}),
    ("x-llm-edge-priority", "-5", {"priority": -5}),
    ("x-llm-edge-fallbacks", "off", {"fallbacks": False}),
    ("x-llm-edge-fallbacks", "ON", {}),
]


@pytest.mark.parametrize(("name", "value", "means"), HEADERS)
def test_each_header_is_understood(name: str, value: str, means: dict[str, Any]) -> None:
    assert from_headers(Headers([(name, value)])) == Controls(**means)


def test_headers_of_others_are_none_of_our_business() -> None:
    assert from_headers(Headers({"authorization": "x", "x-llm": "y"})) is NO_CONTROLS


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in ("x-llm-edge-cache-ttl", "x-llm-edge-deadline-ms", "x-request-timeout-ms")
     for value in ("", "soon", "-1", "nan", "inf", "1e10", "1, 2", "True")]
    + [("cache-control", f"max-age{value}") for value in ("", "=", "=x", "=-1", "=nan")]
    + [("x-llm-edge-cache-namespace", "a\x01b"), ("x-llm-edge-route", "r" * 257), ("x-llm-edge-fallbacks", "maybe")]
    + [("x-llm-edge-priority", value) for value in ("", "high", "1.5", "1000", "--1", "²")],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused_by_the_headers_name(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        from_headers(Headers({name: value}))
    assert name in refused.value.message
    assert (refused.value.status, refused.value.retryable) == (400, False)


def test_an_unknown_header_of_ours_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(InvalidRequest, match=r"no request header `x-llm-edge-cache-tll`.*x-llm-edge-cache-ttl"):
        from_headers(Headers({"X-LLM-Edge-Cache-TLL": "1"}))


@given(st.text(st.characters(max_codepoint=255), max_size=8))
def test_no_value_of_a_header_is_ever_repeated(value: str) -> None:
    for name, _, _ in HEADERS:
        try:
            from_headers(Headers({name: f"canary{value}"}))
        except InvalidRequest as refused:
            assert "canary" not in refused.message


KEYWORDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"no_cache": True, "no_store": "on"}, {"no_cache": True, "no_store": True}),
    ({"no-cache": True, "only-if-cached": False}, {"no_cache": True}),
    ({"max_age": 5, "ttl": "60"}, {"max_age": 5.0, "ttl": 60.0}),
    ({"namespace": "a", "route": "r", "tenant": "t"}, {"namespace": "a", "route": "r", "tenant": "t"}),
    ({"deadline": 2.5, "fallbacks": False}, {"deadline": 2.5, "fallbacks": False}),
    ({"user": "u", "tier": "pro", "priority": 7}, {"user": "u", "tier": "pro", "priority": 7}),
    ({"cache_control": "no-store, max-age=1"}, {"no_store": True, "max_age": 1.0}),
]


@pytest.mark.parametrize(("asked", "means"), KEYWORDS)
def test_each_keyword_is_understood(asked: dict[str, Any], means: dict[str, Any]) -> None:
    assert from_keyword(asked) == Controls(**means)


@pytest.mark.parametrize("asked", [None, {}])
def test_nothing_asked_is_nothing(asked: Any) -> None:
    assert from_keyword(asked) is NO_CONTROLS


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in ("ttl", "max_age", "deadline")
     for value in (True, None, -1, float("nan"), 10**400, [1], "x")]
    + [(name, value) for name in ("namespace", "route", "tenant") for value in (1, None, "a\nb", "x" * 257)]
    + [(name, value) for name in ("no_cache", "no_store", "only_if_cached", "fallbacks")
       for value in (1, None, "maybe")]
    + [("cache_control", 5)],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused_by_the_keywords_name(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        from_keyword({name: value})
    assert f"edge['{name}']" in refused.value.message


def test_an_unknown_keyword_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(InvalidRequest, match="no key 'cache'; known are cache_control, coalesce, deadline"):
        from_keyword({"cache": "off"})


def test_what_is_no_mapping_is_refused() -> None:
    asked: Any = "no-cache"
    with pytest.raises(InvalidRequest, match="must be a mapping such as"):
        from_keyword(asked)


def test_the_cache_field_of_litellm_is_understood() -> None:
    said = {"no-cache": True, "no-store": False, "ttl": 60, "s-maxage": 5, "namespace": "jokes"}
    assert from_field(said) == {"no_cache": True, "no_store": False, "ttl": 60.0, "max_age": 5.0, "namespace": "jokes"}
    assert from_field({"ttl": None, "s-max-age": 1}) == {"max_age": 1.0}


@pytest.mark.parametrize("value", [None, True, "no-cache", [], {}, {"type": "ephemeral"}, {"ttl": 60, "other": 1}])
def test_a_cache_field_of_somebody_elses_is_left_alone(value: object) -> None:
    assert from_field(value) == {}


def test_a_cache_field_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"cache\['ttl'\]"):
        from_field({"ttl": "soon"})
