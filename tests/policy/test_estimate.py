"""Tokens guessed before a call, and read from what the provider says after it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from llm_edge.policy.estimate import MEDIA, guess, used

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)


def test_a_text_is_about_a_token_for_four_characters() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 4000}], "max_tokens": 50}
    found = guess(body, output=1000)
    assert 1000 <= found.prompt <= 1010
    assert (found.output, found.total) == (50, found.prompt + 50)


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({}, 1000),
        ({"max_completion_tokens": 5}, 5),
        ({"max_output_tokens": 6}, 6),
        ({"max_tokens": 5, "n": 3}, 15),
        ({"generationConfig": {"maxOutputTokens": 7}}, 7),
        ({"max_tokens": "many", "n": True}, 1000),
        ({"max_tokens": -5, "n": -5}, 1000),
        ({"max_tokens": 10**30}, 10**8),
    ],
)
def test_every_dialect_says_in_its_own_words_how_long_an_answer_may_be(fields: dict[str, Any], output: int) -> None:
    assert guess({"messages": [], **fields}, output=1000).output == output


def test_embeddings_have_no_answer_to_count() -> None:
    assert guess({"input": ["a" * 400, "b" * 400]}, output=1000, embeddings=True).total in range(195, 210)
    assert guess({"input": [[1, 2, 3], [4, 5, 6]]}, output=1000, embeddings=True).prompt in range(6, 9)


def test_a_picture_counts_the_same_however_large() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10**6}}
    assert guess({"messages": [{"content": [part]}]}, output=0).prompt in range(MEDIA, MEDIA + 20)
    google = {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "A" * 10**6}}]}]}
    assert guess(google, output=0).prompt in range(MEDIA, MEDIA + 20)


@given(st.dictionaries(st.text(max_size=10), JSON, max_size=5))
def test_no_body_does_harm(body: dict[str, Any]) -> None:
    found = guess(body, output=10)
    assert 0 < found.prompt <= 10**8
    assert 0 <= found.output <= 10**8


def test_a_deep_body_does_no_harm() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    assert guess({"messages": deep}, output=10).prompt >= 1


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, None),
        ({}, None),
        ({"total_tokens": 9}, 9),
        ({"prompt_tokens": 4, "completion_tokens": 3}, 7),
        ({"total_tokens": -1}, 0),
        ({"total_tokens": 10**18}, 10**8),
        ({"total_tokens": float("nan")}, None),
        ({"total_tokens": True, "prompt_tokens": 2}, 2),
    ],
)
def test_absurd_usage_is_held_in_bounds(usage: dict[str, Any] | None, tokens: int | None) -> None:
    assert used(usage) == tokens
