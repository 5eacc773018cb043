"""Settings that are known and do not work in this version, and settings that go by another name.

Both are refused by name, never accepted in silence.
"""

from __future__ import annotations

from collections.abc import Mapping

from .problems import Problem
from .trees import Path, is_list, is_table

LEAVE_OUT = "Remove it."
ABSENT = (
    "limits.*.tokens_per_second",
    "limits.*.requests_per_hour",
    "routes.*.budgets",
)
"""What this version does not have yet."""

ELSEWHERE = {
    "http.verify": ("cannot be switched off", "Certificates are always verified; set http.ca_file to trust your own."),
    "providers.*.verify": ("cannot be switched off", "Certificates are always verified; set http.ca_file."),
    "providers.*.timeout": ("is not set per provider", "Set deadline.chat and deadline.stream."),
    "providers.*.max_retries": ("is not set per provider", "Set retry.attempts."),
    "api_key": ("belongs to a provider", "Set providers.openai.api_key, or the variable OPENAI_API_KEY."),
    "base_url": ("belongs to a provider", "Set providers.NAME.base_url."),
    "cache.enabled": ("is called cache.policy here", 'Set cache.policy = "off" to switch it off.'),
    "routes.*.targets.*.model": ("is called target here", 'Write it as in { target = "openai/gpt-5.4-mini" }.'),
    "timeout": ("is called deadline here", "Set deadline.chat, deadline.stream or deadline.total."),
    "max_retries": ("is called retry.attempts here", "Set retry.attempts; it counts the first call too."),
    "num_retries": ("is called retry.attempts here", "Set retry.attempts; it counts the first call too."),
    "limits.*.tpm": ("is called tokens_per_minute here", "Rename it."),
    "routes.*.limits": ("is set elsewhere", 'Write it as [limits."route:NAME"].'),
    "limits.*.rpm": ("is called requests_per_minute here", "Rename it."),
    "limits.*.rps": ("is called requests_per_second here", "Rename it."),
}
"""Settings people know from other places: what is wrong, and what to write."""


def without_absent(tree: Mapping[str, object]) -> tuple[dict[str, object], list[Problem]]:
    """The tree without what this version cannot do, and a problem for each such setting."""
    problems: list[Problem] = []
    kept = _kept(tree, (), problems)
    return kept, problems


def _kept(tree: Mapping[str, object], above: Path, problems: list[Problem]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for key, value in tree.items():
        path = (*above, key)
        if problem := _problem(path):
            problems.append(problem)
        else:
            kept[key] = _kept_value(value, path, problems)
    return kept


def _kept_value(value: object, path: Path, problems: list[Problem]) -> object:
    if is_table(value):
        return _kept(value, path, problems)
    if is_list(value):
        return [_kept_value(each, (*path, at), problems) for at, each in enumerate(value)]
    return value


def _problem(path: Path) -> Problem | None:
    if any(_matches(pattern, path) for pattern in ABSENT):
        return Problem(path, "does not work in this version yet", LEAVE_OUT)
    for pattern, (what, fix) in ELSEWHERE.items():
        if _matches(pattern, path):
            return Problem(path, what, fix)
    return None


def _matches(pattern: str, path: Path) -> bool:
    parts = pattern.split(".")
    return len(parts) == len(path) and all(part in {"*", key} for part, key in zip(parts, path, strict=True))
