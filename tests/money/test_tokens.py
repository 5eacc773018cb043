"""Prompts counted by a vocabulary that lies here; nothing is ever fetched."""

from __future__ import annotations

import time
from base64 import b64encode
from pathlib import Path

import pytest

from llm_edge import ConfigError, EdgeClient
from llm_edge.money.tokens import FILES, Vocabularies, counting
from tests.forks import in_child


def vocabulary(path: Path, *words: bytes) -> None:
    """All bytes, and what makes these words one token each."""
    ranks = [bytes([each]) for each in range(256)]
    for word in words:
        ranks += [word[:end] for end in range(2, len(word) + 1) if word[:end] not in ranks]
    path.write_bytes(b"".join(b64encode(token) + b" %d\n" % rank for rank, token in enumerate(ranks)))


def counted(found: Vocabularies, model: str, text: str) -> int:
    """Once the vocabulary has been read, which happens beside the callers."""
    end = time.monotonic() + 20
    while (count := found(model, text)) is None:
        assert time.monotonic() < end
    return count


def test_tokens_are_counted_by_the_vocabulary_that_is_there(tmp_path: Path) -> None:
    vocabulary(tmp_path / "o200k_base.tiktoken", b"hello", b" world")
    vocabulary(tmp_path / FILES["cl100k_base"][1], b"hello")
    found = counting(tmp_path)
    assert isinstance(found, Vocabularies)
    assert found("openai/gpt-5.4-mini", "hello world") is None  # nobody waits for it
    assert counted(found, "openai/gpt-5.4-mini", "hello world") == 2
    assert counted(found, "openai/gpt-4-0613", "hello world") == 1 + len(" world")
    assert counted(found, "anthropic/claude-sonnet-5-5", "hello world hello") == 3 + 1


def test_a_model_without_its_own_is_counted_by_the_one_that_is_there(tmp_path: Path) -> None:
    vocabulary(tmp_path / "cl100k_base.tiktoken", b"hello")
    found = counting(tmp_path)
    assert isinstance(found, Vocabularies)
    assert counted(found, "openai/gpt-5.4-mini", "hello") == 1


def test_a_directory_without_one_is_refused_and_nothing_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds none of o200k_base\.tiktoken, cl100k_base\.tiktoken"):
        EdgeClient(env={}, token_files=tmp_path)


def test_a_broken_one_is_told_and_calls_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "o200k_base.tiktoken").write_text("no vocabulary at all\n")
    found = counting(tmp_path)
    assert isinstance(found, Vocabularies)
    end = time.monotonic() + 20
    while "cannot be read" not in caplog.text:
        assert found("m", "hello") is None
        assert time.monotonic() < end


def test_a_forked_child_reads_what_its_parent_was_reading(tmp_path: Path) -> None:
    vocabulary(tmp_path / "o200k_base.tiktoken", b"hello")
    found = counting(tmp_path)
    assert isinstance(found, Vocabularies)
    found("m", "hello")
    assert in_child(lambda: counted(found, "m", "hello") == 1)


def test_budgets_and_limits_guess_by_it(tmp_path: Path) -> None:
    vocabulary(tmp_path / "o200k_base.tiktoken", b"hello")
    with EdgeClient(env={}, token_files=tmp_path, limits={"global": {"tokens_per_minute": 1000}}) as edge:
        assert edge.config.token_files == tmp_path
