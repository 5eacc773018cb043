"""
Bedrock's models by their ids: whose they are, and what Converse takes for them, as data (`data/bedrock.json`).

An id is `vendor.model`, perhaps with a region before it (an inference profile), or the ARN of one. An
ARN that only its owner can read says nothing of the vendor; then the caller's word is taken for everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

import orjson

ThinkingStyle: TypeAlias = Literal["claude", "nova", "effort", ""]

_LONG_DASHES = re.compile(r"gpt-(?!oss)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What Converse takes for a vendor's models."""

    vendor: str = ""
    assistant_first: bool = False
    """Whether a history may begin with the assistant."""
    cache: bool = False
    """Whether cache points are taken."""
    demands: tuple[str, ...] = ("any", "tool")
    """How a tool call may be demanded."""
    thinking: ThinkingStyle = ""
    """In which words it is asked how much to think; empty: in none that are known."""
    thinking_back: bool = False
    """Whether it wants to see its thinking again."""
    lone_results: bool = False
    """Whether tool results must have a message of their own."""
    json_results: bool = False
    """Whether a tool result that is a JSON object goes as one."""
    result_status: bool = True
    """Whether a tool result says if it went well."""


@lru_cache(maxsize=1024)
def family(model: str) -> Family:
    """What is known of the vendor of this model, by its id or ARN."""
    rows = _rows()
    return rows.get(vendor(model), rows["default"])


@lru_cache(maxsize=1024)
def vendor(model: str) -> str:
    """Whose model it is; empty when the id does not say."""
    parts = model.rpartition("/")[2].split(".")
    rows = _rows()
    return next((part for part in parts[:2] if part in rows and part != "default"), "")


def path_of(model: str, action: str) -> str:
    """The path under which a model is asked: an ARN has colons and slashes of its own."""
    return f"/model/{quote(model, safe='')}/{action}"


def is_embedder(model: str) -> bool:
    """Whether it makes embeddings."""
    return "embed" in model.rpartition("/")[2]


def thinks_like_gpt(model: str) -> bool:
    """Whether it is OpenAI's closed kind, which takes `reasoning`; the open ones take `reasoning_effort`."""
    return _LONG_DASHES.search(model.rpartition("/")[2]) is not None


@lru_cache(maxsize=1)
def _rows() -> Mapping[str, Family]:
    from importlib.resources import files

    loaded = orjson.loads(files("llm_edge").joinpath("data", "bedrock.json").read_bytes())
    rows: Mapping[str, Mapping[str, Any]] = loaded["vendors"]
    return {name: _read("" if name == "default" else name, row) for name, row in rows.items()}


def _read(vendor: str, row: Mapping[str, Any]) -> Family:
    demands = {"demands": tuple(row["demands"])} if "demands" in row else {}
    fields: dict[str, Any] = {**row, **demands}
    return Family(vendor=vendor, **fields)
