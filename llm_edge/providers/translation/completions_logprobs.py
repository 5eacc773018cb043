"""Logprobs of completions are four lists side by side; chat's are one list of tokens."""

from __future__ import annotations

from typing import Any

from ...message import Json
from ..cargo import listing, mapping, objects, string


def to_completions(entries: list[Json], offset: int = 0) -> Json:
    """The lists for chat's tokens; `offset` is how much text came before them."""
    lists: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for entry in entries:
        token = string(entry.get("token"))
        lists["tokens"].append(token)
        lists["token_logprobs"].append(entry.get("logprob"))
        top = objects(entry.get("top_logprobs"))
        lists["top_logprobs"].append({string(each.get("token")): each.get("logprob") for each in top})
        lists["text_offset"].append(offset)
        offset += len(token)
    return lists


def to_chat(lists: Json) -> Json | None:
    """Chat's tokens for the lists; None when there are none."""
    tokens, logprobs = listing(lists.get("tokens")), listing(lists.get("token_logprobs"))
    tops = listing(lists.get("top_logprobs"))
    if not tokens:
        return None
    entries: list[Json] = []
    for position, token in enumerate(tokens):
        top: Json = mapping(tops[position]) if position < len(tops) else {}
        logprob = logprobs[position] if position < len(logprobs) else None
        entries.append(
            {
                **_token(string(token), 0.0 if logprob is None else logprob),  # the prompt's first token has none
                "top_logprobs": [_token(name, value) for name, value in top.items()],
            }
        )
    return {"content": entries, "refusal": None}


def _token(token: str, logprob: Any) -> dict[str, Any]:
    return {"token": token, "bytes": list(token.encode(errors="replace")), "logprob": logprob}
