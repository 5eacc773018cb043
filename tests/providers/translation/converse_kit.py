"""What the tests of Converse's translation share: botocore's own word on requests and answers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from llm_edge.providers.translation.core import Exchange, OnUnsupported

from ..exchanges import FRAMED, RECORDED

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "us.amazon.nova-micro-v1:0"
SERVICE = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
REQUESTS = sorted(RECORDED.glob("bedrock/converse*.request.json"))
ANSWERS = sorted(RECORDED.glob("bedrock/converse*.response.json"))
STREAMS = {each.name.partition("/")[2] if each.name.startswith("recorded") else each.name: each for each in FRAMED}
WHOLE = sorted(
    name for name, each in STREAMS.items() if not each.expect.get("failure") and not each.expect.get("broken")
)


def exchange(model: str = CLAUDE, on_unsupported: OnUnsupported = "warn", *, streaming: bool = False) -> Exchange:
    return Exchange(
        model=model,
        provider="bedrock",
        request_id="r1",
        created=1,
        on_unsupported=on_unsupported,
        streaming=streaming,
    )


def model_of(file: Path) -> str:
    """The model that a recorded exchange asked."""
    meta = json.loads(file.with_name(f"{file.name.split('.')[0]}.meta.json").read_bytes())
    return unquote(meta["url"].partition("/model/")[2].partition("/")[0])


def accepted(body: Any, model: str = CLAUDE) -> None:
    """Fails unless botocore would send it."""
    _checked({"modelId": model, **body}, "ConverseRequest")


def readable(answer: Any) -> None:
    """Fails unless it is an answer as botocore knows it."""
    _checked(answer, "ConverseResponse")


def _checked(value: Any, name: str) -> None:
    shape = SERVICE.shape_for(name)
    report = ParamValidator().validate(_with_bytes(value, shape), shape)
    assert not report.has_errors(), report.generate_report()


def _with_bytes(value: Any, shape: Any) -> Any:
    """The JSON as boto3's callers have it: bytes where the wire has base64. Unknown names are left, to be found."""
    if shape.type_name == "blob":
        return base64.b64decode(value, validate=True)
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        members = shape.members
        return {key: _with_bytes(inner, members[key]) if key in members else inner for key, inner in value.items()}
    if shape.type_name == "list":
        return [_with_bytes(inner, shape.member) for inner in value]
    return value
