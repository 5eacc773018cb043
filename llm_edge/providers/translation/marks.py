"""
Whose a signature is: thinking is proven by its maker's signature, and another vendor's must never be sent.

In the chat form a thinking block looks like Anthropic's. A bare signature is Anthropic's; any other is
marked `llm_edge:<vendor>:<signature>`, and so is Anthropic's where it travels in another's field. A mark
outlives the way through a caller, who gives back what it was given.
"""

from __future__ import annotations

MARK = "llm_edge:"
_SHAPE = "anthropic"
"""The vendor whose shape the chat form's thinking blocks have: its signatures need no mark there."""


PACKED = "bGxtX2VkZ2U6"
"""What every mark begins with, in base64: for fields that hold bytes."""


def is_marked(signature: str) -> bool:
    """Whether somebody else than the field's own vendor signed it, or nobody."""
    return signature.startswith((MARK, PACKED))


def marked(vendor: str, signature: str) -> str:
    """The signature with its maker's name, for a field that is not the maker's own."""
    return f"{MARK}{vendor}:{signature}"


NOBODY = marked("nobody", "")
"""Stands where a caller's format wants a signature and nobody signed: so that it is known again."""


def whose(signature: str, bare: str = _SHAPE) -> tuple[str, str]:
    """The maker and its own signature; `bare` made those without a mark."""
    if not signature.startswith(MARK):
        return bare, signature
    vendor, _, own = signature[len(MARK) :].partition(":")
    return vendor, own
