"""What a Gemini said, in parts, as the fields of a chat message; and what it counted, cited and found likely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ... import exact
from ...message import Json
from ..cargo import camel, count, listing, mapping, objects, string
from ..gemini import usage_of
from .core import Exchange
from .gemini_parts import EXTRA, MAKER, signature_to_chat
from .marks import is_marked, whose

_FILTERED = frozenset(
    """
    SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII LANGUAGE OTHER IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT
    IMAGE_RECITATION IMAGE_OTHER NO_IMAGE ESCALATION MODEL_ARMOR PUP_LIMITED_DISABLED JAILBREAK
    """.split()  # noqa: SIM905  a list of this length would fill the page
)
_PLAIN = frozenset({"text", "thought", "thoughtSignature", "functionCall", "inlineData"})
_REDACTED = "redacted"

MakeId = Callable[[], str]
"""Makes up the id of a call that came without one."""


def finish_of(reason: str, *, called: bool) -> tuple[str, str]:
    """The unified finish reason, and Google's own word where that says more."""
    if reason in _FILTERED:
        return "content_filter", reason
    if reason == "MAX_TOKENS":
        return "length", ""
    if reason == "CONTINUATION":
        return "length", reason
    return "tool_calls" if called else "stop", "" if reason in ("", "STOP") else reason


class Told:
    """Reads parts as they come, of a whole answer or of a stream; gives deltas of a chat message."""

    __slots__ = ("_exchange", "_make_id", "_spoken", "_thoughts", "calls", "plain", "text")

    def __init__(self, exchange: Exchange, make_id: MakeId) -> None:
        self._exchange = exchange
        self._make_id = make_id
        self.calls = 0
        self.text: list[str] = []
        self.plain = True
        """Whether chat can."""
        self._thoughts: list[str] = []
        """What was thought and not yet signed."""
        self._spoken = False

    def part(self, part: Json) -> dict[str, Any]:
        """The delta for one part."""
        text = part.get("text")
        if len(part) == 1 and type(text) is str:  # as nearly all are
            self._spoken = True
            if not text:
                return {}
            self.text.append(text)
            return {"content": text}
        part = camel(part)
        delta: dict[str, Any] = {}
        if part.get("thought"):
            delta = self._thought(part)
        elif "functionCall" in part:
            delta = {"tool_calls": [self._call(part)]}
        elif "inlineData" in part:
            delta = self._media(camel(mapping(part["inlineData"])))
        elif isinstance(text, str):
            if part.get("thoughtSignature"):
                delta = self._signed(part["thoughtSignature"])
            self._spoken = True
            if text:
                self.text.append(text)
                delta["content"] = text
        if not part.keys() <= _PLAIN:
            self.plain = False
        return delta

    def _thought(self, part: Json) -> dict[str, Any]:
        text = string(part.get("text"))
        self._thoughts.append(text)
        delta: dict[str, Any] = {"reasoning_content": text} if text else {}
        if part.get("thoughtSignature"):
            self._spoken = False
            delta |= self._signed(part["thoughtSignature"])
        return delta

    def _signed(self, signature: Any) -> dict[str, Any]:
        told = signature_to_chat(signature)
        maker, own = whose(told)
        if maker == _REDACTED:
            return {"thinking_blocks": [{"type": "redacted_thinking", "data": own}]}
        # Thoughts that words have followed are told already and for good: what comes now is the proof alone.
        thinking = "" if self._spoken else "".join(self._thoughts)
        self._thoughts = []
        proof = own if maker == "anthropic" else told
        return {"thinking_blocks": [{"type": "thinking", "thinking": thinking, "signature": proof}]}

    def _call(self, part: Json) -> dict[str, Any]:
        call = camel(mapping(part["functionCall"]))
        name = string(call.get("name"))
        arguments = call.get("args")
        made: dict[str, Any] = {
            "id": string(call.get("id")) or self._make_id(),
            "type": "function",
            "function": {
                "name": self._exchange.names.get(name, name),
                "arguments": exact.write(arguments).decode() if arguments else "{}",
            },
        }
        signature = string(part.get("thoughtSignature"))
        if signature and not is_marked(signature):
            made["extra_content"] = {MAKER: {"thought_signature": signature}}
        self.calls += 1
        return made

    def _media(self, media: Json) -> dict[str, Any]:
        kind, data = string(media.get("mimeType")), string(media.get("data"))
        if kind.startswith("audio/"):
            # OpenAI's shape; the words, if there are any, come as text.
            sound = {"id": self._make_id(), "data": data, "expires_at": 0, "transcript": "", "mime_type": kind}
            return {"audio": sound}
        return {"images": [{"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}]}


def told_in_chat(parts: Sequence[Json], exchange: Exchange, make_id: MakeId) -> tuple[dict[str, Any], Told]:
    """All parts of a whole message as its fields, and how they were read."""
    told = Told(exchange, make_id)
    message: dict[str, Any] = {"content": None}
    for part in parts:
        for name, value in told.part(part).items():
            known = message.get(name)
            message[name] = value if known is None else known + value if name != "audio" else known
    if not told.plain:
        message[EXTRA] = {"parts": list(parts)}
    return message, told


# ------------------------------------------------------------------ what was counted

MODALITIES = {"TEXT": "text_tokens", "IMAGE": "image_tokens", "AUDIO": "audio_tokens", "VIDEO": "video_tokens"}


def usage_to_chat(usage: Json) -> Json | None:
    """Tokens used in the unified names; None when Google did not count."""
    counts = usage_of(usage)
    if counts is None:
        return None
    before = _by_modality(usage.get("promptTokensDetails"))
    after = _by_modality(usage.get("candidatesTokensDetails"))
    if "cached_tokens" in counts:
        before["cached_tokens"] = counts["cached_tokens"]
    tools = count(usage.get("toolUsePromptTokenCount"))
    if tools:
        before["tool_use_tokens"] = tools
    if "reasoning_tokens" in counts:
        after["reasoning_tokens"] = counts["reasoning_tokens"]
    told: dict[str, Any] = {
        "prompt_tokens": counts.get("prompt_tokens", 0),
        "completion_tokens": counts.get("completion_tokens", 0),
        "total_tokens": counts["total_tokens"],
    }
    if before:
        told["prompt_tokens_details"] = before
    if after:
        told["completion_tokens_details"] = after
    return told


def _by_modality(details: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in objects(details):
        name = MODALITIES.get(string(each.get("modality")))
        tokens = count(each.get("tokenCount"))
        if name is not None and tokens is not None:
            counts[name] = counts.get(name, 0) + tokens
    return counts


_TIERS = {"standard": "default", "flex": "flex", "priority": "priority"}


def tier_of(usage: Json) -> str | None:
    """The service tier in OpenAI's words."""
    return _TIERS.get(string(usage.get("serviceTier")).lower())


# ------------------------------------------------------------------ what was cited


def citations(candidate: Json, text: str, bases: Sequence[int] = ()) -> list[Json]:
    """
    Where the answer comes from, at places counted in characters; Google counts bytes.

    `bases` tells at which character of the text each part begins.
    """
    found: list[Json] = []
    grounding = camel(mapping(candidate.get("groundingMetadata")))
    raw = text.encode(errors="surrogatepass") if grounding or candidate.get("citationMetadata") else b""
    sources = [camel(mapping(mapping(chunk).get("web"))) for chunk in listing(grounding.get("groundingChunks"))]
    for support in objects(grounding.get("groundingSupports")):
        support = camel(support)
        segment = camel(mapping(support.get("segment")))
        span = _span(segment, text, raw, bases)
        places = listing(support.get("groundingChunkIndices"))
        cited_here = [sources[at] for at in places if type(at) is int and 0 <= at < len(sources)]
        found += [_annotation(source, span) for source in cited_here if source]
    cited = camel(mapping(candidate.get("citationMetadata")))
    quoted = [each for each in objects(cited.get("citations") or cited.get("citationSources")) if each.get("uri")]
    return found + [_annotation(each, _span(each, text, raw, bases)) for each in quoted]


def _annotation(source: Json, span: tuple[int, int]) -> Json:
    where = {"url": string(source.get("uri")), "title": string(source.get("title"))}
    return {"type": "url_citation", "url_citation": {**where, "start_index": span[0], "end_index": span[1]}}


def _span(segment: Json, text: str, raw: bytes, bases: Sequence[int]) -> tuple[int, int]:
    part = count(segment.get("partIndex")) or 0
    base = bases[part] if part < len(bases) else 0
    if base:
        raw = text[base:].encode(errors="surrogatepass")
    start = base + _characters(raw, count(segment.get("startIndex")) or 0)
    end = base + _characters(raw, count(segment.get("endIndex")) or 0)
    said = string(segment.get("text"))
    if said and text[start:end] != said:
        at = text.find(said)  # counted otherwise, or from elsewhere: the words know best
        if at >= 0:
            return at, at + len(said)
    return start, end


def _characters(raw: bytes, place: int) -> int:
    """How many characters begin before this byte."""
    return len(raw[:place].decode(errors="ignore"))


# ------------------------------------------------------------------ what was likely


def logprobs_to_chat(result: Any) -> Json | None:
    """Google's log probabilities in OpenAI's shape."""
    result = camel(mapping(result))
    chosen = objects(result.get("chosenCandidates"))
    if not chosen:
        return None
    tops = objects(result.get("topCandidates"))
    content: list[Json] = []
    for place, candidate in enumerate(chosen):
        others = objects(tops[place].get("candidates")) if place < len(tops) else []
        content.append({**_likely(candidate), "top_logprobs": [_likely(other) for other in others]})
    return {"content": content, "refusal": None}


def _likely(candidate: Json) -> dict[str, Any]:
    candidate = camel(candidate)
    token = string(candidate.get("token"))
    made: dict[str, Any] = {
        "token": token,
        "logprob": candidate.get("logProbability", 0.0),
        "bytes": list(token.encode(errors="surrogatepass")),
    }
    if "tokenId" in candidate:
        made["token_id"] = candidate["tokenId"]
    return made
