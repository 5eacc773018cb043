"""
Counting tokens before a call is made: each vendor's own way, a small dialect beside that of its chats.

The request of a count is that of a chat, the answer is a number. Nothing is generated, and nobody charges for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..errors import BadAnswer, CallError, Failed, ProviderFailed
from ..message import Body, Json, Response, Unwatched
from . import anthropic, bedrock, gemini, openai
from .base import Dialect
from .cargo import count, mapping
from .failures import failure, failure_inside, trouble_in

FIELDS: Final = {
    "anthropic.count": "input_tokens",
    "openai.count": "input_tokens",
    "gemini.count": "totalTokens",
    "bedrock.count": "inputTokens",
}
"""Where the number stands in the answer, by dialect."""


def _counting(
    name: str,
    refusal: Callable[[CallError, str], Json],
    failing: Callable[[Response], ProviderFailed] = failure,
    told_in: Callable[[Json], Failed | None] = lambda answer: None,
) -> Dialect:
    field = FIELDS[name]

    def fault(answer: Json) -> Failed | None:
        trouble = trouble_in(answer)
        if trouble is not None:
            return failure_inside(trouble)
        fine = count(answer.get(field)) is not None
        return None if fine else told_in(answer) or BadAnswer(f"the answer has status 200 but no {field}")

    return Dialect(
        name=name,
        operation="count",
        watcher=Unwatched,
        fault=fault,
        failure=failing,
        refusal=refusal,
        usage=lambda answer: None,
        text=openai.no_text,
        tool_calls=openai.no_tool_calls,
    )


ANTHROPIC: Final = _counting("anthropic.count", anthropic.refusal)
OPENAI: Final = _counting("openai.count", openai.refusal)
GEMINI: Final = _counting("gemini.count", gemini.refusal)
BEDROCK: Final = _counting("bedrock.count", bedrock.refusal, told_in=bedrock.told_in)


def for_google(body: Body, model: str) -> Body:
    """What is counted, as Google's own API wants it: all but bare contents stands in a whole request of their own."""
    whole = body.json.get("generateContentRequest")
    if whole is None and body.json.keys() <= {"contents"}:
        return body
    inner = body.json if whole is None else mapping(whole)
    return Body(json={"generateContentRequest": {**inner, "model": f"models/{model}"}})


def for_vertex(body: Body) -> Body:
    """The same as Vertex AI wants it: laid open."""
    whole = body.json.get("generateContentRequest")
    if whole is None:
        return body
    return Body(json={name: value for name, value in mapping(whole).items() if name != "model"})
