"""What models take: found by any spelling of their name, and never guessed from another version's row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import llm_edge
from llm_edge.providers.capabilities import Capabilities, of, plain, source

FILE = Path(llm_edge.__file__).parent / "data" / "capabilities.json"


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5"),
        ("global.anthropic.claude-opus-5-5", "claude-opus-5-5"),
        ("anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        ("claude-haiku-4-5@20251001", "claude-haiku-4-5"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("publishers/anthropic/models/claude-sonnet-5", "claude-sonnet-5"),
        ("openai/gpt-5-2025-08-07", "gpt-5"),
        ("gpt-4.1-mini", "gpt-4.1-mini"),
        ("Claude-Opus-5", "claude-opus-5"),
    ],
)
def test_every_spelling_of_a_model_is_that_model(spelled: str, name: str) -> None:
    assert plain(spelled) == name
    assert of("any", spelled) == of("any", name)


def test_another_version_is_another_model() -> None:
    assert of("anthropic", "claude-opus-4-5").prefill
    assert not of("anthropic", "claude-opus-4-6").prefill
    assert not of("anthropic", "claude-sonnet-5-9").known
    assert not of("openai", "gpt-5.9").known
    assert of("openai", "gpt-5.4-mini").known


def test_an_unknown_model_is_refused_little() -> None:
    assert of("somebody", "new-model") == Capabilities()
    claude = of("anthropic", "claude-opus-9")
    assert not claude.known
    assert claude.forced_tools
    assert claude.json_schema


@pytest.mark.parametrize("name", sorted(json.loads(FILE.read_bytes())["models"]))
def test_every_row_can_be_read(name: str) -> None:
    row = of("any", name)
    assert isinstance(row.efforts, tuple)
    assert row.max_output is None or row.max_output > 0


def test_the_data_say_when_and_where_from() -> None:
    date, where = source()
    assert date >= "2026-11"
    assert len(where) > 20
