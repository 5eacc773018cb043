"""The table of providers."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from llm_edge.providers.dialects import DIALECTS
from llm_edge.providers.table import ROWS, by_host, by_prefix, key_env


def test_every_row_is_whole() -> None:
    for name, row in ROWS.items():
        assert row.name == name
        parts = urlsplit(row.base_url)
        assert parts.scheme == ("http" if parts.hostname == "localhost" else "https")
        assert not row.base_url.endswith("/")
        assert set(row.paths) <= set(DIALECTS)
        assert row.key_env or row.key_optional or row.settings
        assert (parts.hostname == "localhost") is row.key_optional


def test_the_providers_people_ask_for_are_there() -> None:
    wanted = (
        "openai anthropic gemini gemini-openai groq together deepseek openrouter fireworks deepinfra mistral xai"
        " cerebras perplexity moonshot zai nvidia sambanova hyperbolic huggingface github ollama vllm llamacpp lmstudio"
    )
    assert set(wanted.split()) <= set(ROWS)


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-5.4-mini", "openai"),
        ("o3", "openai"),
        ("o4-mini", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("text-embedding-3-small", "openai"),
        ("claude-sonnet-5-5", "anthropic"),
        ("gemini-3.8-flash", "gemini"),
        ("mistral-small-latest", "mistral"),
        ("deepseek-chat", "deepseek"),
        ("grok-5", "xai"),
        ("sonar-pro", "perplexity"),
        ("kimi-k3", "moonshot"),
        ("glm-5.3", "zai"),
    ],
)
def test_a_bare_name_is_known_by_how_it_begins(model: str, provider: str) -> None:
    row = by_prefix(model)
    assert row is not None
    assert row.name == provider


@pytest.mark.parametrize("model", ["", "llama-4", "my-gpt-5", "openai/gpt-5.4", "qwen3"])
def test_a_name_nobody_owns_has_no_provider(model: str) -> None:
    assert by_prefix(model) is None


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.openai.com", "openai"),
        ("API.OpenAI.com:443", "openai"),
        ("eu.api.openai.com", "openai"),
        ("api.anthropic.com", "anthropic"),
        ("generativelanguage.googleapis.com", "gemini"),
        ("openrouter.ai", "openrouter"),
        ("api.groq.com", "groq"),
        ("res.openai.azure.com", "azure"),
        ("us-central1-aiplatform.googleapis.com", "vertex"),
        ("aiplatform.googleapis.com", "vertex"),
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("localhost:11434", "localhost:11434"),
        ("api.openai.com.evil.test", "api.openai.com.evil.test"),
        ("notapi.openai.com", "notapi.openai.com"),
        ("api.openai.com:8443", "api.openai.com:8443"),
        ("", ""),
    ],
)
def test_a_host_is_named_after_its_provider_or_itself(host: str, name: str) -> None:
    assert by_host(host) == name


def test_key_variables_are_told_for_those_that_have_them() -> None:
    assert key_env()["openai"] == ("OPENAI_API_KEY",)
    assert "llamacpp" not in key_env()
