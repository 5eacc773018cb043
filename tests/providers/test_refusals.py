"""Our refusals, as the real SDKs understand them."""

from __future__ import annotations

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as google_errors, types

from llm_edge import errors
from llm_edge.errors import CallError
from llm_edge.message import Body
from llm_edge.providers.dialects import DIALECTS

ERRORS: list[CallError] = [
    errors.RateLimited("too many", retry_after=2.5),
    errors.BudgetExceeded("no money"),
    errors.Blocked("not this"),
    errors.InvalidRequest("wrong field"),
    errors.CircuitOpen("left alone", retry_after=30),
    errors.NoTarget("nobody"),
    errors.DeadlineExceeded("too late"),
    errors.NetworkFailed("refused"),
    errors.StreamBroken("cut"),
    errors.BadAnswer("html"),
    errors.ContextTooLong("too long"),
    errors.Unauthorized("who are you"),
    errors.NotFound("no such model"),
    errors.QuotaExhausted("used up"),
    errors.Overloaded("busy"),
]


def refusing(dialect: str, error: CallError) -> httpx2.Client:
    """A client whose every call is refused."""
    body = Body(json=DIALECTS[dialect].refusal(error, "req-1")).raw

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            error.status, content=body, headers={"content-type": "application/json"}, request=request
        )

    return httpx2.Client(transport=httpx2.MockTransport(answer))


def each(error: CallError) -> str:
    return type(error).__name__


@pytest.mark.parametrize("error", ERRORS, ids=each)
def test_the_openai_sdk_raises_by_status_and_shows_our_code(error: CallError) -> None:
    wanted = {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        404: openai.NotFoundError,
        429: openai.RateLimitError,
    }
    with refusing("openai.chat", error) as http, openai.OpenAI(api_key="k", http_client=http, max_retries=0) as client:
        with pytest.raises(openai.APIStatusError) as raised:
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    assert type(raised.value) is wanted.get(error.status, openai.InternalServerError)
    assert raised.value.code == error.code
    assert error.message in str(raised.value)


@pytest.mark.parametrize("error", ERRORS, ids=each)
def test_the_anthropic_sdk_raises_by_status_and_shows_a_type_it_knows(error: CallError) -> None:
    wanted = {
        400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error",
        502: "api_error", 503: "overloaded_error", 504: "timeout_error",
    }  # fmt: skip
    with (
        refusing("anthropic.messages", error) as http,
        anthropic.Anthropic(api_key="k", http_client=http, max_retries=0) as client,
    ):
        with pytest.raises(anthropic.APIStatusError) as raised:
            client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": "Hi"}])
    assert raised.value.status_code == error.status
    assert raised.value.type == wanted[error.status]
    assert raised.value.body == {
        "type": "error",
        "error": {"type": wanted[error.status], "message": error.message},
        "request_id": "req-1",
    }


@pytest.mark.parametrize("error", ERRORS, ids=each)
def test_the_google_sdk_raises_with_our_status_and_words(error: CallError) -> None:
    with refusing("gemini.generate", error) as http:
        client = genai.Client(api_key="k", http_options=types.HttpOptions(httpx_client=http))
        with pytest.raises(google_errors.APIError) as raised:
            client.models.generate_content(model="m", contents="Hi")
        client.close()
    assert raised.value.code == error.status
    assert raised.value.message == error.message
    assert str(raised.value.status).isupper()


def test_a_wait_is_told_in_googles_way() -> None:
    body = DIALECTS["gemini.generate"].refusal(errors.RateLimited("slow", retry_after=2.5), "r")
    assert body["error"]["details"][-1] == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.500s"}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("error", ERRORS, ids=each)
def test_our_own_refusal_reads_back_as_an_error_in_every_dialect(dialect: str, error: CallError) -> None:
    known = DIALECTS[dialect]
    read = known.fault(known.refusal(error, "r"))
    assert read is not None
    assert read.message == error.message
