"""OpenAI's dialects by the cases on file, and together with another dialect on the other side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParams
from openai.types.responses import Response
from openai.types.responses.response_create_params import ResponseCreateParams
from pydantic import TypeAdapter

from llm_edge.providers.translation import chat, completions, responses
from llm_edge.providers.translation.core import Exchange, Translation
from llm_edge.providers.translation.table import translation

from ..exchanges import CASES, OURS, THEIRS, WHOLE_STREAMS, Exchange as Recorded
from .openai_kit import chat_of_sdk, exchange, put_together, read, response_of_sdk, write

HALVES: dict[str, Translation] = {
    each.dialect: each for each in (chat.TRANSLATION, responses.TRANSLATION, completions.TRANSLATION)
}
FILES = [file for folder in ("openai", "compatible") for file in sorted((CASES / folder).glob("*.translated.json"))]
OFFICIAL: dict[str, TypeAdapter[Any]] = {
    "openai.chat": TypeAdapter(CompletionCreateParams),
    "openai.responses": TypeAdapter(ResponseCreateParams),
}
OTHERS = ("anthropic.messages",)
STREAMS = [each for each in WHOLE_STREAMS if each.dialect.name in OTHERS]
ANSWERS = [
    each for each in OURS + THEIRS if each.dialect.name in OTHERS and not each.stream and b'"content"' in each.content
    and each.status == 200
]  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_case_is_translated_as_written(file: Path) -> None:
    case = json.loads(file.read_bytes())
    into = Exchange(model=case["model"], provider=case["provider"], request_id="r1")
    half = HALVES[case["dialect"]]
    told = (half.request_from_chat if case["to"] == "provider" else half.request_to_chat)(case["given"], into)
    assert told == case["expected"]
    assert into.changes == case["changes"]
    official = OFFICIAL["openai.chat" if case["to"] == "chat" else case["dialect"]]
    if file.name.startswith(("chat", "responses_agent", "completions")):
        official.validate_python(with_ids(told))


def with_ids(request: Any) -> Any:
    """The SDK's types want an id and a status on an assistant's message; the API wants neither."""
    if "input" not in request:
        return request
    marks = {"id": "msg_1", "status": "completed"}
    return {
        **request,
        "input": [{**item, **marks} if item.get("type") == "message" else item for item in request["input"]],
    }


def other(each: Recorded) -> Translation:
    found = translation(each.dialect.name)
    assert found is not None
    return found


@pytest.mark.parametrize("each", STREAMS, ids=str)
def test_another_vendors_stream_reaches_the_openai_sdk_as_chat_and_as_responses(each: Recorded) -> None:
    chunks = read(other(each), [each.content])
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    said = put_together(chunks)
    message = chat_of_sdk(write(chat.TRANSLATION, chunks, exchange()))["choices"][0]["message"]
    assert (message.get("content") or "") == (said.get("content") or "")
    if said["finish"] not in (["length"], ["content_filter"]):
        final = response_of_sdk(write(responses.TRANSLATION, chunks, exchange()))
        texts = [part["text"] for item in final["output"] if item["type"] == "message" for part in item["content"]]
        assert "".join(texts) == (said.get("content") or "")
        calls = [item["call_id"] for item in final["output"] if item["type"] == "function_call"]
        assert calls == [call["id"] for call in said["tool_calls"].values()]


@pytest.mark.parametrize("each", ANSWERS, ids=str)
def test_another_vendors_answer_is_a_valid_chat_answer_and_a_valid_response(each: Recorded) -> None:
    unified = other(each).answer_to_chat(json.loads(each.content), exchange())
    ChatCompletion.model_validate(chat.TRANSLATION.answer_from_chat(unified, exchange()))
    Response.model_validate(responses.TRANSLATION.answer_from_chat(unified, exchange()))


def test_thinking_of_openai_comes_back_to_it_through_a_caller_of_anthropic() -> None:
    anthropic = translation("anthropic.messages")
    assert anthropic is not None
    item = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "SEALED"}
    call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    answer = {"id": "resp_1", "created_at": 1, "model": "m", "status": "completed", "output": [item, call]}
    told = anthropic.answer_from_chat(responses.TRANSLATION.answer_to_chat(answer, exchange()), exchange())
    turns = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": told["content"]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "3"}]},
    ]
    again = anthropic.request_to_chat({"model": "m", "max_tokens": 5, "messages": turns}, exchange())
    items = responses.TRANSLATION.request_from_chat(again, exchange(model="gpt-6-sol"))["input"]
    assert items[1] == item
