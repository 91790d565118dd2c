"""What tests stand on: the contract of every `Service`, and models that answer by a script.

Names are resolved when they are first used: a scripted model needs no pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .scripted_llm import ScriptedEmbedder, ScriptedLLM
    from .scripted_server import Asked, Cut, Hang, Raw, Refusal, ScriptedServer, Status
    from .service_contract import ServiceContract

__all__ = [
    "Asked",
    "Cut",
    "Hang",
    "Raw",
    "Refusal",
    "ScriptedEmbedder",
    "ScriptedLLM",
    "ScriptedServer",
    "ServiceContract",
    "Status",
]

_MODULES = {
    **dict.fromkeys(("Asked", "Cut", "Hang", "Raw", "Refusal", "Status"), "scripted_server"),
    "ScriptedEmbedder": "scripted_llm",
    "ScriptedLLM": "scripted_llm",
    "ScriptedServer": "scripted_server",
    "ServiceContract": "service_contract",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
