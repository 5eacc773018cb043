"""What one call asks of llm_edge itself: read from request headers, or from the `edge` keyword of a direct call."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from ..errors import InvalidRequest
from ..exact import is_object
from ..message import NO_CONTROLS, Controls, Headers

PREFIX: Final = "x-llm-edge-"


_WHOLE = re.compile(r"-?[0-9]{1,3}")
_DIGITS = re.compile(r"0*[1-9][0-9]{9,}")
_FOR_EVER: Final = 1e9


def _number(value: object) -> float:
    """What is written there as a number from 0 to a thousand million; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return math.nan
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return number if 0 <= number < 1e9 else math.nan


def _seconds(name: str, value: object) -> float:
    number = _number(value)
    if math.isnan(number):
        raise InvalidRequest(f"`{name}` must be a number of seconds, 0 or more")
    return number


def _milliseconds(name: str, value: object) -> float:
    number = _number(value)
    if math.isnan(number):
        raise InvalidRequest(f"`{name}` must be a number of milliseconds, 0 or more")
    return number / 1e3


def _word(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > 256:
        raise InvalidRequest(f"`{name}` must be printable text of at most 256 characters")
    return value


def _whole(name: str, value: object) -> int:
    number = value if type(value) is int else None
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        number = int(value)
    if number is None or not -1000 < number < 1000:
        raise InvalidRequest(f"`{name}` must be a whole number from -999 to 999")
    return number


def _switch(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"on", "off", "true", "false"}:
        return value.lower() in {"on", "true"}
    raise InvalidRequest(f"`{name}` must be `on` or `off`")


_Reader = Callable[[str, object], Any]

_HEADERS: Final[Mapping[str, tuple[str, _Reader]]] = {
    "x-llm-edge-cache-ttl": ("ttl", _seconds),
    "x-llm-edge-cache-namespace": ("namespace", _word),
    "x-llm-edge-coalesce": ("coalesce", _switch),
    "x-llm-edge-semantic": ("semantic", _switch),
    "x-llm-edge-route": ("route", _word),
    "x-llm-edge-deadline-ms": ("deadline", _milliseconds),
    "x-llm-edge-tenant": ("tenant", _word),
    "x-llm-edge-user": ("user", _word),
    "x-llm-edge-tier": ("tier", _word),
    "x-llm-edge-priority": ("priority", _whole),
    "x-llm-edge-fallbacks": ("fallbacks", _switch),
}

_KEYWORDS: Final[Mapping[str, tuple[str, _Reader]]] = {
    "no_cache": ("no_cache", _switch),
    "no_store": ("no_store", _switch),
    "only_if_cached": ("only_if_cached", _switch),
    "max_age": ("max_age", _seconds),
    "stale_if_error": ("stale_if_error", _seconds),
    "coalesce": ("coalesce", _switch),
    "semantic": ("semantic", _switch),
    "ttl": ("ttl", _seconds),
    "namespace": ("namespace", _word),
    "route": ("route", _word),
    "deadline": ("deadline", _seconds),
    "tenant": ("tenant", _word),
    "user": ("user", _word),
    "tier": ("tier", _word),
    "priority": ("priority", _whole),
    "fallbacks": ("fallbacks", _switch),
}


def from_headers(headers: Headers) -> Controls:
    """The controls among a request's headers. Raises `InvalidRequest` naming the header that makes no sense."""
    found: dict[str, Any] = {}
    for name in headers:
        if name == "cache-control":
            found.update(_cache_control(headers[name]))
        elif name == "x-request-timeout-ms":
            found["at_most"] = _milliseconds(name, headers[name])
        elif name.startswith(PREFIX):
            if name not in _HEADERS:
                known = ", ".join(sorted(_HEADERS))
                raise InvalidRequest(f"there is no request header `{name}`; known are {known}")
            field, read = _HEADERS[name]
            found[field] = read(name, headers[name])
    return Controls(**found) if found else NO_CONTROLS


def from_keyword(asked: Mapping[str, object] | None) -> Controls:
    """The controls of `edge={...}`. Raises `InvalidRequest` naming the key that makes no sense."""
    if not asked:
        return NO_CONTROLS
    if not is_object(asked):
        raise InvalidRequest('`edge` must be a mapping such as {"ttl": 60, "namespace": "a"}')
    found: dict[str, Any] = {}
    for name, value in asked.items():
        plain = str(name).replace("-", "_")  # `no-cache` is what people type elsewhere
        if plain == "cache_control":
            found.update(_cache_control(_word(f"edge[{name!r}]", value)))
        elif plain in _KEYWORDS:
            field, read = _KEYWORDS[plain]
            found[field] = read(f"edge[{name!r}]", value)
        else:
            known = ", ".join(sorted([*_KEYWORDS, "cache_control"]))
            raise InvalidRequest(f"`edge` has no key {name!r}; known are {known}")
    return Controls(**found)


_ELSEWHERE: Final[Mapping[str, tuple[str, _Reader]]] = {
    "no-cache": ("no_cache", _switch),
    "no-store": ("no_store", _switch),
    "ttl": ("ttl", _seconds),
    "s-maxage": ("max_age", _seconds),
    "s-max-age": ("max_age", _seconds),
    "namespace": ("namespace", _word),
}


def from_field(value: object) -> dict[str, Any]:
    """
    The controls of a request's field `cache={"no-cache": True}`, as LiteLLM has it; empty when it is somebody else's.

    Raises `InvalidRequest` naming the key that makes no sense.
    """
    if not is_object(value) or not value or not value.keys() <= _ELSEWHERE.keys():
        return {}
    found: dict[str, Any] = {}
    for name, given in value.items():
        if given is not None:
            field, read = _ELSEWHERE[name]
            found[field] = read(f"cache[{name!r}]", given)
    return found


def _cache_control(value: str) -> dict[str, Any]:
    """The directives of RFC 9111 that a request may carry; those we do not know are ignored, as it says."""
    found: dict[str, Any] = {}
    for directive in value.lower().split(","):
        name, _, argument = directive.strip().partition("=")
        if name == "no-cache":
            found["no_cache"] = True
        elif name == "no-store":
            found["no_store"] = True
        elif name == "only-if-cached":
            found["only_if_cached"] = True
        elif name == "max-age":
            asked = _directed(name, argument)
            found["max_age"] = min(asked, found.get("max_age", asked))
        elif name == "stale-if-error":
            found["stale_if_error"] = _directed(name, argument)
    return found


def _directed(name: str, argument: str) -> float:
    """The seconds of a directive. RFC 9111 has clients say 2**31 and more when they mean for ever."""
    value = argument.strip().strip('"')
    return _FOR_EVER if _DIGITS.fullmatch(value) else _seconds(f"cache-control: {name}", value)
