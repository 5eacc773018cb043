"""Which call speaks which dialect, and what it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_edge.errors import ConfigError
from llm_edge.providers.dialects import DIALECTS, by_name, describe, load, recognise

from .exchanges import THEIRS

CHAT = {"model": "m", "stream": True}


@pytest.mark.parametrize(
    ("path", "name", "model", "streaming"),
    [
        ("/v1/chat/completions", "openai.chat", "m", True),
        ("/chat/completions", "openai.chat", "m", True),
        ("/v1/chat/completions/", "openai.chat", "m", True),
        ("/v1/chat/completions?x=1", "openai.chat", "m", True),
        ("/v1/chat/completions#stream", "openai.chat", "m", True),
        ("/openai/v1/chat/completions", "openai.chat", "m", True),
        ("/v1beta/openai/chat/completions", "openai.chat", "m", True),
        ("/openai/deployments/my%20one/chat/completions?api-version=2024-10-21", "openai.chat", "my one", True),
        ("/openai/deployments/d/embeddings", "openai.embeddings", "d", False),
        ("/v1/completions", "openai.completions", "m", True),
        ("/v1/embeddings", "openai.embeddings", "m", False),
        ("/api/v1/embeddings", "openai.embeddings", "m", False),
        ("/v1/responses", "openai.responses", "m", True),
        ("/openai/responses?api-version=x", "openai.responses", "m", True),
        ("/v1/messages", "anthropic.messages", "m", True),
        ("/anthropic/v1/messages?beta=true", "anthropic.messages", "m", True),
        ("/v1beta/models/gemini-3.8-flash:generateContent", "gemini.generate", "gemini-3.8-flash", False),
        ("/v1/models/gemini-3.8-flash:streamGenerateContent?alt=sse", "gemini.generate", "gemini-3.8-flash", True),
        ("/v1/models/gemini-3.8-flash:streamGenerateContent", "gemini.generate", "gemini-3.8-flash", True),
        (
            "/v1/projects/p/locations/l/publishers/google/models/g%201:generateContent?%24alt=json",
            "gemini.generate",
            "g 1",
            False,
        ),
        ("/v1beta/models/openai/gpt-5.4:generateContent", "gemini.generate", "openai/gpt-5.4", False),
        ("/v1/models/a%2Fb:streamGenerateContent?alt=sse", "gemini.generate", "a/b", True),
        ("/v1beta/tunedModels/mine-1:generateContent", "gemini.generate", "mine-1", False),
        ("/v1/models/e:embedContent", "gemini.embed", "e", False),
        ("/v1/models/e:batchEmbedContents", "gemini.embed", "e", False),
        ("/v1/models/g:countTokens", "gemini.count", "g", False),
        ("/v1/messages/count_tokens?beta=true", "anthropic.count", "m", False),
        ("/v1/responses/input_tokens", "openai.count", "m", False),
        ("/model/us.anthropic.claude-opus-4-8/count-tokens", "bedrock.count", "us.anthropic.claude-opus-4-8", False),
    ],
)
def test_a_path_is_recognised(path: str, name: str, model: str, streaming: bool) -> None:
    dialect = recognise("POST", path)
    assert dialect is not None
    assert dialect.name == name
    assert describe(dialect, path, CHAT) == (model, streaming)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/v1/models",
        "/v1/files",
        "/v1/fim/completions",
        "/v1/agents/completions",
        "/v1/chat/completions/chatcmpl-1",
        "/v1/responses/r/cancel",
        "/v1/threads/t/messages",
        "/v1/messages/batches",
        "/api/chat",
        "/api/generate",
        "/api/embeddings",
        "/v1/models/g:predict",
        "/v1/models/c:rawPredict",
        "/v1/audio/transcriptions",
        "/v1/xchat/completionsx",
        "/v1/models/g:streamGenerateContent?alt=json",
        "/model/x/invoke",
        "/v1/moderations",
        "/v1/images/generations",
    ],
)
def test_any_other_path_passes_untouched(path: str) -> None:
    assert recognise("POST", path) is None


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS"])
def test_only_posts_are_recognised(method: str) -> None:
    assert recognise(method, "/v1/chat/completions") is None


@pytest.mark.parametrize("json", [{}, {"model": None}, {"model": 5, "stream": "yes"}, {"stream": 1}])
def test_a_body_that_names_no_model_asks_none(json: dict[str, Any]) -> None:
    assert describe(DIALECTS["openai.chat"], "/v1/chat/completions", json) == ("", False)


def test_recorded_calls_ask_for_the_stream_they_got() -> None:
    for exchange in THEIRS:
        if exchange.status == 200 and exchange.request:
            model, streaming = describe(exchange.dialect, exchange.path, exchange.request)
            assert model
            assert streaming is exchange.stream, exchange.name


def test_a_dialect_is_known_by_its_name() -> None:
    assert {name: dialect.name for name, dialect in DIALECTS.items()} == {name: name for name in DIALECTS}
    assert by_name("openai.chat") is DIALECTS["openai.chat"]
    assert by_name("opaque") is None


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory on the path, as if a package with three providers were installed in it."""
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[llm_edge.providers]\nacme-good = acme_edge:good\n"
        "acme-hollow = acme_edge:hollow\nacme-broken = acme_edge_missing:x\n"
    )
    (tmp_path / "acme_edge.py").write_text(
        "class Good:\n    name = 'acme-good'\n    def speaks(self, dialect): return True\n"
        "    def encode(self, request, target): ...\n    def decode(self, body, request): return body\n"
        "good, hollow = Good(), object()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    load.cache_clear()
    yield tmp_path
    load.cache_clear()


@pytest.mark.usefixtures("plugin")
def test_another_package_adds_a_provider_by_an_entry_point() -> None:
    adapter = load("acme-good")
    assert adapter is not None
    assert adapter.name == "acme-good"
    assert load("acme-unknown") is None


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("name", "said"), [("acme-hollow", "no name, speaks, encode, decode"), ("acme-broken", "acme_edge_missing")]
)
def test_a_provider_that_cannot_be_used_is_refused_by_name(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=name) as refused:
        load(name)
    assert said in str(refused.value)
