"""What providers say about their limits."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from llm_edge.message import Headers
from llm_edge.policy.throttle import Reading
from llm_edge.providers.quota import readings

NOW = 1_755_780_000.0  # 2025-08-21T12:40:00Z

OPENAI = {
    "x-ratelimit-limit-requests": "5000", "x-ratelimit-limit-tokens": "160000",
    "x-ratelimit-remaining-requests": "4999", "x-ratelimit-remaining-tokens": "0",
    "x-ratelimit-reset-requests": "12ms", "x-ratelimit-reset-tokens": "1m0s",
}  # fmt: skip
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2025-08-21T12:40:59Z",
    "anthropic-ratelimit-input-tokens-limit": "1000", "anthropic-ratelimit-input-tokens-remaining": "10",
    "anthropic-ratelimit-input-tokens-reset": "2025-08-21T12:40:30Z", "anthropic-ratelimit-unified-reset": "1755780059",
}  # fmt: skip
AZURE = {
    "x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "10",
    "x-ratelimit-limit-tokens": "-1", "x-ratelimit-remaining-tokens": "-1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        (OPENAI, [Reading("requests", 5000, 4999, 0.012), Reading("tokens", 160000, 0, 60.0)]),
        (ANTHROPIC, [Reading("requests", 50, 49, 59.0), Reading("input-tokens", 1000, 10, 30.0)]),
        (AZURE, [Reading("requests", 100, 0, 10.0)]),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-limit-tokens": "9"}, [Reading("tokens", 9, 5, None)]),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-limit-tokens": "5"}, []),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-limit-requests": "0"}, []),
        ({"x-ratelimit-remaining-requests": "many"}, []),
        ({"anthropic-ratelimit-requests-remaining": "1", "anthropic-ratelimit-requests-limit": "2",
          "anthropic-ratelimit-requests-reset": "tomorrow, or the day after"}, [Reading("requests", 2, 1, None)]),
        ({}, []),
    ],
)  # fmt: skip
def test_each_providers_words_are_understood(headers: dict[str, str], says: list[Reading]) -> None:
    assert readings(Headers(headers), NOW) == says


@given(st.dictionaries(st.sampled_from([*OPENAI, *ANTHROPIC]), st.text(max_size=30)))
def test_no_header_does_harm(headers: dict[str, str]) -> None:
    for _, limit, left, reset in readings(Headers(headers), NOW):
        assert 0 <= left <= limit
        assert reset is None or reset <= 86_400
