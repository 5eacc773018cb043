"""Chat answers as Google's, whole; the stream's writer uses the same pieces."""

from __future__ import annotations

from typing import Any

from ... import exact
from ...message import Json
from ..cargo import add, count, known, listing, mapping, objects, string
from .core import Exchange
from .gemini_parts import EXTRA, MAKER, own_signature, signature_from_chat
from .gemini_told import MODALITIES
from .marks import NOBODY, marked

_FINISH = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "function_call": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
}
_UNSIGNED = signature_from_chat(NOBODY)
_NATIVE = frozenset(
    """
    FINISH_REASON_UNSPECIFIED STOP MAX_TOKENS SAFETY RECITATION LANGUAGE OTHER BLOCKLIST PROHIBITED_CONTENT SPII
    MALFORMED_FUNCTION_CALL IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT IMAGE_OTHER NO_IMAGE IMAGE_RECITATION
    UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MISSING_THOUGHT_SIGNATURE MALFORMED_RESPONSE ESCALATION
    PUP_LIMITED_DISABLED CONTINUATION MODEL_ARMOR
    """.split()  # noqa: SIM905  a list of this length would fill the page
)


def answer_from_chat(answer: Json, exchange: Exchange) -> Json:
    """The answer for a caller of generateContent."""
    rest = {**mapping(answer.get(EXTRA))}
    traffic = rest.pop("trafficType", None)
    candidates = [_candidate(choice, exchange) for choice in objects(answer.get("choices"))]
    if mapping(rest.get("promptFeedback")).get("blockReason"):
        candidates = []
    made: dict[str, Any] = {"candidates": candidates} if candidates else {}
    usage = usage_from_chat(mapping(answer.get("usage")), answer.get("service_tier"))
    if traffic:
        usage["trafficType"] = traffic
    if usage:
        made["usageMetadata"] = usage
    made["modelVersion"] = string(answer.get("model")) or exchange.model
    made["responseId"] = string(answer.get("id")) or f"chatcmpl-{exchange.request_id}"
    return {**made, **rest}


def _candidate(choice: Json, exchange: Exchange) -> Json:
    message = mapping(choice.get("message"))
    parts = parts_from_chat(message, exchange)
    made: dict[str, Any] = {"content": {"parts": parts, "role": "model"}} if parts else {"content": {"role": "model"}}
    made |= finish_from_chat(choice, message.get("refusal"))
    made["index"] = choice.get("index") or 0
    likely = logprobs_from_chat(choice.get("logprobs"))
    if likely:
        made["logprobsResult"] = likely
    rest = mapping(choice.get(EXTRA))
    text = message.get("content")
    cited = objects(message.get("annotations"))
    if cited and "groundingMetadata" not in rest and "citationMetadata" not in rest:
        made["groundingMetadata"] = grounding_from_chat(cited, text if isinstance(text, str) else "")
    return {**made, **rest}


def finish_from_chat(choice: Json, refusal: Any) -> dict[str, Any]:
    """Why the answer ended, in Google's words."""
    native = string(choice.get("native_finish_reason"))
    reason = _FINISH.get(string(choice.get("finish_reason")), "STOP")
    if native in _NATIVE:
        reason = native
    if not refusal:
        return {"finishReason": reason}
    return {"finishReason": "SAFETY" if reason == "STOP" else reason, "finishMessage": refusal}


def parts_from_chat(message: Json, exchange: Exchange) -> list[Json]:
    """A chat message as Google's parts: thoughts, words, pictures, calls."""
    kept = objects(mapping(message.get(EXTRA)).get("parts"))
    if kept:
        return kept
    parts, late = thoughts_from_chat(objects(message.get("thinking_blocks")), string(message.get("reasoning_content")))
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(string(mapping(each).get("text")) for each in listing(message["content"]))
    if content or late:
        parts.append({"text": content or "", **({"thoughtSignature": late} if late else {})})
    parts += [picture_from_chat(image) for image in objects(message.get("images"))]
    sound = mapping(message.get("audio"))
    if sound.get("data"):
        kind = string(sound.get("mime_type")) or "audio/wav"
        parts.append({"inlineData": {"mimeType": kind, "data": sound["data"]}})
    for index, call in enumerate(objects(message.get("tool_calls"))):
        parts.append(call_from_chat(call, index, exchange))
    return parts


def thoughts_from_chat(blocks: list[Json], reasoning: str) -> tuple[list[Json], str]:
    """Thinking as thought parts; and Google's own signature, which belongs to the words that follow."""
    parts: list[Json] = []
    late = ""
    for block in blocks:
        if own_signature(block):
            late = own_signature(block)
            if block.get("thinking"):
                parts.append({"text": block["thinking"], "thought": True})
        else:
            parts.append(thought_from_chat(block))
    if reasoning and not any(part.get("text") for part in parts):
        parts.insert(0, {"text": reasoning, "thought": True})
    return parts, late


def thought_from_chat(block: Json) -> Json:
    """Another maker's thinking: its signature rides in Google's field, marked."""
    if block.get("type") == "redacted_thinking":
        proof = signature_from_chat(marked("redacted", string(block.get("data"))))
        return {"text": "", "thought": True, "thoughtSignature": proof}
    made: dict[str, Any] = {"text": string(block.get("thinking")), "thought": True}
    signature = string(block.get("signature"))
    if signature:
        made["thoughtSignature"] = signature_from_chat(signature)
    return made


def picture_from_chat(image: Json) -> Json:
    """A picture of an answer."""
    url = string(mapping(image.get("image_url")).get("url"))
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:"):
        return {"fileData": {"fileUri": url, "mimeType": "image/png"}}
    return {"inlineData": {"mimeType": head[5:].partition(";")[0], "data": data}}


def call_from_chat(call: Json, index: int, exchange: Exchange) -> Json:
    """A tool call as a functionCall part."""
    function = mapping(call.get("function")) or mapping(call.get("custom"))
    text = string(function.get("arguments")) or string(function.get("input"))
    part: dict[str, Any] = {
        "functionCall": {
            "id": string(call.get("id")) or f"{exchange.made_up}{index}",
            "name": string(function.get("name")),
            "args": _arguments(text, index, exchange),
        }
    }
    signature = mapping(mapping(call.get("extra_content")).get(MAKER)).get("thought_signature")
    if signature:
        part["thoughtSignature"] = signature
    elif index == 0 and not call.get("extra_content"):
        part["thoughtSignature"] = _UNSIGNED  # so that it is known as no Gemini's, should one be asked next
    return part


def _arguments(text: str, index: int, exchange: Exchange) -> Json:
    try:
        value: Any = exact.read(text.encode(errors="surrogatepass")) if text else {}
    except ValueError:
        value = text
    if isinstance(value, dict):
        return mapping(value)
    if value is None:
        return {}
    exchange.changed(f"tool_calls[{index}].function.arguments", "are no JSON object; they came in a field of one")
    return {"arguments": text}


def usage_from_chat(usage: Json, tier: Any = None) -> dict[str, Any]:
    """Token counts in Google's names: thoughts beside the answer, not in it."""
    if not usage:
        return {}
    before, after = mapping(usage.get("prompt_tokens_details")), mapping(usage.get("completion_tokens_details"))
    thought, tools = count(after.get("reasoning_tokens")), count(before.get("tool_use_tokens"))
    made: dict[str, Any] = {
        "promptTokenCount": max(add(count(usage.get("prompt_tokens"))) - add(tools), 0),
        "candidatesTokenCount": max(add(count(usage.get("completion_tokens"))) - add(thought), 0),
        "totalTokenCount": add(count(usage.get("total_tokens"))),
    }
    cached = count(before.get("cached_tokens"))
    made |= known(thoughtsTokenCount=thought, cachedContentTokenCount=cached, toolUsePromptTokenCount=tools)
    for name, details in (("promptTokensDetails", before), ("candidatesTokensDetails", after)):
        found = [
            {"modality": modality, "tokenCount": details[field]}
            for modality, field in MODALITIES.items()
            if count(details.get(field))
        ]
        if found:
            made[name] = found
    told = {"default": "standard", "flex": "flex", "priority": "priority"}.get(string(tier))
    if told:
        made["serviceTier"] = told
    return made


def grounding_from_chat(cited: list[Json], text: str) -> Json:
    """Citations as Google grounds an answer, at places counted in bytes."""
    chunks: dict[tuple[str, str], int] = {}
    supports: list[Json] = []
    for note in cited:
        where = mapping(note.get("url_citation"))
        if not where:
            continue
        chunk = chunks.setdefault((string(where.get("url")), string(where.get("title"))), len(chunks))
        start, end = add(count(where.get("start_index"))), add(count(where.get("end_index")))
        segment: dict[str, Any] = {"endIndex": len(text[:end].encode(errors="surrogatepass")), "text": text[start:end]}
        if start:
            segment["startIndex"] = len(text[:start].encode(errors="surrogatepass"))
        supports.append({"segment": segment, "groundingChunkIndices": [chunk]})
    found = [{"web": {"uri": url, "title": title}} for url, title in chunks]
    return {"groundingChunks": found, "groundingSupports": supports}


def logprobs_from_chat(logprobs: Any) -> Json | None:
    """OpenAI's log probabilities in Google's shape."""
    content = objects(mapping(logprobs).get("content"))
    if not content:
        return None
    made: dict[str, Any] = {"chosenCandidates": [_likely(entry) for entry in content]}
    if any(entry.get("top_logprobs") for entry in content):
        made["topCandidates"] = [
            {"candidates": [_likely(other) for other in objects(entry.get("top_logprobs"))]} for entry in content
        ]
    return made


def _likely(entry: Json) -> Json:
    made: dict[str, Any] = {"token": entry.get("token"), "logProbability": entry.get("logprob")}
    if "token_id" in entry:
        made["tokenId"] = entry["token_id"]
    return made
