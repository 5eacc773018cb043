"""
The messages of a chat as Google's contents.

Theory of operation. Google wants, right after a turn that called functions, one user content with
the results of all of them, and nothing else in it; what was said follows in a content of its own.
`turns.py` tells how they are gathered.

Since Gemini 3 a call shows the signature of the thought behind it. Google's own is put back where it
was; where it is lost, the first call of a turn says so in the word Google has for that.
"""

from __future__ import annotations

import re
from typing import Any

from ... import exact
from ...message import Json
from ..capabilities import Capabilities
from ..cargo import mapping, objects, string
from ..openai import joined_text
from . import turns
from .core import NOT_EMPTY, Exchange
from .gemini_parts import EXTRA, MAKER, Parts, own_signature
from .turns import NO_RESULT, SYSTEM, Calls

SKIP = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""`skip_thought_signature_validator`: the word for a signature that is lost."""

_LONGEST = 128
_FIT = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}").fullmatch
_UNFIT = re.compile(r"[^A-Za-z0-9_.:-]")
_IN_RESULTS = frozenset({"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"})
_READ = turns.READ | {"images", "audio", "function_call", EXTRA}


def fit_name(name: str, exchange: Exchange) -> str:
    """The function's name as Google takes it; the way back is kept in `exchange.names`."""
    fit = name
    if not _FIT(name):
        fit = _UNFIT.sub("_", name) or "tool"
        fit = fit if _FIT(fit) else f"_{fit}"
    return turns.fit_name(name, fit, _LONGEST, exchange, "Google, which takes letters, digits and _ . : - only")


class Turns:
    """Writes the contents down, message by message."""

    def __init__(self, exchange: Exchange, capabilities: Capabilities) -> None:
        self.contents: list[dict[str, Any]] = []
        self.parts = Parts(exchange, new=capabilities.signed_calls)
        self._exchange = exchange
        self._signed = capabilities.signed_calls
        self._calls: Calls[Json] = Calls(exchange)
        """By ids, and names as Google knows them."""
        self._said: list[Json] = []
        self._beside: list[Json] = []
        """What came with results and has no place inside them."""
        self._spoken = False
        """Whether there was a user message since, empty or not."""
        self._unsigned = False

    def add(self, message: Json, place: str) -> None:
        """The next message of the chat, `place` in the request."""
        role = string(message.get("role"))
        if role == "user":
            self._user(message, place)
        elif role == "assistant":
            self._assistant(message, place)
        elif role == "tool":
            self._result(message, place)
        elif role in SYSTEM:
            text = joined_text(message.get("content"))
            if text:
                self._said.append({"text": f"<system>{text}</system>"})
                self._exchange.changed("messages", "hold a system message in the middle; it went as tagged user text")
        else:
            raise self._exchange.impossible(f"{place}.role", f"{role!r} is not known; use user, assistant or tool")
        if len(message) > 2:
            self.rest(message, place)

    def rest(self, message: Json, place: str) -> None:
        """Tells which fields of a message have no place at Google."""
        if message.get("cache_control"):
            self.parts.cached("messages[].cache_control")
        for name in message.keys() - _READ:
            if name == "name":
                self.parts.once("messages[].name", "Google knows no names of speakers")
            elif message[name] is not None:
                self._exchange.lost(f"{place}.{name}", "Google's contents have nothing like it")

    def end(self) -> list[dict[str, Any]]:
        """The contents, all of them."""
        self._close()
        if not self.contents or self.contents[0]["role"] != "user":
            self.contents.insert(0, {"role": "user", "parts": [{"text": NOT_EMPTY}]})
            self._exchange.changed("messages", f"do not begin with the user, so one was put first: {NOT_EMPTY!r}")
        return self.contents

    # ------------------------------------------------------------ what follows an assistant turn

    def _user(self, message: Json, place: str) -> None:
        self._spoken = True
        self._said += self.parts.all(message.get("content"), place)

    def _show(self, result: dict[str, Any], part: Json) -> None:
        kind = mapping(part.get("inlineData")).get("mimeType")
        if self._signed and kind in _IN_RESULTS:
            result["parts"] = [*result.get("parts", ()), {"inlineData": part["inlineData"]}]
        else:
            self._beside.append(part)

    def _result(self, message: Json, place: str) -> None:
        identity, name = self._calls.answered(message, place)
        content = message.get("content")
        result: dict[str, Any] = {"id": identity, "name": name} if self._signed else {"name": name}
        result["response"] = {}
        if isinstance(content, list):
            parts = objects(message["content"])
            for part in parts:
                if part.get("type", "text") != "text":
                    self._show(result, self.parts.one(part, place))
            content = joined_text(parts)
        result["response"] = _response(string(content), message)
        result.update(mapping(message.get(EXTRA)))
        self._calls.answer(identity, result)

    def _close(self) -> None:
        """Writes down what was gathered since the last assistant turn."""
        results = [{"functionResponse": result} for result in self._calls.close(self._missing)]
        if results:
            self.contents.append({"role": "user", "parts": results})
        said = [*self._beside, *self._said]
        if self._spoken and not said and not results:
            said.append({"text": NOT_EMPTY})
            self._exchange.changed("messages", f"hold a user message without a word; Google was sent {NOT_EMPTY!r}")
        if said:
            if results or not self.contents or self.contents[-1]["role"] != "user":
                self.contents.append({"role": "user", "parts": said})
            else:
                self.contents[-1]["parts"] += said
        self._said, self._beside, self._spoken = [], [], False

    def _missing(self, identity: str, name: str) -> Json:
        missing = {"name": name, "response": {"error": NO_RESULT}}
        return {"id": identity, **missing} if self._signed else missing

    # ------------------------------------------------------------ assistant turns

    def _assistant(self, message: Json, place: str) -> None:
        self._close()
        calls = objects(message.get("tool_calls"))
        if message.get("function_call"):
            raise self._exchange.impossible(f"{place}.function_call", "it is long deprecated; send tool_calls")
        if message.get("audio"):
            raise self._exchange.impossible(f"{place}.audio", "Google does not have it; send the words as content")
        parts = self._kept(message, calls, place)
        if parts is None:
            parts = self._thoughts(message, place)
            parts += self.parts.all(message.get("content"), place)
            for index, image in enumerate(objects(message.get("images"))):
                parts.append(self.parts.one(image, f"{place}.images[{index}]"))
            if not parts and not calls:
                parts = self.parts.all(message.get("refusal"), place)
            parts += [self._call(call, f"{place}.tool_calls[{index}]") for index, call in enumerate(calls)]
            self._sign(parts, message, place)
        if parts:
            last = self.contents[-1] if self.contents else None
            if last is not None and last["role"] == "model":
                last["parts"] = [*last["parts"], *parts]
            else:
                self.contents.append({"role": "model", "parts": list(parts)})

    def _kept(self, message: Json, calls: list[Json], place: str) -> list[Json] | None:
        """The parts of an answer that chat could not tell; None when the caller changed the message since."""
        kept = objects(mapping(message.get(EXTRA)).get("parts"))
        if not kept:
            return None
        said = joined_text(message.get("content"))
        text = "".join(string(part.get("text")) for part in kept if not part.get("thought"))
        names = [mapping(part["functionCall"]).get("name") for part in kept if "functionCall" in part]
        called = [fit_name(string(mapping(call.get("function")).get("name")), self._exchange) for call in calls]
        if said != text or names != called:
            return None
        told = iter([self._call(call, f"{place}.tool_calls[{index}]") for index, call in enumerate(calls)])
        return [{**part, **next(told)} if "functionCall" in part else part for part in kept]

    def _thoughts(self, message: Json, place: str) -> list[Json]:
        blocks = objects(message.get("thinking_blocks"))
        own = [block for block in blocks if own_signature(block)]
        foreign = len(own) < len(blocks) or (message.get("reasoning_content") and not blocks)
        if foreign and not any(_signature_of(call) for call in objects(message.get("tool_calls"))):
            self._exchange.changed(
                f"{place}.reasoning_content", "was left out: Google takes no thinking but what it signed itself"
            )
        return [{"text": block["thinking"], "thought": True} for block in own if block.get("thinking")]

    def _call(self, call: Json, place: str) -> dict[str, Any]:
        if call.get("type", "function") != "function":
            raise self._exchange.impossible(place, "Google has no custom tools; describe it as a function")
        function = mapping(call.get("function"))
        name = self._calls.add(call, place, lambda _: fit_name(string(function.get("name")), self._exchange))
        made: dict[str, Any] = {"id": string(call.get("id")), "name": name} if self._signed else {"name": name}
        made["args"] = self._arguments(function.get("arguments"), f"{place}.function.arguments")
        part: dict[str, Any] = {"functionCall": made}
        signature = _signature_of(call)
        if signature:
            part["thoughtSignature"] = signature
        return part

    def _arguments(self, arguments: Any, place: str) -> Json:
        if not arguments:
            return {}
        try:
            value: Any = exact.read(arguments.encode(errors="surrogatepass"))
        except (ValueError, AttributeError):
            value = arguments
        if isinstance(value, dict):
            return mapping(value)  # typed now
        if value is None:
            return {}
        self._exchange.changed(place, "is no JSON object; it went as the field `arguments` of one")
        return {"arguments": value}

    def _sign(self, parts: list[Json], message: Json, place: str) -> None:
        """Puts signatures that came in thinking blocks back, and says where one is missing."""
        signatures = [own for block in objects(message.get("thinking_blocks")) if (own := own_signature(block))]
        first = next((at for at, part in enumerate(parts) if "functionCall" in part), None)
        if first is not None and "thoughtSignature" not in parts[first] and self._signed:
            if signatures:
                parts[first] = {**parts[first], "thoughtSignature": signatures.pop()}
            else:
                parts[first] = {**parts[first], "thoughtSignature": SKIP}
                if not self._unsigned:
                    self._exchange.changed(
                        f"{place}.tool_calls", "came without the signatures of their thoughts; Google was told so"
                    )
                self._unsigned = True
        if not signatures:
            return
        texts = [at for at, part in enumerate(parts) if "text" in part and not part.get("thought")]
        if texts:
            parts[texts[-1]] = {**parts[texts[-1]], "thoughtSignature": signatures[-1]}
        elif first is None:
            parts.append({"text": "", "thoughtSignature": signatures[-1]})


def _signature_of(call: Json) -> str:
    return string(mapping(mapping(call.get("extra_content")).get(MAKER)).get("thought_signature"))


def _response(content: str, message: Json) -> Json:
    """A result as the object Google wants: a JSON object is one already."""
    if message.get("is_error"):
        return {"error": content}
    if content[:1] == "{":
        try:
            value = exact.read(content.encode(errors="surrogatepass"))
        except ValueError:
            return {"output": content}
        if isinstance(value, dict):
            return mapping(value)
    return {"output": content}
