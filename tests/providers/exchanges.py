"""Exchanges to replay: our own under `tests/cases`, and recorded ones beside the repository where they exist."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_edge.message import Body, Headers, Response
from llm_edge.providers.base import Dialect
from llm_edge.providers.dialects import recognise
from llm_edge.providers.eventstream import message

CASES = Path(__file__).resolve().parent.parent / "cases"
RECORDED = CASES.parent.parent.parent / "shared" / "wire" / "fixtures"


@dataclass(frozen=True)
class Exchange:
    """One answer of a provider, and what is known about it."""

    name: str
    url: str
    status: int
    headers: dict[str, str]
    content: bytes
    stream: bool
    expect: dict[str, Any]
    request: dict[str, Any]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> str:
        return "/" + self.url.split("/", 3)[3]

    @property
    def dialect(self) -> Dialect:
        dialect = recognise("POST", self.path)
        assert dialect is not None, self.path
        return dialect

    def response(self) -> Response:
        return Response(status=self.status, headers=Headers(self.headers), body=Body(self.content))


def _in(root: Path, mark: str) -> list[Exchange]:
    found: list[Exchange] = []
    for answer in sorted(root.glob("*/*.response.*")):
        kind = answer.name.rpartition(".response.")[2]
        base = answer.with_name(answer.name.rpartition(".response.")[0])
        meta_file = base.with_name(base.name + ".meta.json")
        framed = kind == "events.jsonl"
        if kind not in ("json", "sse", "txt", "eventstream") and not (framed and root == CASES):
            continue
        # The two streams of the SDK's own tests came without their circumstances.
        meta: dict[str, Any] = (
            json.loads(meta_file.read_bytes())
            if meta_file.exists()
            else {"url": "https://api.anthropic.com/v1/messages"}
        )
        request = base.with_name(base.name + ".request.json")
        found.append(
            Exchange(
                name=f"{mark}{base.parent.name}/{base.name}",
                url=meta["url"],
                status=meta.get("status", 200),
                headers=meta.get("response_headers", {}),
                content=_frames(answer) if framed else answer.read_bytes(),
                stream=kind not in ("json", "txt"),
                expect=meta.get("expect", {}),
                request=json.loads(request.read_bytes()) if request.exists() else {},
            )
        )
    return [each for each in found if recognise("POST", each.path) is not None]


def _frames(file: Path) -> bytes:
    """Amazon's frames, from one line of JSON each."""
    events = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
    return b"".join(message(event["headers"], json.dumps(event["payload"]).encode()) for event in events)


OURS = _in(CASES, "")
THEIRS = _in(RECORDED, "recorded/")
FRAMED = [each for each in OURS + THEIRS if each.stream and each.dialect.name == "bedrock.converse"]
"""Streams in frames of Amazon's; all others are events."""
STREAMS = [each for each in OURS + THEIRS if each.stream and each not in FRAMED]
WHOLE_STREAMS = [each for each in STREAMS if not each.expect.get("failure") and not each.expect.get("broken")]
BAD_ANSWERS = [each for each in OURS if not each.stream and each.expect.get("failure")]
WIRES = sorted(CASES.glob("*/*.wire.json"))
