"""The core of doors that see single calls of a model: clients, callbacks, proxies.

`Calls` is where a door begins; `CHAT`, `RESPONSES` and `ANTHROPIC` are the formats it can speak.
"""

from __future__ import annotations

from .anthropic import Anthropic
from .calls import Call, Calls
from .chat import Chat
from .responses import Responses
from .sse import Events
from .wire import Answer, Assembler, Piece, Wire

__all__ = ["ANTHROPIC", "CHAT", "RESPONSES", "Answer", "Assembler", "Call", "Calls", "Events", "Piece", "Wire"]

CHAT: Wire = Chat()
RESPONSES: Wire = Responses()
ANTHROPIC: Wire = Anthropic()
