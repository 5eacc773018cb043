"""
Chat chunks as a Responses stream.

One item is open at a time, but for tool calls, whose pieces may interleave: they stay open until the
end. Each event is numbered, and each item tells its beginning, its pieces and its end, for the SDK
puts the answer together from those.
"""

from __future__ import annotations

from typing import Any

from ...errors import CallError, StreamBroken
from ...message import Json
from ..cargo import mapping, objects, string
from . import frames
from .core import Exchange
from .marks import NOBODY
from .responses_answer import id_mark, logprob, reasoning_item, shell, status_of, unseen, usage_from_chat

_PART = {"output_text": "text", "refusal": "refusal"}


class ResponsesWriter:
    """Writes a Responses stream."""

    __slots__ = (
        "_calls",
        "_exchange",
        "_finish",
        "_late",
        "_number",
        "_open",
        "_others",
        "_out",
        "_output",
        "_place",
        "_shell",
        "_usage",
        "_words",
    )

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._out: list[bytes] = []
        self._number = 0
        self._shell: dict[str, Any] = {}
        self._output: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None
        """The message or the reasoning that is being told; no item begins before it ends."""
        self._place = 0
        self._words: list[str] = []
        """The pieces of the text that is being told, joined once at its end."""
        self._calls: dict[int, int] = {}
        """The place of each tool call in the output, by its number."""
        self._late: dict[str, Any] = {}
        """What was said about calls that had begun, by their ids."""
        self._others: list[Json] = []
        self._finish = ""
        self._usage: Json = {}

    def write(self, chunk: Json, /) -> bytes:
        if not self._shell:
            self._begin(chunk)
        if chunk.get("usage"):
            self._usage = mapping(chunk["usage"])
        for choice in objects(chunk.get("choices")):
            if choice.get("index"):
                continue  # a response is one answer
            delta = mapping(choice.get("delta"))
            logprobs = objects(mapping(choice.get("logprobs")).get("content"))
            if delta.get("reasoning_content"):
                self._think(delta["reasoning_content"])
            for block in objects(delta.get("thinking_blocks")):
                self._prove(block)
            if delta.get("content"):
                self._say("output_text", delta["content"], logprobs)
            if delta.get("refusal"):
                self._say("refusal", delta["refusal"], [])
            self._more(delta)
            self._finish = choice.get("finish_reason") or self._finish
        return self._told()

    def end(self) -> bytes:
        """The ends of all that is open, and of the response."""
        if not self._shell:
            self._begin({})
        status, details = status_of(self._finish)
        self._close(status)
        for place in self._calls.values():
            self._end_call(place)
        if self._late:
            self._unseen(self._late)
        for item in self._others:
            self._add({**item})
            self._emit("response.output_item.done", output_index=len(self._output) - 1, item=item)
        self._shell |= {"status": status, "incomplete_details": details, "usage": usage_from_chat(self._usage)}
        self._emit(f"response.{status}", response={**self._shell, "output": self._output})
        return self._told()

    def fail(self, error: Exception, /) -> bytes:
        """The error as Responses tells it: flat."""
        # What is no CallError may hold anything in its words.
        known = error if isinstance(error, CallError) else StreamBroken("the stream broke off")
        self._out.clear()
        event = {"type": "error", "code": known.code, "message": known.message, "param": None}
        return frames.named("error", {**event, "sequence_number": self._number})

    def _told(self) -> bytes:
        told = b"".join(self._out)
        self._out.clear()
        return told

    def _emit(self, kind: str, **fields: Any) -> None:
        self._out.append(frames.named(kind, {"type": kind, "sequence_number": self._number, **fields}))
        self._number += 1

    def _begin(self, chunk: Json) -> None:
        self._shell = shell(chunk, self._exchange)
        self._emit("response.created", response=self._shell)
        self._emit("response.in_progress", response=self._shell)

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{id_mark(string(self._shell['id']))}_{len(self._output)}"

    def _add(self, item: dict[str, Any], **at_first: Any) -> dict[str, Any]:
        """Begins an item; `at_first` is what it says of itself before it has said anything."""
        self._emit("response.output_item.added", output_index=len(self._output), item={**item, **at_first})
        self._place = len(self._output)
        self._output.append(item)
        return item

    def _where(self) -> dict[str, Any]:
        """The open item, as events name it."""
        assert self._open is not None
        return {"item_id": self._open["id"], "output_index": self._place}

    # -------------------------------------------------------------- thoughts

    def _think(self, text: str) -> None:
        item = self._open
        if item is None or item["type"] != "reasoning":
            self._close()
            item = self._open = self._add({"id": self._id("rs"), "type": "reasoning", "summary": []})
        where = self._where()
        if not item["summary"]:
            part = {"type": "summary_text", "text": ""}
            self._emit("response.reasoning_summary_part.added", **where, summary_index=0, part=part)
            item["summary"] = [dict(part)]
        self._words.append(text)
        self._emit("response.reasoning_summary_text.delta", **where, summary_index=0, delta=text)

    def _prove(self, block: Json) -> None:
        """A thinking block's proof ends the reasoning it belongs to."""
        told = reasoning_item(block)
        item = self._open
        if item is None or item["type"] != "reasoning":
            self._close()
            item = self._open = self._add({"id": self._id("rs"), "type": "reasoning", "summary": []})
        if not item["summary"] and told["summary"]:
            self._think(told["summary"][0]["text"])
        if "encrypted_content" in told:
            item["encrypted_content"] = told["encrypted_content"]
            self._close()

    # -------------------------------------------------------------- words

    def _say(self, kind: str, text: str, logprobs: list[Json]) -> None:
        item = self._open
        if item is None or item["type"] != "message":
            self._close()
            head = {"id": self._id("msg"), "type": "message", "role": "assistant"}
            item = self._open = self._add({**head, "status": "in_progress", "content": []})
        parts: list[dict[str, Any]] = item["content"]
        where = self._where()
        field = _PART[kind]
        if not parts or parts[-1]["type"] != kind:
            self._end_part(item)
            lists: dict[str, Any] = {"annotations": [], "logprobs": []} if kind == "output_text" else {}
            part = {"type": kind, field: "", **lists}
            self._emit("response.content_part.added", **where, content_index=len(parts), part=part)
            parts.append(part)
        self._words.append(text)
        if kind == "output_text":
            told = [logprob(entry) for entry in logprobs]
            parts[-1]["logprobs"] += told
            where = {**where, "logprobs": told}
        self._emit(f"response.{kind}.delta", **where, content_index=len(parts) - 1, delta=text)

    def _more(self, delta: Json) -> None:
        """Citations, tool calls, and what seldom comes."""
        for each in objects(delta.get("annotations")):
            self._cite({"type": "url_citation", **mapping(each.get("url_citation"))})
        for each in objects(delta.get("file_annotations")):
            self._cite({**each})
        for call in objects(delta.get("tool_calls")):
            self._call(call)
        if delta.get("phase") and self._open is not None:
            self._open["phase"] = delta["phase"]
        self._others += objects(mapping(delta.get("responses")).get("output"))

    def _cite(self, annotation: dict[str, Any]) -> None:
        item = self._open
        if (
            item is None
            or item["type"] != "message"
            or not item["content"]
            or item["content"][-1]["type"] != "output_text"
        ):
            self._say("output_text", "", [])
            item = self._open
        assert item is not None
        known = item["content"][-1]["annotations"]
        where = {**self._where(), "content_index": len(item["content"]) - 1, "annotation_index": len(known)}
        self._emit("response.output_text.annotation.added", **where, annotation=annotation)
        known.append(annotation)

    def _end_part(self, item: dict[str, Any]) -> None:
        if not item["content"]:
            return
        part = item["content"][-1]
        field = _PART[part["type"]]
        part[field] = self._joined()
        where: dict[str, Any] = {**self._where(), "content_index": len(item["content"]) - 1}
        logs = {"logprobs": part["logprobs"]} if "logprobs" in part else {}
        self._emit(f"response.{part['type']}.done", **where, **{field: part[field]}, **logs)
        self._emit("response.content_part.done", **where, part=part)

    def _joined(self) -> str:
        text = "".join(self._words)
        self._words.clear()
        return text

    def _close(self, status: str = "completed") -> None:
        """Ends the message or the reasoning that is open."""
        item = self._open
        if item is None:
            return
        where = self._where()
        if item["type"] == "message":
            self._end_part(item)
            item["status"] = status
        elif item["summary"]:
            item.setdefault("encrypted_content", NOBODY)
            part = item["summary"][0]
            part["text"] = self._joined()
            self._emit("response.reasoning_summary_text.done", **where, summary_index=0, text=part["text"])
            self._emit("response.reasoning_summary_part.done", **where, summary_index=0, part=part)
        self._open = None
        self._emit("response.output_item.done", output_index=where["output_index"], item=item)

    # -------------------------------------------------------------- tool calls

    def _call(self, call: Json) -> None:
        number = call.get("index") or 0
        place = self._calls.get(number)
        custom = call.get("type") == "custom" or "custom" in call
        body, field = mapping(call.get("custom" if custom else "function")), "input" if custom else "arguments"
        extra = call.get("extra_content")
        if place is None:
            self._close()
            identity = string(call.get("id")) or f"{self._exchange.made_up}{number}"
            if extra:  # which stands before its call, as the thinking that led to it does
                self._unseen({identity: extra})
                extra = None
            place = self._calls[number] = len(self._output)
            item: dict[str, Any] = {
                "id": self._id("ctc" if custom else "fc"),
                "type": "custom_tool_call" if custom else "function_call",
                "call_id": identity,
                "name": "",
                field: "",
            }
            item["name"] = string(body.get("name"))
            self._add(item if custom else {**item, "status": "in_progress"})
        text = string(body.get(field))
        if text:
            item = self._output[place]
            item[field] += text
            kind = "custom_tool_call_input" if custom else "function_call_arguments"
            self._emit(f"response.{kind}.delta", item_id=item["id"], output_index=place, delta=text)
        if extra:
            self._late[self._output[place]["call_id"]] = extra

    def _unseen(self, extra: Json) -> None:
        item = self._add({**unseen(extra), "id": self._id("rs")})
        self._emit("response.output_item.done", output_index=len(self._output) - 1, item=item)

    def _end_call(self, place: int) -> None:
        item = self._output[place]
        where = {"item_id": item["id"], "output_index": place}
        if item["type"] == "custom_tool_call":
            self._emit("response.custom_tool_call_input.done", **where, input=item["input"])
        else:
            item["status"] = "completed"
            if not item["arguments"]:
                item["arguments"] = "{}"
                self._emit("response.function_call_arguments.delta", **where, delta="{}")
            self._emit("response.function_call_arguments.done", **where, arguments=item["arguments"])
        self._emit("response.output_item.done", output_index=place, item=item)
