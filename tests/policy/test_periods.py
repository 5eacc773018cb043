"""Periods by UTC, held against the standard library's calendar."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from hypothesis import given, strategies as st

from llm_edge.policy.periods import Period, ends_in, month, number

BEGAN = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 430 * 365 * 86400).map(lambda seconds: BEGAN + timedelta(seconds=seconds))


@given(MOMENTS)
def test_a_month_is_the_calendars(moment: datetime) -> None:
    days = (moment - BEGAN).days
    assert month(days) == moment.year * 12 + moment.month - 1


@given(MOMENTS, st.sampled_from(["minute", "hour", "day", "month"]))
def test_a_period_ends_where_the_next_one_begins(moment: datetime, period: Period) -> None:
    time = float(int(moment.timestamp()))
    left = ends_in(period, time)
    assert 0 < left <= 31 * 86400
    assert number(period, time + left - 0.5) == number(period, time)
    assert number(period, time + left) == number(period, time) + 1


def test_the_total_never_ends() -> None:
    assert (number("total", 1e9), ends_in("total", 1e9)) == (0, math.inf)


def test_every_day_of_a_leap_year_is_in_its_month() -> None:
    first = datetime(2028, 1, 1, tzinfo=UTC)
    since = (first - BEGAN).days
    for day in range(366):
        date = first + timedelta(days=day)
        assert month(since + day) == date.year * 12 + date.month - 1
