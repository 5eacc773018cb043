"""OpenAI's Responses dialect, from and to the chat form."""

from __future__ import annotations

from .core import Translation
from .responses_answer import answer_from_chat, answer_to_chat
from .responses_reader import ResponsesReader
from .responses_replay import REPLAY
from .responses_request import request_from_chat, request_to_chat
from .responses_writer import ResponsesWriter

__all__ = ["REPLAY", "TRANSLATION"]

TRANSLATION = Translation(
    dialect="openai.responses",
    request_to_chat=request_to_chat,
    answer_from_chat=answer_from_chat,
    writer=ResponsesWriter,
    request_from_chat=request_from_chat,
    answer_to_chat=answer_to_chat,
    reader=ResponsesReader,
)
