"""LiteLLM as a guest in the host's process: loaded late, its global state left alone, its connections closed.

What is global in LiteLLM belongs to the host. So nothing here sets anything of it, with one exception: where the host
has not imported LiteLLM yet, the import itself fetches nothing, and LiteLLM prints no hints to the host's stdout.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import inspect
import os
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cache
from types import CodeType, ModuleType
from typing import Any

from acontext_store.errors import InvalidInput
from acontext_store.forks import renewed_in_child

from .own_calls import asking

_PRICES = "LITELLM_LOCAL_MODEL_COST_MAP"
_loading = renewed_in_child(sys.modules[__name__], "_loading", threading.Lock)
_module: Any = None


def check_installed() -> None:
    """Raises InvalidInput that says how to install it."""
    if importlib.util.find_spec("litellm") is None:
        raise InvalidInput('a model is set, and LiteLLM is not installed: pip install "acontext-plugins[litellm]"')


def loaded() -> Any | None:
    """The module, where it is loaded already."""
    return _module


def load() -> Any:
    """The module. It takes seconds the first time: call it in a thread. Raises InvalidInput where it is missing."""
    global _module
    check_installed()
    with _loading:
        if _module is None:
            _module = _imported()
        return _module


def _imported() -> Any:
    if "litellm" in sys.modules:
        return importlib.import_module("litellm")
    before = os.environ.get(_PRICES)
    os.environ.setdefault(_PRICES, "True")  # else importing it asks the network for the newest prices
    try:
        module: Any = importlib.import_module("litellm")
    finally:
        if before is None:
            os.environ.pop(_PRICES, None)
    module.suppress_debug_info = True
    return module


# -- calls that LiteLLM's callbacks are not told of
_INTERNAL = "_is_litellm_internal_call"


@contextlib.contextmanager
def unlogged() -> Iterator[dict[str, Any]]:
    """Calls within are nobody's log events. Gives the arguments that they need for it.

    A success event would go to LiteLLM's logging worker, which moves to the loop that it is called from, and drops
    what it holds for the host's. LiteLLM's own inner calls skip it, in a way that differs between versions; where a
    version knows neither, `no-log` keeps at least the callbacks from being called.
    """
    ours = asking.set(True)
    inner = _inner_call()
    theirs = inner.set(True) if inner is not None else None
    try:
        yield {"no-log": True, **({_INTERNAL: True} if _takes_internal() else {})}
    finally:
        if inner is not None and theirs is not None:
            inner.reset(theirs)
        asking.reset(ours)


@cache
def _inner_call() -> ContextVar[bool] | None:
    with contextlib.suppress(ImportError):
        found = getattr(importlib.import_module("litellm._internal_context"), "is_internal_call", None)
        return found if isinstance(found, ContextVar) else None
    return None


@cache
def _takes_internal() -> bool:
    """Whether this version takes that argument off a call: an unknown one would be sent to the provider."""
    utils: ModuleType = importlib.import_module("litellm.utils")
    client = getattr(utils, "client", None)
    return inspect.isfunction(client) and _names(client.__code__, _INTERNAL)


def _names(code: CodeType, word: str) -> bool:
    return any(one == word or (isinstance(one, CodeType) and _names(one, word)) for one in code.co_consts)


# -- connections
async def close_connections() -> None:
    """Close those that LiteLLM keeps for the running loop. Those of other loops are others'."""
    module = sys.modules.get("litellm")
    kept = getattr(getattr(module, "in_memory_llm_clients_cache", None), "cache_dict", None)
    if not isinstance(kept, dict):
        return
    suffix = f"-{id(asyncio.get_running_loop())}"
    for name in [name for name in kept if isinstance(name, str) and name.endswith(suffix)]:
        client = kept.pop(name, None)
        with contextlib.suppress(Exception):
            await _close(client)


async def _close(client: Any) -> None:
    for name in ("aclose", "close"):
        close = getattr(client, name, None)
        if callable(close):
            done = close()
            if inspect.isawaitable(done):
                await done
            return
