"""The story of a call as data and as text: what `explain()` gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .notes import Attempt, Notes

VERSION: Final = 1
"""Of the data's shape. Keys are added without a new version; what is there keeps its meaning."""


def told(notes: Notes) -> Story:
    """What stands in the notes so far, as plain JSON data."""
    started = notes.started
    return Story(
        version=VERSION,
        request_id=notes.request_id,
        trace_id=notes.trace_id or None,
        operation=notes.operation,
        model=notes.model,
        status=notes.status,
        cache={
            "status": notes.cache,
            "reason": notes.cache_reason or None,
            "age": notes.cache_age,
            "key": notes.cache_key or None,
            "key_parts": list(notes.key_parts()),
        },
        limits=_limits(notes),
        route=notes.route or None,
        considered=_considered(notes),
        targets=list(notes.targets),
        target=notes.target or None,
        attempts=[_attempt(attempt, started) for attempt in notes.attempts],
        fallbacks=notes.fallbacks,
        changes=[
            change for _, layer, facts in notes.events if layer == "translate" for change in facts.get("changes", ())
        ],
        events=[{"at_ms": _ms(moment - started), "layer": layer, **facts} for moment, layer, facts in notes.events],
        usage=None if notes.usage is None else dict(notes.usage),
        cost_usd=_usd(notes.cost),
        cost_estimated=any((each.usage or {}).get("estimated", False) for each in notes.attempts),
        cost_unknown=_unknown(notes),
        saved_usd=_usd(notes.saved),
        first_byte_ms=None if notes.first_byte is None else _ms(notes.first_byte - started),
        duration_ms=None if notes.ended is None else _ms(notes.ended - started),
        upstream_ms=_ms(notes.upstream),
        waited_ms=_ms(notes.waited),
        overhead_ms=None if notes.overhead is None else _ms(notes.overhead),
        error=notes.error or None,
    )


def _attempt(attempt: Attempt, started: float) -> dict[str, Any]:
    return {
        "target": attempt.target,
        "at_ms": _ms(attempt.started - started),
        "ms": None if attempt.ended is None else _ms(attempt.ended - attempt.started),
        "outcome": attempt.outcome,
        "status": attempt.status,
        "engine": attempt.connection or None,
        "usage": None if attempt.usage is None else dict(attempt.usage),
        "cost_usd": _usd(attempt.cost),
    }


def _unknown(notes: Notes) -> str | None:
    """Why nobody knows what it cost."""
    if notes.cost is not None:
        return None
    if notes.ended is None:
        return "it is not over"
    for attempt in notes.attempts:
        if attempt.cost is None and attempt.ended is None:
            return f"an attempt at {attempt.target} is not over"
        if attempt.cost is None and attempt.usage is not None:
            return f'the price of {attempt.target} is not known; set prices.models."{attempt.target}"'
    return "what a call of this kind uses is not understood"


def _limits(notes: Notes) -> list[dict[str, Any]]:
    """Each limit and budget that was asked, and what was left there after this call took its part."""
    asked: list[dict[str, Any]] = []
    for asks, standings in notes.consulted:
        for number, (row, _) in enumerate(asks):
            known = standings[number] if number < len(standings) else None
            left, reset = (None, None) if known is None else (known.left, known.reset)
            asked.append({**_limit(row.scope, row.unit, row.limit, left, reset), "says": row.says})
    return asked or [_limit(None, unit, most, left, reset) for unit, most, left, reset in notes.limits]


def _limit(scope: str | None, unit: str, limit: int, left: int | None, reset: float | None) -> dict[str, Any]:
    money = unit == "nano-dollars"
    return {
        "scope": scope,
        "unit": "usd" if money else unit,
        "limit": limit / 1e9 if money else limit,
        "left": left / 1e9 if money and left is not None else left,
        "reset_s": None if reset is None else round(reset, 3),
        "says": None,
    }


def _considered(notes: Notes) -> list[dict[str, Any]]:
    """Who might have answered, and by what the strategy chose among them."""
    lacking = {
        name: lack for _, layer, facts in notes.events if layer == "router"
        for name, lack in facts.get("passed_by", {}).items()
    }  # fmt: skip
    scored = {
        each.name: {
            "ready": each.ready, "in_flight": each.in_flight, "weight": each.weight,
            "latency_ms": None if each.latency is None else _ms(each.latency), "room": each.room, "load": each.load,
            "cost_usd": None if each.cost is None else each.cost / 1e9,
        }
        for each in notes.considered
    }  # fmt: skip
    names = dict.fromkeys([*notes.targets, *scored, *lacking])
    return [{"target": name, "passed_by": lacking.get(name), "score": scored.get(name)} for name in names]


def _usd(nano: int | None) -> float | None:
    return None if nano is None else nano / 1e9


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)


def _dollars(usd: float | None) -> str:
    return "not known" if usd is None else "nothing" if usd == 0 else f"${usd:.9f}".rstrip("0")


class Story(dict[str, Any]):
    """What `explain()` gives: a plain dict, safe to dump as JSON, that prints as a few readable lines."""

    def as_dict(self) -> dict[str, Any]:
        """The data alone, without the words that printing gives it."""
        return dict(self)

    def __str__(self) -> str:
        lines = [f"{self['operation'] or 'call'} {self['model']}".rstrip() + f"  ({self['request_id']})"]
        lines += [self._cache(), *self._asked_limits(), *self._targets(), *self._happened()]
        if self["usage"]:
            tokens = ", ".join(f"{k}={v}" for k, v in self["usage"].items() if isinstance(v, int))
            lines.append(f"  usage     {tokens}")
        over = self["duration_ms"] is not None
        if over:
            saved = f", saved {_dollars(self['saved_usd'])}" if self["saved_usd"] else ""
            why = f": {self['cost_unknown']}" if self["cost_unknown"] else ""
            guessed = ", estimated" if self["cost_estimated"] and not why else ""
            lines.append(f"  cost      {_dollars(self['cost_usd'])}{why}{guessed}{saved}")
        if self["error"]:
            lines.append(f"  error     {self['error']}")
        if over:
            lines.append(f"  took      {self['duration_ms']:.3f} ms, of which {self._shares()}")
        return "\n".join(lines)

    def _shares(self) -> str:
        parts = [("providers", self["upstream_ms"]), ("waiting", self["waited_ms"])]
        told = [f"{name} {spent:.3f} ms" for name, spent in parts if spent]
        return ", ".join([f"llm_edge {self['overhead_ms']:.3f} ms", *told])

    def _cache(self) -> str:
        cache = self["cache"]
        line = f"  cache     {cache['status']}"
        if cache["age"] is not None:
            line += f", {cache['age']:.1f} s old"
        if cache["reason"]:
            line += f": {cache['reason']}"
        if cache["key_parts"]:
            line += f", by {', '.join(cache['key_parts'])}"
        return line

    def _asked_limits(self) -> list[str]:
        lines: list[str] = []
        for each in self["limits"]:
            left = "?" if each["left"] is None else each["left"]
            scope = f", {each['scope']}" if each["scope"] else ""
            lines.append(f"  limit     {left} of {each['limit']} {each['unit']} left{scope}")
        return lines

    def _targets(self) -> list[str]:
        if not self["targets"]:
            return []
        route = f"route {self['route']}: " if self["route"] else ""
        lines = [f"  targets   {route}{', then '.join(self['targets'])}"]
        for each in self["considered"]:
            if each["passed_by"]:
                lines.append(f"            {each['target']} was passed by: {each['passed_by']}")
            elif each["score"]:
                facts = ", ".join(f"{name} {value}" for name, value in each["score"].items() if value is not None)
                lines.append(f"            {each['target']}: {facts}")
        return lines

    def _happened(self) -> list[str]:
        said = [(event["at_ms"], "event", event) for event in self["events"]]
        tried = [(attempt["at_ms"], "attempt", attempt) for attempt in self["attempts"]]
        lines: list[str] = []
        for at, what, item in sorted(said + tried, key=lambda row: row[0]):
            if what == "attempt":
                took = "" if item["ms"] is None else f" after {item['ms']:.1f} ms"
                status = f" ({item['status']})" if item["status"] else ""
                lines.append(f"  {at:7.1f} ms  asked {item['target']}: {item['outcome']}{status}{took}")
            else:
                facts = ", ".join(f"{k}={v}" for k, v in item.items() if k not in {"at_ms", "layer"})
                lines.append(f"  {at:7.1f} ms  {item['layer']}: {facts}")
        return lines
