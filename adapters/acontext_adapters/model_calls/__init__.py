"""The core of doors that see single calls of a model: clients, callbacks, proxies.

`Calls` is where a door begins; `CHAT`, `RESPONSES` and `ANTHROPIC` are the formats it can speak.
"""

from __future__ import annotations

from .anthropic import Anthropic
from .chat import Chat
from .format import Answer, Assembler, Piece, Wire
from .responses import Responses
from .sse import Events
from .turns import Call, Calls

__all__ = ["ANTHROPIC", "CHAT", "RESPONSES", "Answer", "Assembler", "Call", "Calls", "Events", "Piece", "Wire"]

CHAT: Wire = Chat()
RESPONSES: Wire = Responses()
ANTHROPIC: Wire = Anthropic()
