"""The way to a model: one small protocol between this library and whatever model answers."""

from .base import LLM, Embedder, Job, Purpose, Reply, Request, ToolCall, Usage
from .structured import ask_for

__all__ = [
    "LLM",
    "Embedder",
    "Job",
    "Purpose",
    "Reply",
    "Request",
    "ToolCall",
    "Usage",
    "ask_for",
]
