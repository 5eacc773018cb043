"""The chat dialect of OpenAI and of all who speak as it does, from and to the chat form, which is its own best form."""

from __future__ import annotations

from .chat_answer import answer_from_chat, answer_to_chat
from .chat_legacy import request_to_chat
from .chat_reader import ChatReader
from .chat_replay import REPLAY
from .chat_request import request_from_chat
from .chat_writer import ChatWriter
from .core import Translation

__all__ = ["REPLAY", "TRANSLATION"]

TRANSLATION = Translation(
    dialect="openai.chat",
    request_to_chat=request_to_chat,
    answer_from_chat=answer_from_chat,
    writer=ChatWriter,
    request_from_chat=request_from_chat,
    answer_to_chat=answer_to_chat,
    reader=ChatReader,
)
