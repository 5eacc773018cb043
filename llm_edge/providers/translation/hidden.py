"""
What a vendor proves or adds about tool calls, where the caller's dialect has no field for it.

It travels inside thinking that nobody reads: callers give such thinking back as they got it. On the way
back it is found again and put where it belongs; no vendor is ever sent it in this form.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import orjson

from ... import exact
from ...message import Json
from ..cargo import mapping, string
from .marks import marked, whose

_MARK = "tool_calls"


def hide(extra: Json) -> str:
    """`extra_content` of calls, by the calls' ids, as what stands for thinking that is not shown."""
    return marked(_MARK, base64.urlsafe_b64encode(exact.write(extra)).decode())


def found(secret: str) -> Json | None:
    """What `hide` hid, by the calls' ids; None when this is something else."""
    vendor, data = whose(secret)
    if vendor != _MARK:
        return None
    try:
        return mapping(orjson.loads(base64.urlsafe_b64decode(data)))
    except (ValueError, binascii.Error):
        return {}  # a caller has been at it: as good as lost


def extras_of(calls: Sequence[Json]) -> dict[str, Any]:
    """What is to be hidden about these calls."""
    return {string(call.get("id")): call["extra_content"] for call in calls if call.get("extra_content")}


def give_back(calls: Sequence[dict[str, Any]], extras: dict[str, Any]) -> None:
    """Puts what was found on the calls it is about, each once: later turns may use an id again."""
    for call in calls if extras else ():
        if call["id"] in extras:
            call["extra_content"] = extras.pop(call["id"])
