"""
Which failure an error answer is: by status, and by the words providers set apart for programs.

The words of all dialects stand in one table, for compatible servers mix them freely. A message's
prose decides nothing, but for the few sentences (`_TOO_LONG` and their neighbours) that are all
some servers say about a prompt too long: and then only under a status that means "bad request",
because servers echo prompts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import (
    BadRequest,
    ContentBlocked,
    ContextTooLong,
    NotFound,
    Overloaded,
    ProviderFailed,
    QuotaExhausted,
    Throttled,
    Unauthorized,
)
from ..message import Body, Headers, Json, Response
from ..policy.retry_after import retry_after
from .amazon import NO_SUCH_MODEL, STATUS as AMAZON_STATUS, error_word
from .cargo import listing, mapping, objects, parse, string
from .secrets import hide

Kind = type[ProviderFailed]

# Sure under any status.
_BY_WORD: dict[str, Kind] = {
    **dict.fromkeys(("context_length_exceeded", "exceed_context_size_error"), ContextTooLong),
    **dict.fromkeys(
        (
            "content_filter",
            "content_policy_violation",
            "responsibleaipolicyviolation",
            "moderation_blocked",
            "invalid_prompt",
            "bio_policy",
            "misalignment_policy_violation",
        ),
        ContentBlocked,
    ),
    **dict.fromkeys(
        (
            "insufficient_quota",
            "billing_hard_limit_reached",
            "billing_not_active",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
            "exceeded_current_quota_error",
            "billing_error",
            "enforced_spend_limit_reached",
            "contract_spend_limit_reached",
            "servicequotaexceededexception",
            "1113",
            *(str(code) for code in range(1308, 1322)),  # Z.ai's
        ),
        QuotaExhausted,
    ),
    **dict.fromkeys(("model_not_found", "deploymentnotfound"), NotFound),
    **dict.fromkeys(("invalid_api_key", "api_key_invalid"), Unauthorized),
}

# The status an error would have had, for those that come under 200 or inside a stream.
_STATUS: dict[str, int] = {
    **AMAZON_STATUS,
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "invalid_argument": 400,
    "failed_precondition": 400,
    "authentication_error": 401,
    "invalid_authentication_error": 401,
    "unauthenticated": 401,
    "permission_error": 403,
    "permission_denied": 403,
    "unsupported_country_region_territory": 403,
    "not_found_error": 404,
    "not_found": 404,
    "notfounderror": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "ratelimitreached": 429,
    "ramp_limit_exceeded": 429,
    "slow_down": 429,
    "resource_exhausted": 429,
    "cancelled": 499,
    "server_error": 500,
    "internal_server_error": 500,
    "api_error": 500,
    "internal": 500,
    "service_unavailable_error": 503,
    "server_is_overloaded": 503,
    "unavailable_error": 503,
    "unavailable": 503,
    "timeout_error": 504,
    "deadline_exceeded": 504,
    "overloaded_error": 529,
}
_BY_STATUS: dict[int, Kind] = {
    401: Unauthorized,
    402: QuotaExhausted,
    403: Unauthorized,
    404: NotFound,
    410: NotFound,
    408: Overloaded,
    409: Overloaded,
    424: Overloaded,
    425: Overloaded,
    429: Throttled,
    499: Overloaded,
}

_TOO_LONG = re.compile(
    r"maximum context length"
    r"|reduce the length of the messages"
    r"|exceeds the available context size"
    r"|exceed context limit"
    r"|is longer than the model's context length"
    r"|input tokens exceed the configured limit"
    r"|`inputs` tokens \+ `max_new_tokens` must be"
    r"|current length is \d+ while limit is \d+"
    r"|maximum input length is"
    r"|(?:prompt|input) is too long"
    r"|input tokens exceeded"
    r"|input token count .{0,40}exceeds the maximum number of tokens"
)
_DAYS = re.compile(r"PerDay")
_NO_QUOTA = re.compile(r"\blimit: 0(?![.\d])")
_LONGEST_MESSAGE = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What an error body says, in whatever dialect."""

    message: str = ""
    words: tuple[str, ...] = ()
    """Codes and types, lower-case, the most telling first."""
    status: int | None = None
    """The HTTP status the body itself speaks of."""
    wait: float | None = None
    used_up: bool = False
    """Google: the quota is a day's, or none at all."""
    raw: Json = field(default_factory=dict[str, Any], repr=False)


def trouble_in(value: Any) -> Trouble | None:
    """
    The error a JSON answer speaks of, if any: `{"error": {…}}` of any dialect, `{"error": "…"}`,
    flat `{"object": "error", …}`, or the first of a list.
    """
    if isinstance(value, list):
        items = objects(value)
        return trouble_in(items[0]) if items else None
    body = mapping(value)
    error = body.get("error")
    if error:
        if mapping(error):
            return _read(mapping(error), body)
        return _read({"message": string(error), "type": body.get("error_type"), "code": body.get("code")}, body)
    if body.get("object") == "error" or body.get("type") == "error":
        return _read(body, body)
    return None


def trouble_behind(raw: bytes) -> Trouble | None:
    """The error in the body of an answer that is known to be one: any JSON object will do."""
    value = parse(raw)
    body = mapping(value)
    return trouble_in(value) or (_read(body, body) if body else None)


def _read(error: Json, body: Json) -> Trouble:
    details = objects(error.get("details"))
    status: int | None = None
    words: list[str] = []
    for value in (
        mapping(error.get("details")).get("error_code"),
        *(detail.get("reason") for detail in details),
        mapping(error.get("innererror")).get("code"),
        error.get("code"),
        error.get("type"),
        error.get("status"),
    ):
        word = str(value).lower() if isinstance(value, str | int) else ""
        if word.isdecimal() and 400 <= int(word[:9]) <= 599:
            status = status or int(word)
        elif word and word not in words:
            words.append(word)
    return Trouble(
        message=_message(error),
        words=tuple(words),
        status=status,
        wait=next(filter(None, (_duration(detail.get("retryDelay")) for detail in details)), None),
        used_up=bool(_NO_QUOTA.search(string(error.get("message"))[:2000]))
        or any(
            _DAYS.search(string(violation.get("quotaId"))) or str(violation.get("quotaValue")) == "0"
            for detail in details
            for violation in objects(detail.get("violations"))
        ),
        raw=body,
    )


def _message(error: Json) -> str:
    message = string(error.get("message") or error.get("Message") or error.get("detail") or error.get("msg"))
    if not message:
        # FastAPI's list of what is wrong with the fields.
        first = objects(listing(error.get("detail")))
        message = string(first[0].get("msg")) if first else ""
    upstream = string(mapping(error.get("metadata")).get("raw"))
    return f"{message}: {upstream}" if upstream else message


def _duration(value: Any) -> float | None:
    """A protobuf duration: `14s`, `0.5s`."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s", string(value))
    return float(match[1]) if match else None


def kind_of(status: int, trouble: Trouble) -> Kind:
    """The class of a failure."""
    for word in trouble.words:
        if word in _BY_WORD:
            return _BY_WORD[word]
    if status in (400, 413, 422):
        return _kind_of_bad_request(trouble)
    if status == 429 and trouble.used_up:
        return QuotaExhausted
    return _BY_STATUS.get(status, Overloaded if status >= 500 else BadRequest)


def _kind_of_bad_request(trouble: Trouble) -> Kind:
    prose = trouble.message[:2000].lower()
    if "string_above_max_length" not in trouble.words and _TOO_LONG.search(prose):
        return ContextTooLong
    if "validationexception" in trouble.words and NO_SUCH_MODEL.search(prose):
        return NotFound
    if "credit balance is too low" in prose:  # Anthropic's, under 400
        return QuotaExhausted
    if "failed_precondition" in trouble.words:  # Google's; the word alone does not say what of
        if "billing" in prose:
            return QuotaExhausted
        if "location is not supported" in prose:
            return Unauthorized
    return BadRequest


def failure(response: Response) -> ProviderFailed:
    """The error behind an answer of status 400 and up, in any dialect; the answer stays in `.response`."""
    raw = response.body.raw if response.body is not None else b""
    trouble = trouble_behind(raw)
    status = response.status
    if trouble is None:
        kind = kind_of(status, Trouble())
        if status == 403 and raw.lstrip()[:1] == b"<":
            kind = Overloaded  # a page of some proxy's: it says nothing about the credential
        message = f"HTTP {status} without a readable error body"
        return kind(message, retry_after=retry_after(response.headers), response=response)
    wait, word = retry_after(response.headers), error_word(response.headers)
    if word:
        trouble = replace(trouble, words=(word, *trouble.words))
    return kind_of(status, trouble)(
        _words_for_people(status, trouble),
        retry_after=wait if wait is not None else trouble.wait,
        response=response,
    )


def failure_inside(trouble: Trouble) -> ProviderFailed:
    """The error that came under status 200, or inside a stream; `.response` is the answer it should have been."""
    status = trouble.status or _likely_status(trouble.words)
    body = trouble.raw
    if isinstance(body.get("error"), dict):
        body = {name: body[name] for name in ("type", "error", "request_id") if name in body}
    else:
        body = {"error": {"message": trouble.message, "type": None, "param": None, **_flat(body)}}
    response = Response(status=status, headers=_JSON, body=Body(json=body))
    return kind_of(status, trouble)(_words_for_people(status, trouble), retry_after=trouble.wait, response=response)


_JSON = Headers((("content-type", "application/json"),))


def _flat(body: Json) -> dict[str, Any]:
    return {name: body[name] for name in ("type", "param", "code") if name in body and body[name] != "error"}


def _likely_status(words: tuple[str, ...]) -> int:
    for word in words:
        if word in _BY_WORD:
            return _BY_WORD[word].status
    return next((_STATUS[word] for word in words if word in _STATUS), 500)


def _words_for_people(status: int, trouble: Trouble) -> str:
    message = hide(trouble.message[:4000]).strip()
    if len(message) > _LONGEST_MESSAGE:
        message = message[: _LONGEST_MESSAGE - 1] + "…"
    return message or f"HTTP {status} without an error message"
