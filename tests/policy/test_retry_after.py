"""What an answer says about waiting."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from llm_edge.message import Headers
from llm_edge.policy.retry_after import LONGEST, retry_after

DATE = "Sat, 21 Nov 2026 12:00:00 GMT"
MOMENT = 1795262400.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"retry-after": ".5"}, 0.5),
        ({"retry-after-ms": "250.5", "retry-after": "9"}, 0.2505),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "-1", "retry-after": "9"}, 9.0),
        ({"retry-after": "1000000000"}, 1e9),
    ],
)  # fmt: skip
def test_a_number_is_taken_as_it_stands(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(Headers(headers)) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "-3",
        "+3",
        "1e3",
        "1_0",
        "٣",
        "0x10",
        "1000000001",
        "9" * 400,
        "soon",
        "5 s",
        "5,6",
        "\x00",
        DATE + "x" * 99,
    ],
)
def test_nonsense_is_no_wait(value: str) -> None:
    assert retry_after(Headers({"retry-after": value, "retry-after-ms": value}), now=MOMENT) is None


def test_a_date_is_held_against_our_clock_or_against_theirs() -> None:
    headers = Headers({"retry-after": DATE})
    assert retry_after(headers, now=MOMENT - 30) == 30.0
    assert retry_after(headers.having({"date": "Sat, 21 Nov 2026 11:59:48 GMT"})) == 12.0
    assert retry_after(headers) is None


def test_a_date_that_is_past_means_now() -> None:
    assert retry_after(Headers({"retry-after": DATE}), now=MOMENT + 5) == 0.0


def test_a_date_too_far_off_is_a_mistake() -> None:
    assert retry_after(Headers({"retry-after": "Sat, 21 Nov 2076 12:00:00 GMT"}), now=MOMENT) is None


@given(st.text(max_size=40), st.floats(allow_nan=False, allow_infinity=False))
def test_whatever_comes_the_wait_is_finite_and_not_negative(value: str, now: float) -> None:
    wait = retry_after({"retry-after": value, "retry-after-ms": value}, now=now)
    assert wait is None or (math.isfinite(wait) and 0 <= wait <= LONGEST)
