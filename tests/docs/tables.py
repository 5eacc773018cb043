"""
The tables of the documentation that tell what the code says: `python -m tests.docs.tables` writes them anew.

Each stands on its page between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator

from llm_edge import errors
from llm_edge.providers import capabilities
from llm_edge.providers.table import ROWS, Row
from llm_edge.telemetry.families import FAMILIES
from tests.providers import topics
from tests.providers.features import FEATURES, PLACES, RETURNS

from .examples import ROOT

_SHORT = {
    "openai.chat": "chat",
    "openai.completions": "completions",
    "openai.embeddings": "embeddings",
    "openai.responses": "responses",
    "anthropic.messages": "messages",
    "gemini.generate": "generate",
    "gemini.embed": "embed",
    "bedrock.converse": "converse",
    "anthropic.count": "count",
    "openai.count": "count",
    "gemini.count": "count",
    "bedrock.count": "count",
}
_PLACE = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def providers() -> Iterator[str]:
    yield "| provider | key | model names | speaks | address |"
    yield "|---|---|---|---|---|"
    for row in ROWS.values():
        beginnings = _code(f"{each}…" for each in row.prefixes)
        yield f"| `{row.name}` | {_key(row)} | {beginnings} | {_speaks(row)} | `{row.base_url}` |"


def tree() -> Iterator[str]:
    yield "| error | status | `code` | retryable | elsewhere | |"
    yield "|---|---|---|---|---|---|"
    for kind, depth in _errors(errors.EdgeError, 0):
        said = inspect.cleandoc(kind.__doc__ or "").splitlines()[0]
        facts = " | | | "
        if issubclass(kind, errors.CallError):
            shown = f"{kind.status} | `{kind.code}`" if kind.code != errors.CallError.code else " | "
            facts = f"{shown} | {'yes' if kind.retryable else ''} | {'yes' if kind.elsewhere else ''}"
        yield f"| {'· ' * depth}`{kind.__name__}` | {facts} | {said} |"


def asked() -> Iterator[str]:
    yield from _heading("asked")
    for feature in FEATURES:
        yield f"| {feature.name} | {_cells(feature.fate(place) for place in PLACES)} |"


def answered() -> Iterator[str]:
    yield from _heading("answered")
    for returned in RETURNS:
        yield f"| {returned.name} | {_cells(returned.fate(place) or '–' for place in PLACES)} |"


def survives() -> Iterator[str]:
    yield f"| | {_cells(topics.TITLES.values())} |"
    yield f"|---|{'---|' * len(topics.TITLES)}"
    for topic in topics.ASKED:
        yield f"| {topic.name} | {_cells('yes' if each in topic.places else '–' for each in topics.TITLES)} |"


def _heading(word: str) -> Iterator[str]:
    yield f"| {word} | {_cells(place.title for place in PLACES)} |"
    yield f"|---|{'---|' * len(PLACES)}"
    yield f"| *model* | {_cells(f'`{place.model}`' for place in PLACES)} |"


def _cells(words: Iterable[str]) -> str:
    return " | ".join(words)


def capabilities_from() -> Iterator[str]:
    date, source = capabilities.source()
    yield f"As of {date}, from: {source}."


def metrics() -> Iterator[str]:
    yield "| metric | kind | labels | |"
    yield "|---|---|---|---|"
    for family in FAMILIES.values():
        yield f"| `{family.name}` | {family.kind} | {_code(family.labels)} | {family.says} |"


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "metrics": metrics,
    "providers": providers,
    "errors": tree,
    "asked": asked,
    "answered": answered,
    "survives": survives,
    "capabilities": capabilities_from,
}


def renewed(page: str) -> str:
    """A page with its generated tables as the code has them now."""
    return _PLACE.sub(lambda match: f"{match[1]}\n{chr(10).join(TABLES[match[2]]())}\n\n{match[3]}", page)


def _errors(kind: type[errors.EdgeError], depth: int) -> Iterator[tuple[type[errors.EdgeError], int]]:
    yield kind, depth
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _errors(below, depth + 1)


def _key(row: Row) -> str:
    return _code(row.key_env) + (" (optional)" if row.key_optional and row.key_env else "")


def _speaks(row: Row) -> str:
    return ", ".join(_SHORT[dialect] for dialect in row.paths)


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


if __name__ == "__main__":
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text()
        if (now := renewed(text)) != text:
            page.write_text(now)
