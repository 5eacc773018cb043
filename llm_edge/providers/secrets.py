"""Keeps what looks like a credential out of messages: providers like to repeat the key they refuse."""

from __future__ import annotations

import re

_KEY = re.compile(
    r"\b(?:(?:sk|pk|rk|gsk|xai|hf|csk|pplx|nvapi|tgp|fw|ghp|github_pat)[-_]|ya29\.|AIza|AKIA|ASIA)[A-Za-z0-9*_.\-]{6,}"
    r"|\beyJ[A-Za-z0-9_\-]{8,}[A-Za-z0-9_.\-]*"
    r"|(?<=[Bb]earer )[^\s,;\"']{8,}"
    r"|(?<=[?&]key=)[^\s&\"']+"
    r"|\b(?=[A-Za-z0-9]{0,64}[0-9])[A-Za-z0-9]{32,}"
)


def hide(text: str) -> str:
    """The text with everything that looks like a key replaced by `[hidden]`."""
    return _KEY.sub("[hidden]", text)
