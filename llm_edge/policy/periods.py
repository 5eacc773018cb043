"""Minutes, hours, days and months by UTC, numbered, so that a count can tell when it has to begin anew."""

from __future__ import annotations

from typing import Literal, TypeAlias

Period: TypeAlias = Literal["minute", "hour", "day", "month", "total"]

_SECONDS: dict[str, float] = {"minute": 60.0, "hour": 3600.0, "day": 86400.0}


def number(period: Period, time: float) -> int:
    """Which period a moment (seconds since 1970) lies in; they count up by one. `total` has only one."""
    seconds = _SECONDS.get(period)
    if seconds is not None:
        return int(time // seconds)
    return month(int(time // 86400)) if period == "month" else 0


def ends_in(period: Period, time: float) -> float:
    """Seconds until the next one begins; infinity for `total`."""
    seconds = _SECONDS.get(period)
    if seconds is not None:
        return seconds - time % seconds
    if period == "total":
        return float("inf")
    day = int(time // 86400)
    now, last = month(day), day + 1
    while month(last) == now:
        last += 1
    return last * 86400.0 - time


def month(day: int) -> int:
    """
    The month of a day since 1970, as year * 12 + month from 0.

    Years are counted from March here, so that the leap day is a year's last; the script in a shared
    store does the same sums, and has no calendar to ask.
    """
    day += 719_468  # since the first of March of the year 0
    era, in_era = divmod(day, 146_097)
    year = (in_era - in_era // 1460 + in_era // 36_524 - in_era // 146_096) // 365
    in_year = in_era - (365 * year + year // 4 - year // 100)
    from_march = (5 * in_year + 2) // 153
    return (era * 400 + year) * 12 + from_march + 2
