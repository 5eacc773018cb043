"""Google's generateContent, from and to the chat form."""

from __future__ import annotations

from .core import Translation
from .gemini_answer import answer_to_chat
from .gemini_caller import request_to_chat
from .gemini_reader import GenerateReader
from .gemini_replay import REPLAY
from .gemini_request import request_from_chat
from .gemini_said import answer_from_chat
from .gemini_writer import GenerateWriter

__all__ = ["REPLAY", "TRANSLATION"]

TRANSLATION = Translation(
    dialect="gemini.generate",
    request_to_chat=request_to_chat,
    answer_from_chat=answer_from_chat,
    writer=GenerateWriter,
    request_from_chat=request_from_chat,
    answer_to_chat=answer_to_chat,
    reader=GenerateReader,
)
