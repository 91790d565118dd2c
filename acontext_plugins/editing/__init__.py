"""Context editing: shorten a conversation for a model, and never the stored one."""

from .edit import Edited, Offload, edit
from .groups import Group, groups_of
from .strategies import KINDS, parse_strategies
from .tokens import counter, estimate, message_tokens, total_tokens

__all__ = [
    "KINDS",
    "Edited",
    "Group",
    "Offload",
    "counter",
    "edit",
    "estimate",
    "groups_of",
    "message_tokens",
    "parse_strategies",
    "total_tokens",
]
