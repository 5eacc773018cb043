"""
Which questions may be answered by the answer to a similar one: what of a call is its question, and what must be alike.

Two questions can lie close together and ask for different things: where they differ in a number, a name, a word in
quotes or a negation. Those are compared as they stand, whatever their distance.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ..exact import is_list, is_object

Marks: TypeAlias = tuple[frozenset[tuple[str, int]], bool]

SHORTEST, LONGEST = 4, 4000
"""Characters of a question that is compared with others."""

_DIALECTS: Final = frozenset({"openai.chat", "anthropic.messages"})
_MARK: Final = re.compile(
    r"\d+(?:[.,:/-]\d+)*|\"[^\"]{1,200}\"|“[^”]{1,200}”|„[^“”]{1,200}[“”]|«[^»]{1,200}»|`[^`]{1,200}`|[^\W\d_]+"
)
_FIRST_WORD: Final = re.compile(r"(?:^|[.!?]\s+)\W*([^\W\d_]+)\b")
_NO: Final = re.compile(r"\b(?:no|not|never|none|nor|without|except|cannot)\b|n['’]t\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Question:
    """What a call asks last, and all the rest of it."""

    text: str
    around: Mapping[str, Any]
    """The body with the question's text left out."""


def question_of(dialect: str, body: Mapping[str, Any]) -> Question | None:
    """The question of a chat that ends with one, in words alone; None for calls that are not compared."""
    messages = body.get("messages")
    if dialect not in _DIALECTS or not is_list(messages) or not messages or body.get("tools") or body.get("functions"):
        return None
    last = messages[-1]
    if not is_object(last) or last.get("role") != "user":
        return None
    text = _words(last.get("content"))
    if text is None or not SHORTEST <= len(text) <= LONGEST:
        return None
    return Question(text, {**body, "messages": [*messages[:-1], {**last, "content": ""}]})


def _words(content: object) -> str | None:
    if is_list(content) and len(content) == 1 and is_object(content[0]) and set(content[0]) == {"type", "text"}:
        content = content[0]["text"]
    return content.strip() if isinstance(content, str) else None


def marks(text: str) -> Marks:
    """What has to stand in another question, too: numbers, names, words in quotes; and whether it says no."""
    at_start = Counter([word for word in _FIRST_WORD.findall(text) if word == word.capitalize()])
    found = Counter([mark for mark in _MARK.findall(text) if not mark.isalpha() or mark != mark.lower()])
    for word, times in at_start.items():  # a capital that only begins a sentence is no name
        if found[word] <= times:
            del found[word]
    return frozenset(found.items()), len(_NO.findall(text)) % 2 == 1
