"""What the doctor found, as facts, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Check: TypeAlias = Literal["key", "network", "proxy", "tls", "clock", "model", "streaming"]
Outcome: TypeAlias = Literal["good", "bad", "note"]

_MARK = {"good": "ok", "bad": "WRONG", "note": "-"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `note` is neither good nor bad, but worth knowing."""

    check: Check
    outcome: Outcome
    words: str


@dataclass(slots=True, kw_only=True)
class Checkup:
    """One provider, asked for one model."""

    provider: str
    target: str = ""
    """`provider/model` that was asked; empty when nothing was sent."""
    address: str = ""
    findings: list[Finding] = field(default_factory=list[Finding])

    def say(self, check: Check, outcome: Outcome, words: str) -> None:
        self.findings.append(Finding(check, outcome, words))

    @property
    def well(self) -> bool:
        return all(finding.outcome != "bad" for finding in self.findings)


def as_text(checkups: Sequence[Checkup]) -> Iterator[str]:
    """Lines for people: each provider with its findings, and the sum at the end."""
    for checkup in checkups:
        yield f"{checkup.target or checkup.provider}  {checkup.address}".rstrip()
        for finding in checkup.findings:
            yield f"  {finding.check:<9}  {_MARK[finding.outcome]:<5}  {finding.words}"
        yield ""
    ill = [checkup.target or checkup.provider for checkup in checkups if not checkup.well]
    if not checkups:
        yield "There is nothing to ask: no provider is configured, and no variable holds a key of one."
        yield "Set a variable such as OPENAI_API_KEY, or write a [providers.…] section into edge.toml."
    elif ill:
        yield f"{len(ill)} of {len(checkups)} not well: {', '.join(ill)}"
    else:
        yield f"All well: {len(checkups)} asked."


def as_json(checkups: Sequence[Checkup]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "well": bool(checkups) and all(checkup.well for checkup in checkups),
        "providers": [
            {
                "provider": checkup.provider,
                "target": checkup.target or None,
                "address": checkup.address or None,
                "well": checkup.well,
                "findings": [
                    {"check": finding.check, "outcome": finding.outcome, "words": finding.words}
                    for finding in checkup.findings
                ],
            }
            for checkup in checkups
        ],
    }
