"""
Finds personal data and keys in text, in time that grows with its length alone.

Theory of operation. Each kind is found by a pattern whose repetitions are bounded or possessive, so that nothing is
tried twice, and judged by what the kind is known by: a checksum (cards, IBANs), ranges (addresses of the internet,
social security numbers), the prefix that a provider gives its keys. Patterns begin where a word begins; e-mail
addresses are found from their `@` outwards. What several kinds claim belongs to the first of `KINDS`.

Names of people and streets are not found: that takes a model, and belongs in a layer of the app's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from ipaddress import AddressValueError, IPv6Address
from typing import Final, NamedTuple

from .ibans import LENGTHS


class Found(NamedTuple):
    """One place in a text."""

    start: int
    end: int
    kind: str


_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-[A-Za-z0-9_-]{16,}+"  # OpenAI, Anthropic, OpenRouter, DeepSeek, …
    r"|(?:gsk_|hf_|r8_|fw_|csk-|xai-|pplx-|nvapi-|tgp_v1_|vck_|sess-)[A-Za-z0-9_-]{16,}+"
    r"|AIza[A-Za-z0-9_-]{30,}+|AQ\.[A-Za-z0-9_-]{30,}+|ya29\.[A-Za-z0-9._-]{20,}+"  # Google
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])|ABSK[A-Za-z0-9+/]{40,}+=*+"  # AWS, Bedrock
    r"|(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{30,}+|github_pat_[A-Za-z0-9_]{30,}+|glpat-[A-Za-z0-9_-]{20,}+"
    r"|(?:xox[abprs]|xapp)-[A-Za-z0-9-]{10,}+|llm-edge-[A-Za-z0-9_-]{20,}+"
    r"|(?:(?:sk|rk|pk)_(?:live|test)|whsec)_[A-Za-z0-9]{16,}+"  # Stripe
    r"|eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]*+"  # JSON web tokens
    r"|[Bb]earer [A-Za-z0-9._~+/-]{16,}+=*+"
    r")"
)
_PEM_BEGINS = re.compile(r"-----BEGIN (?:[A-Z]{2,9} ){0,2}PRIVATE KEY-----")
_DOMAIN = re.compile(r"[\w-]{1,63}+(?:\.[\w-]{1,63}+){1,8}+")
_LOCAL = frozenset(".!#$%&'*+/=?^_`{|}~-")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?=[ -]?[A-Za-z0-9])")
_CARD = re.compile(
    r"(?<![\w-])(?:[3-6][0-9]{12,18}+|2[0-9]{15}"
    r"|[2-6][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{1,3})?"
    r"|3[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5})(?!\w)"
)
_SSN = re.compile(
    r"(?<![\w-])(?!000|666|9[0-9]{2})[0-9]{3}([- ])(?!00)[0-9]{2}\1(?!0000)[0-9]{4}(?![\w-])"
)  # fmt: skip
_IPV4 = re.compile(r"(?<![\w.])[0-9]{1,3}+\.[0-9]{1,3}+\.[0-9]{1,3}+\.[0-9]{1,3}+(?!\w|\.[0-9])")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{3,39}+(?:(?:\.[0-9]{1,3}){3})?(?![\w:])")
_PHONE = re.compile(
    r"(?<![\w+.-])(?:"
    r"(?:\+|00(?=[1-9]))[1-9][0-9]{0,2}(?:[ ./-]{0,2}+\(?[0-9]{1,5}+\)?){2,7}+"  # with its country
    r"|(?:1[ .-])?(?:\([2-9][0-9]{2}\)[ .-]?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}"  # North America
    r"|\(?0[1-9][0-9]{1,3}\)?[ /-][0-9]{2,4}(?:[ -]?[0-9]{2,4}){1,3}"  # the rest of the world, at home
    r"|0[1-9](?:([ .-])[0-9]{2})(?:\1[0-9]{2}){3}"
    r")(?!\w|[.:-][0-9])"
)
_GROUP = re.compile(r"[ ./-]{1,2}\(?[0-9]{1,15}\)?$")
_DIGIT = re.compile(r"[0-9]")


def _keys(text: str) -> Iterator[tuple[int, int]]:
    for match in _KEY.finditer(text):
        yield match.span()
    if "PRIVATE KEY-----" not in text:
        return
    begins = _PEM_BEGINS.search(text)
    while begins is not None:
        over = text.find("-----END", begins.end())
        closed = -1 if over < 0 else text.find("-----", over + 8)
        end = len(text) if closed < 0 else closed + 5  # one that is cut short is a key all the same
        yield begins.start(), end
        begins = _PEM_BEGINS.search(text, end)


def _emails(text: str) -> Iterator[tuple[int, int]]:
    at, floor = text.find("@"), 0
    while at >= 0:
        start, least = at, max(floor, at - 64)
        while start > least and (text[start - 1].isalnum() or text[start - 1] in _LOCAL):
            start -= 1
        while start < at and text[start] in ".'`/={|}*&":  # punctuation before it, and not its own
            start += 1
        domain = _DOMAIN.match(text, at + 1) if start < at else None
        end = at + 1
        if domain is not None:
            last = domain[0].rpartition(".")[2].rstrip("-_")
            if len(last) >= 2 and not last.isdigit():
                end = domain.end()
                yield start, end
        floor = end
        at = text.find("@", end)


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for match in _IBAN.finditer(text):
        length = LENGTHS.get(match[0][:2].upper())
        if length is None:
            continue
        at, kept = match.start(), list[str]()
        while at < len(text) and len(kept) < length:
            sign = text[at]
            if sign.isascii() and sign.isalnum():
                kept.append(sign)
            elif sign not in " -" or text[at - 1] in " -":
                break
            at += 1
        whole = at == len(text) or not text[at].isalnum()
        if len(kept) == length and whole and iban_holds("".join(kept)):
            yield match.start(), at


def iban_holds(iban: str) -> bool:
    """Whether the checksum of an IBAN without spaces is right."""
    return int("".join([str(int(sign, 36)) for sign in iban[4:] + iban[:4]])) % 97 == 1


def _cards(text: str) -> Iterator[tuple[int, int]]:
    match = _CARD.search(text)
    while match is not None:
        start, end = match.span()
        if not luhn_holds(match[0]):
            groups = re.split("[ -]", match[0])
            shorter = match[0][: -len(groups[-1]) - 1] if len(groups) == 5 else ""
            if shorter and luhn_holds(shorter):
                end = start + len(shorter)
            else:
                match = _CARD.search(text, start + len(groups[0]))
                continue
        yield start, end
        match = _CARD.search(text, end)


def luhn_holds(number: str) -> bool:
    """Whether the last digit of a card's number is the one that Luhn's sum asks for; other signs do not count."""
    digits = [int(sign) for sign in number if sign.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _ssns(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _SSN.finditer(text))


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    if "." in text:
        for match in _IPV4.finditer(text):
            if all(int(part) <= 255 for part in match[0].split(".")):
                yield match.span()
    if ":" not in text:
        return
    for match in _IPV6.finditer(text):
        said = match[0].rstrip(":") if not match[0].endswith("::") else match[0]
        if said.count(":") >= 2 and _is_ipv6(said):
            yield match.start(), match.start() + len(said)


def _is_ipv6(text: str) -> bool:
    try:
        return int(IPv6Address(text)) > 1  # `::` and `::1` are nobody's
    except AddressValueError:
        return False


def _phones(text: str) -> Iterator[tuple[int, int]]:
    match = _PHONE.search(text)
    while match is not None:
        number, digits = match[0], sum(map(str.isdigit, match[0]))
        while digits > 15:  # another number follows it: as many groups as one may have
            last = _GROUP.search(number)
            if last is None:
                break
            number, digits = number[: last.start()], digits - sum(map(str.isdigit, last[0]))
        over = match.end()
        if 8 <= digits <= 15:
            over = match.start() + len(number)
            yield match.start(), over
        match = _PHONE.search(text, over)  # the number that follows may begin inside what was matched


_FINDERS: Final[dict[str, tuple[Callable[[str], Iterator[tuple[int, int]]], bool]]] = {
    "api_key": (_keys, False), "email": (_emails, False), "iban": (_ibans, True), "card": (_cards, True),
    "ssn": (_ssns, True), "ip": (_addresses, False), "phone": (_phones, True),
}  # fmt: skip
"""How each kind is found, and whether it needs a digit."""

KINDS: Final = tuple(_FINDERS)
"""What is found; what several claim belongs to the first."""


def find(text: str, kinds: Collection[str] = KINDS) -> list[Found]:
    """What a text holds of these kinds, in order and without overlaps."""
    found: list[Found] = []
    digits = _DIGIT.search(text) is not None
    for kind, (finder, needs_digit) in _FINDERS.items():
        if kind not in kinds or (needs_digit and not digits) or (kind == "email" and "@" not in text):
            continue
        new = [Found(start, end, kind) for start, end in _apart(finder(text))]
        if new:
            text = _covered(text, new)  # so that a later kind neither claims it again nor grows into it
            found = sorted([*found, *new]) if found else new
    return found


def _covered(text: str, found: list[Found]) -> str:
    parts, at = list[str](), 0
    for start, end, _ in found:
        parts += (text[at:start], "\0" * (end - start))
        at = end
    return "".join(parts) + text[at:]


def _apart(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """In order; of what overlaps, the one that begins first, or else the longest."""
    over = 0
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= over:
            yield start, end
            over = end


def redacted(text: str, kinds: Collection[str] = KINDS) -> str:
    """The text with `[EMAIL]` in place of each e-mail address, and so on."""
    found = find(text, kinds)
    if not found:
        return text
    parts, at = list[str](), 0
    for start, end, kind in found:
        parts += (text[at:start], f"[{kind.upper()}]")
        at = end
    return "".join(parts) + text[at:]
