"""A second way to ask, for a schema that a provider finds too complex: in words. It is asked for once."""

from __future__ import annotations

import re

from ... import exact
from ...errors import BadRequest
from ...message import Json
from ..cargo import mapping, objects

# No provider has a code for it: Anthropic and Google say it in these words, with status 400.
_WORDS = re.compile(r"schema.{0,60}\btoo complex\b|\btoo many states\b", re.IGNORECASE | re.DOTALL)
_SYSTEM = ("system", "developer")


def too_complex(error: BadRequest) -> bool:
    """Whether the provider says that the schema is what it cannot do."""
    return _WORDS.search(error.message) is not None


def in_words(chat: Json) -> Json | None:
    """The chat request with its schema in a system message; None when it holds the answer to none."""
    form = mapping(chat.get("response_format"))
    schema = mapping(mapping(form.get("json_schema")).get("schema"))
    if not schema:
        return None
    messages = objects(chat.get("messages"))
    leading = next((at for at, each in enumerate(messages) if each.get("role") not in _SYSTEM), len(messages))
    words = "Answer with one JSON object and nothing else. It must match this JSON schema: "
    told: Json = {"role": "system", "content": words + exact.write(schema).decode()}
    kept = {name: value for name, value in chat.items() if name != "response_format"}
    return {**kept, "messages": [*messages[:leading], told, *messages[leading:]]}
