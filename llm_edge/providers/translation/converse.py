"""Bedrock's Converse and the chat form, both ways."""

from __future__ import annotations

from .converse_answer import answer_to_chat
from .converse_caller import request_to_chat
from .converse_reader import ConverseReader
from .converse_request import request_from_chat
from .converse_said import answer_from_chat
from .converse_writer import ConverseWriter
from .core import Translation

__all__ = ["TRANSLATION"]

TRANSLATION = Translation(
    dialect="bedrock.converse",
    request_to_chat=request_to_chat,
    answer_from_chat=answer_from_chat,
    writer=ConverseWriter,
    request_from_chat=request_from_chat,
    answer_to_chat=answer_to_chat,
    reader=ConverseReader,
)
