"""
How many tokens a call will probably use, guessed from its body before it is sent; and what guesses learn.

A guess costs microseconds and waits for nothing. It counts characters (a token for four of them; letters beyond ASCII
weigh more, as vocabularies know them less well), then corrects itself by what calls to the same model really used:
the prompt by the share that it was off, and the answer of a call that sets no bound by what answers usually have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, cast

from ..message import Body, Json

CHARACTERS: Final = 4
"""Characters to a token, in most texts and most models a little more."""
MEDIA: Final = 1000
"""Tokens of an image, a file or a sound, whatever its size."""
SAMPLE: Final = 2000
"""Characters that are enough to tell what a text is like."""
OUTPUT: Final = 1000
"""Tokens an answer is taken to have when the call sets no bound, and nothing is known of its model."""

Count: TypeAlias = Callable[[str, str], int | None]
"""Model and a sample of text: its tokens, or None when that cannot be told now."""

_MOST = 10**8
_MODELS = 4096
_ENOUGH = 8
"""Answers after which it is known how long they usually are."""
_OUTPUT = (
    "max_completion_tokens", "max_tokens", "max_output_tokens", "maxOutputTokens", "maxTokens", "max_tokens_to_sample",
    "max_gen_len",
)  # fmt: skip
_SETTINGS = ("generationConfig", "generation_config", "inferenceConfig")
"""Where dialects keep such fields, if not at the top."""
_CHOICES = ("n", "best_of", "candidateCount")
_BINARY = frozenset({"data", "image_url", "file_data", "input_audio", "b64_json", "inlineData", "inline_data", "url"})


class Guess(NamedTuple):
    """Tokens of what is asked, and of what will be answered."""

    prompt: int
    output: int
    bound: bool = True
    """Whether the call itself says how long its answer may be."""
    choices: int = 1

    @property
    def total(self) -> int:
        return self.prompt + self.output

    @property
    def usage(self) -> Mapping[str, Any]:
        """As a provider would tell it, and marked as estimated."""
        return _estimated(self.prompt, self.output)


NOTHING: Final = Guess(0, 0)


def guess(body: Json, *, output: int = OUTPUT, embeddings: bool = False) -> Guess:
    """`output` is what an answer is taken to have when the call sets no bound of its own."""
    prompt = _prompt(body, None)
    if embeddings:
        return Guess(prompt, 0)
    places = [body, *(cast("Json", inner) for name in _SETTINGS if isinstance(inner := body.get(name), dict))]
    bounds = (each for place in places for name in _OUTPUT if type(each := place.get(name)) is int and each > 0)
    most = next(bounds, None)
    choices = (each for place in places for name in _CHOICES if type(each := place.get(name)) is int)
    many = max((each for each in choices if each <= 1000), default=1)
    many, each = max(many, 1), output if most is None else most
    return Guess(prompt, min(each * many, _MOST), most is not None, many)


class Lessons:
    """What guesses have learned, by model: bounded, and the last calls count the most."""

    def __init__(self, count: Count | None = None) -> None:
        self._count = count
        self._shares: dict[str, float] = {}
        self._answers: dict[str, tuple[int, float, float]] = {}
        """How many were seen, how long they are, and by how much they differ."""

    def guess(self, body: Json, model: str, *, embeddings: bool = False) -> Guess:
        """A guess by characters, or by counting a sample where that is possible; not corrected yet."""
        found = guess(body, embeddings=embeddings)
        if self._count is None:
            return found
        sample = list[str]()
        _prompt(body, sample)
        text = "".join(sample)[:SAMPLE]
        counted = self._count(model, text) if text else None
        weighed = _weight(text) / CHARACTERS
        if not counted or not weighed:
            return found
        return found._replace(prompt=min(max(round(found.prompt * counted / weighed), 1), _MOST))

    def better(self, model: str, guessed: Guess) -> Guess:
        """The guess, corrected by what was learned."""
        if not guessed.prompt:
            return guessed
        prompt = min(max(round(guessed.prompt * self._shares.get(model, 1.0)), 1), _MOST)
        output = guessed.output if guessed.bound else self._usual(model, guessed)
        return guessed._replace(prompt=prompt, output=output)

    def usage(self, body: Json, model: str, *, embeddings: bool = False) -> Mapping[str, Any]:
        """What a call will probably use, or has probably used; marked as estimated."""
        return served(body, self.better(model, self.guess(body, model, embeddings=embeddings)).usage)

    def _usual(self, model: str, guessed: Guess) -> int:
        seen, mean, differs = self._answers.get(model, (0, 0.0, 0.0))
        if seen < _ENOUGH:
            return guessed.output
        return min(max(round(mean + 2 * differs), 1) * guessed.choices, _MOST)  # as long as most are

    def learn(self, model: str, guessed: Guess, usage: Mapping[str, Any] | None) -> None:
        """A call has ended, and tells what it used. `guessed` is what was guessed before it was corrected."""
        if usage is None or usage.get("estimated"):
            return
        real, answered = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if type(real) is int and real > 0 and guessed.prompt > 0:
            share = min(max(real / guessed.prompt, 0.1), 10.0)
            _remember(self._shares, model, self._shares.get(model, share) * 0.8 + share * 0.2)
        if type(answered) is int and 0 < answered <= _MOST and not guessed.bound:
            seen, mean, differs = self._answers.get(model, (0, answered / guessed.choices, 0.0))
            off = answered / guessed.choices - mean
            # The first ones are averaged plainly; later each counts for a tenth.
            part = max(1 / (seen + 1), 0.1)
            now = (seen + 1, mean + part * off, differs + part * (abs(off) - differs))
            _remember(self._answers, model, now)


def served(body: Json, usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """The usage with the way of serving that the call asks for, which may have a price of its own."""
    tier = body.get("service_tier")
    return {**usage, "service_tier": tier} if isinstance(tier, str) and tier else usage


def _remember(known: dict[str, Any], model: str, value: object) -> None:
    if model not in known and len(known) >= _MODELS:
        known.clear()  # models are named by callers
    known[model] = value


def _prompt(body: Json, sample: list[str] | None) -> int:
    """Every text counts, wherever it stands; media count the same however large. No recursion: the caller nests."""
    weight = 0.0
    tokens = taken = 0
    waiting: list[Any] = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            weight += _weight(value)
            if sample is not None and taken < SAMPLE:
                sample.append(value[: SAMPLE - taken])
                taken += len(value)
        elif isinstance(value, Mapping):
            for name, part in cast("Json", value).items():  # as above
                if name in _BINARY and (isinstance(part, (str, dict))):
                    tokens += MEDIA
                else:
                    waiting.append(part)
        elif isinstance(value, list):
            waiting.extend(value)  # pyright: ignore[reportUnknownArgumentType]  # isinstance leaves the parts unknown
        elif type(value) is int:
            weight += CHARACTERS  # a token itself, where an input is a list of them
    return min(tokens + int(weight) // CHARACTERS + 1, _MOST)


def _weight(text: str) -> float:
    """Characters as they count: those of more bytes in UTF-8 weigh more; the beginning of a text tells."""
    if text.isascii():
        return len(text)
    sample = text[:SAMPLE]
    more = len(sample.encode(errors="replace")) - len(sample)
    return len(text) * (1 + 1.5 * more / len(sample))


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


def unsaid_by(usage: Mapping[str, Any] | None, events: int) -> bool:
    """Whether a provider has left open what a stream of so many events used: all of it, or the answer's part."""
    return usage is None or (events > 1 and "completion_tokens" not in usage)


def cut_short(usage: Mapping[str, Any] | None, body: Body, events: int) -> Mapping[str, Any]:
    """What a stream that was cut short must have used: what the provider said so far, and a token for each event."""
    said = usage or {}
    prompt = said.get("prompt_tokens") or _asked(body)
    return {**said, **_estimated(prompt, max(said.get("completion_tokens") or 0, events))}


def unsaid(asked: Body, answer: Json, *, embeddings: bool) -> Mapping[str, Any]:
    """What a whole answer must have used whose provider does not say."""
    return _estimated(_asked(asked), 0 if embeddings else _prompt(answer, None))


def _asked(body: Body) -> int:
    try:
        return _prompt(body.json, None)
    except ValueError:
        return 0


def _estimated(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "estimated": True,
    }  # fmt: skip
