"""
Whose a signature is: thinking is proven by its maker's signature, and another vendor's must never be sent.

In the chat form a thinking block looks like Anthropic's. A bare signature is Anthropic's; any other is
marked `llm_edge:<vendor>:<signature>`, and so is Anthropic's where it travels in another's field. A mark
outlives the way through a caller, who gives back what it was given.
"""

from __future__ import annotations

_MARK = "llm_edge:"
_SHAPE = "anthropic"
"""The vendor whose shape the chat form's thinking blocks have: its signatures need no mark there."""


def marked(vendor: str, signature: str) -> str:
    """The signature with its maker's name, for a field that is not the maker's own."""
    return f"{_MARK}{vendor}:{signature}"


NOBODY = marked("nobody", "")
"""Stands where a caller's format wants a signature and nobody signed: so that it is known again."""


def whose(signature: str, bare: str = _SHAPE) -> tuple[str, str]:
    """The maker and its own signature; `bare` made those without a mark."""
    if not signature.startswith(_MARK):
        return bare, signature
    vendor, _, own = signature[len(_MARK) :].partition(":")
    return vendor, own
