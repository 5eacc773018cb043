"""Which failure an answer is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llm_edge import errors
from llm_edge.errors import BadAnswer, Failed, ProviderFailed
from llm_edge.message import Body, Headers, Response
from llm_edge.providers.dialects import DIALECTS
from llm_edge.providers.failures import failure, kind_of, trouble_behind, trouble_in

from .exchanges import BAD_ANSWERS, OURS, THEIRS, Exchange

ANSWERS = [each for each in OURS + THEIRS if not each.stream]
SENSIBLE = {
    "recorded/anthropic/count_tokens_error": "NotFound",
    "recorded/azure/error_404_deployment": "NotFound",
    "recorded/bedrock/error_400_converse": "NotFound",
    "recorded/compatible/groq_tool_use_failed": "BadRequest",
    "recorded/compatible/openrouter_429": "Throttled",
    "recorded/gemini/vertex_error_400": "BadRequest",
    "recorded/gemini/vertex_error_404": "NotFound",
    "recorded/openai/error_400_invalid_image_url": "BadRequest",
    "recorded/openai/error_400_role_unsupported": "BadRequest",
    "recorded/openai/error_404_model": "NotFound",
    "recorded/openai/responses_error_reasoning_orphan": "BadRequest",
    "recorded/openai/responses_http_error": "BadRequest",
    # Recorded under 200; on the wire it was a 400, and the body says so.
    "recorded/azure/error_400_prompt_filtered": "ContentBlocked",
}


def found(exchange: Exchange) -> Failed | None:
    if exchange.status >= 400:
        return exchange.dialect.failure(exchange.response())
    return exchange.dialect.fault(Body(exchange.content).json)


@pytest.mark.parametrize("exchange", BAD_ANSWERS, ids=str)
def test_a_bad_answer_is_the_failure_its_case_says(exchange: Exchange) -> None:
    expect, error = exchange.expect, found(exchange)
    assert error is not None
    assert type(error).__name__ == expect["failure"]
    assert error.retry_after == expect.get("retry_after")
    assert expect.get("message", "") in error.message
    if exchange.status >= 400:
        assert error.status == exchange.status
        assert error.response is not None
    if "status" in expect:
        assert error.status == expect["status"]
    if "hidden" in expect:
        assert expect["hidden"] not in f"{error} {error!r} {error.explain()}"


@pytest.mark.parametrize("exchange", ANSWERS, ids=str)
def test_a_replayed_answer_is_an_error_exactly_when_it_says_so(exchange: Exchange) -> None:
    error = found(exchange)
    wanted = exchange.expect.get("failure") or SENSIBLE.get(exchange.name)
    assert (type(error).__name__ if error else None) == wanted


def answer(status: int, body: Any, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status=status, headers=Headers(headers), body=Body(raw))


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "BadRequest"),
        (401, "Unauthorized"),
        (402, "QuotaExhausted"),
        (403, "Unauthorized"),
        (404, "NotFound"),
        (405, "BadRequest"),
        (408, "Overloaded"),
        (409, "Overloaded"),
        (413, "BadRequest"),
        (415, "BadRequest"),
        (422, "BadRequest"),
        (429, "Throttled"),
        (499, "Overloaded"),
        (500, "Overloaded"),
        (502, "Overloaded"),
        (503, "Overloaded"),
        (504, "Overloaded"),
        (520, "Overloaded"),
        (529, "Overloaded"),
    ],
)
@pytest.mark.parametrize(
    "body",
    [b"", b"<html></html>", b"null", b"[]", b'"x"', b"{}", b'{"error":null}', b'{"error":{"message":"no"}}', b"\xff"],
)
def test_without_telling_words_the_status_decides(status: int, name: str, body: bytes) -> None:
    error = failure(answer(status, body))
    assert type(error).__name__ == ("Overloaded" if status == 403 and body[:1] == b"<" else name)
    assert error.status == status
    assert error.message


@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_a_code_is_sure_under_any_status(status: int) -> None:
    body = {"error": {"message": "x", "code": "insufficient_quota"}}
    assert isinstance(failure(answer(status, body)), errors.QuotaExhausted)


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_prose_decides_nothing_beyond_bad_requests(status: int) -> None:
    prose = "maximum context length; credit balance is too low; prompt is too long; 400"
    plain, wordy = (failure(answer(status, {"error": {"message": text}})) for text in ("x", prose))
    assert type(plain) is type(wordy)


@pytest.mark.parametrize("kind", ["insufficient_quota", "429", "content_filter", "401", "model_not_found"])
def test_a_word_in_the_prose_is_no_code(kind: str) -> None:
    error = failure(
        answer(400, {"error": {"message": f"Invalid value: {kind}", "type": "invalid_request_error", "code": None}})
    )
    assert type(error) is errors.BadRequest


def test_an_error_under_200_gets_the_status_its_words_mean() -> None:
    for code, status in (
        (503, 503),
        ("429", 429),
        ("overloaded_error", 529),
        ("RESOURCE_EXHAUSTED", 429),
        ("who_knows", 500),
    ):
        trouble = DIALECTS["openai.chat"].fault({"error": {"message": "x", "code": code}})
        assert isinstance(trouble, ProviderFailed)
        assert trouble.status == status
        assert trouble.response is not None


def test_an_unknown_error_under_200_may_be_tried_again_and_elsewhere() -> None:
    for dialect in DIALECTS.values():
        error = dialect.fault({"error": "it broke"})
        assert error is not None
        assert error.retryable
        assert error.elsewhere


def test_an_answer_without_its_substance_is_bad() -> None:
    for dialect in DIALECTS.values():
        error = dialect.fault({})
        assert isinstance(error, BadAnswer)
        assert "status 200" in error.message


def test_the_wait_in_a_header_goes_before_the_one_in_the_body() -> None:
    body = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "30s"}]}}
    assert failure(answer(429, body)).retry_after == 30
    assert failure(answer(429, body, **{"retry-after": "3"})).retry_after == 3


def test_a_message_is_short_and_holds_no_key() -> None:
    error = failure(answer(400, {"error": {"message": "sk-" + "a1" * 40 + " " + "blah " * 1000}}))
    assert len(error.message) <= 400
    assert "a1a1" not in error.message
    assert "[hidden]" in error.message


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "message",
                    "code",
                    "type",
                    "status",
                    "details",
                    "reason",
                    "retryDelay",
                    "violations",
                    "quotaId",
                    "metadata",
                    "raw",
                    "choices",
                    "content",
                    "output",
                    "candidates",
                    "usage",
                    "data",
                    "detail",
                    "innererror",
                    "parts",
                    "object",
                    "prompt_tokens",
                    "usageMetadata",
                    "promptFeedback",
                    "tool_calls",
                    "functionCall",
                    "finish_reason",
                    "text",
                    "embedding",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.integers(400, 599))
def test_whatever_an_answer_holds_nothing_breaks(body: Any, status: int) -> None:
    error = failure(answer(status, body))
    assert isinstance(error, ProviderFailed)
    assert error.retry_after is None or error.retry_after >= 0
    trouble = trouble_in(body)
    assert trouble is None or kind_of(status, trouble)
    for dialect in DIALECTS.values():
        if isinstance(body, dict):
            dialect.fault(body)
            assert isinstance(dialect.text(body), str)
            assert isinstance(dialect.tool_calls(body), list)
            assert all(value >= 0 for value in (dialect.usage(body) or {}).values())
            assert all(isinstance(reason, str) for reason in dialect.finished(body))
        watcher = dialect.watcher()
        watcher.feed(b"data: " + json.dumps(body).encode() + b"\n\n")
        watcher.end()
        assert watcher.events <= 1


@given(st.binary(max_size=80))
def test_bytes_that_are_no_json_tell_of_no_trouble(raw: bytes) -> None:
    trouble = trouble_behind(raw)
    assert trouble is None or raw.lstrip()[:1] in (b"{", b"[")
