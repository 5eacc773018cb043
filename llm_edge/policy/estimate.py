"""How many tokens a call will probably use, guessed from its body before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from ..message import Body, Json

CHARACTERS = 4
"""Characters to a token, in most texts and most models a little more."""
MEDIA = 1000
"""Tokens of an image, a file or a sound, whatever its size."""
_MOST = 10**8
_OUTPUT = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_BINARY = frozenset({"data", "image_url", "file_data", "input_audio", "b64_json", "inlineData", "inline_data", "url"})


class Guess(NamedTuple):
    """Tokens of what is asked, and of what will be answered."""

    prompt: int
    output: int

    @property
    def total(self) -> int:
        return self.prompt + self.output


def guess(body: Json, *, output: int, embeddings: bool = False) -> Guess:
    """`output` is what an answer is taken to have when the call sets no bound of its own."""
    prompt = _prompt(body)
    if embeddings:
        return Guess(prompt, 0)
    settings = body.get("generationConfig")
    bounds = [body.get(name) for name in _OUTPUT]
    if isinstance(settings, dict):
        bounds.append(cast("Json", settings).get("maxOutputTokens"))  # isinstance leaves the parts unknown
    most = next((each for each in bounds if type(each) is int and each > 0), output)
    choices = body.get("n")
    many = choices if type(choices) is int and 1 < choices <= 1000 else 1
    return Guess(prompt, min(most * many, _MOST))


def _prompt(body: Json) -> int:
    """Every text counts, wherever it stands; media count the same however large. No recursion: the caller nests."""
    characters = tokens = 0
    waiting: list[Any] = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, Mapping):
            for name, part in cast("Json", value).items():  # as above
                if name in _BINARY and (isinstance(part, (str, dict))):
                    tokens += MEDIA
                else:
                    waiting.append(part)
        elif isinstance(value, list):
            waiting.extend(value)  # pyright: ignore[reportUnknownArgumentType]  # isinstance leaves the parts unknown
        elif type(value) is int:
            characters += CHARACTERS  # a token itself, where an input is a list of them
    return min(tokens + characters // CHARACTERS + 1, _MOST)


def used(usage: Mapping[str, Any] | None) -> int | None:
    """The tokens a provider says were used, in the unified names; None when it says nothing that makes sense."""
    if usage is None:
        return None
    total = usage.get("total_tokens")
    if type(total) is not int:
        parts = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
        counts = [part for part in parts if type(part) is int]
        total = sum(counts) if counts else None
    return None if total is None else min(max(total, 0), _MOST)


def cut_short(usage: Mapping[str, Any] | None, body: Body, events: int) -> Mapping[str, Any]:
    """What a stream that was cut short must have used: what the provider said so far, and a token for each event."""
    said = usage or {}
    try:
        prompt = said.get("prompt_tokens") or guess(body.json, output=0).prompt
    except ValueError:
        prompt = 0
    completion = max(said.get("completion_tokens") or 0, events)
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {**said, **counts, "estimated": True}
