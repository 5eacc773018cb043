"""Spans of time in the words of OpenAI's header fields."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from llm_edge.policy.durations import seconds, written


@pytest.mark.parametrize(
    ("span", "text"),
    [(0, "0ms"), (0.0121, "13ms"), (1, "1s"), (8.64, "8.64s"), (59.9999, "1m0s"), (360, "6m0s"), (3723, "1h2m3s")],
)
def test_a_span_is_written_as_openai_writes_it(span: float, text: str) -> None:
    assert written(span) == text


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("12ms", 0.012),
        ("1s", 1),
        ("6m0s", 360),
        ("1h2m3s", 3723),
        ("8.64s", 8.64),
        ("20", 20),
        ("1.5", 1.5),
        (" 1s ", 1),
    ],
)
def test_what_providers_write_is_read(text: str, span: float) -> None:
    assert seconds(text) == pytest.approx(span)


@pytest.mark.parametrize("text", ["", "-1", "s", "1x", "1 s", "1s2", "soon", "nan", "1e9", "9" * 50, "1s junk", "²"])
def test_what_makes_no_sense_says_nothing(text: str) -> None:
    assert seconds(text) is None


@given(st.floats(0, 1e7))
def test_what_is_written_can_be_read_and_is_never_too_early(span: float) -> None:
    back = seconds(written(span))
    assert back is not None
    assert span - 1e-9 <= back <= span + (1.002 if span >= 59.998 else 0.00101)


@given(st.text(max_size=50))
def test_no_text_does_harm(text: str) -> None:
    found = seconds(text)
    assert found is None or found >= 0
