"""Anthropic's Messages and the chat form, both ways; and its streams kept whole."""

from __future__ import annotations

from .anthropic_answer import answer_from_chat, answer_to_chat
from .anthropic_caller import request_to_chat
from .anthropic_reader import MessagesReader
from .anthropic_replay import REPLAY
from .anthropic_request import request_from_chat
from .anthropic_writer import MessagesWriter
from .core import Translation

__all__ = ["REPLAY", "TRANSLATION"]

TRANSLATION = Translation(
    dialect="anthropic.messages",
    request_to_chat=request_to_chat,
    answer_from_chat=answer_from_chat,
    writer=MessagesWriter,
    request_from_chat=request_from_chat,
    answer_to_chat=answer_to_chat,
    reader=MessagesReader,
)
