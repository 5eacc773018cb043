"""Every field of every request that the SDKs know of changes the key, or is on the list of those that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from llm_edge.message import Body
from llm_edge.policy.keys import LEFT_OUT, answer_key


def _of_openai() -> Iterable[str]:
    from openai.types.chat.completion_create_params import CompletionCreateParamsBase

    return CompletionCreateParamsBase.__annotations__


def _of_completions() -> Iterable[str]:
    from openai.types.completion_create_params import CompletionCreateParamsBase

    return CompletionCreateParamsBase.__annotations__


def _of_responses() -> Iterable[str]:
    from openai.types.responses.response_create_params import ResponseCreateParamsBase

    return ResponseCreateParamsBase.__annotations__


def _of_embeddings() -> Iterable[str]:
    from openai.types.embedding_create_params import EmbeddingCreateParams

    return EmbeddingCreateParams.__annotations__


def _of_anthropic() -> Iterable[str]:
    from anthropic.types.message_create_params import MessageCreateParamsBase

    return MessageCreateParamsBase.__annotations__


def _of_gemini() -> Iterable[str]:
    from google.genai.types import GenerationConfig

    inside = [f"generationConfig.{field.alias or name}" for name, field in GenerationConfig.model_fields.items()]
    return [*inside, "contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "cachedContent"]


SCHEMAS: dict[str, Callable[[], Iterable[str]]] = {
    "chat": _of_openai, "completions": _of_completions, "responses": _of_responses, "embeddings": _of_embeddings,
    "anthropic": _of_anthropic, "gemini": _of_gemini,
}  # fmt: skip
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.floats(-1, 1), st.text(max_size=3), st.just([]), st.just({})
)


def _with(path: str, value: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"model": "m"}
    table, _, name = path.rpartition(".")
    (body.setdefault(table, {}) if table else body)[name] = value
    return body


@pytest.mark.parametrize("dialect", SCHEMAS)
@settings(max_examples=15)
@given(one=VALUES, other=VALUES)
def test_a_field_counts_or_is_on_the_list(dialect: str, one: Any, other: Any) -> None:
    for path in SCHEMAS[dialect]():
        bodies = [Body(json=_with(path, value)) for value in (one, other)]
        same = bodies[0].raw == bodies[1].raw
        assert (len({answer_key(body) for body in bodies}) == 1) == (same or path in LEFT_OUT), path
