"""What adapters share that see single calls of a model: those of clients, callbacks, proxies.

`CallRecorder` is where such an adapter begins; `CHAT`, `RESPONSES` and `ANTHROPIC` are the formats it can speak.
"""

from __future__ import annotations

from .anthropic import Anthropic
from .chat import Chat
from .format import Assembler, ModelAnswer, Piece, WireFormat
from .responses import Responses
from .sse import Events
from .turns import CallRecorder, RecordedCall

__all__ = [
    "ANTHROPIC",
    "CHAT",
    "RESPONSES",
    "Assembler",
    "CallRecorder",
    "Events",
    "ModelAnswer",
    "Piece",
    "RecordedCall",
    "WireFormat",
]

CHAT: WireFormat = Chat()
RESPONSES: WireFormat = Responses()
ANTHROPIC: WireFormat = Anthropic()
