"""Extras: which of them brings a package that not every installation has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from importlib import import_module

#: Module -> the extra that brings it.
EXTRAS = {
    "agents": "openai-agents",
    "agno": "agno",
    "fastapi": "server",
    "httptools": "server",
    "langchain": "langchain",
    "langchain_core": "langchain",
    "langgraph": "langchain",
    "litellm": "litellm",
    "multipart": "server",
    "numpy": "embeddings",
    "openai": "openai",
    "python_multipart": "server",
    "starlette": "server",
    "tiktoken": "tokens",
    "uvicorn": "server",
    "uvloop": "server",
}


@contextlib.contextmanager
def naming_the_extra() -> Iterator[None]:
    """A package of an extra that is missing in here is still a ModuleNotFoundError, and says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            raise
        words = f"{missing} is not installed: pip install 'acontext-plugins[{EXTRAS[missing]}]'"
        raise ModuleNotFoundError(words, name=error.name) from error


def resolve(package: str, homes: Mapping[str, str], name: str) -> object:
    """What `package` calls `name`, out of the module of it that `homes` says, which may need an extra.

    Raises AttributeError for a name that has no home, ModuleNotFoundError that names the extra where it is missing.
    """
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    with naming_the_extra():
        found: object = getattr(import_module(f".{homes[name]}", package), name)
    return found
