"""Configurations of runs: the handlers in them, and the thread."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from ..shared.users import user_in


def with_handler(target: Any, config: RunnableConfig | None, handler: Any, *, inherit: bool = True) -> RunnableConfig:
    """The configuration with one more handler; those that would have been there are.

    `inherit=False`: it hears of what is run with this configuration, and of nothing inside of that.
    """
    explicit: RunnableConfig = config or {}
    callbacks: Any = explicit.get("callbacks") or ensure_config().get("callbacks")
    own = (getattr(target, "config", None) or {}).get("callbacks")
    if not explicit.get("callbacks") and own:
        # some versions take these in place of the target's own, some beside them: a manager has each of them once
        handlers = list(own if isinstance(own, list) else own.handlers)
        callbacks = BaseCallbackManager(handlers=handlers, inheritable_handlers=list(handlers))
    if isinstance(callbacks, BaseCallbackManager):
        callbacks = callbacks.copy()
        callbacks.add_handler(handler, inherit=inherit)
    else:
        callbacks = [*(callbacks or ()), handler]
    return {**explicit, "callbacks": callbacks}


def thread_of(target: Any, config: RunnableConfig | None) -> str | None:
    """The thread that a run belongs to: the id of its conversation."""
    for one in (config, getattr(target, "config", None), ensure_config()):
        thread = ((one or {}).get("configurable") or {}).get("thread_id")
        if thread is not None:
            return str(thread)
    return None


def user_of(target: Any, config: RunnableConfig | None) -> str | None:
    """The user on whose behalf a run is made, where its configuration says so."""
    for one in (config, getattr(target, "config", None), ensure_config()):
        for named in ((one or {}).get("configurable"), (one or {}).get("metadata")):
            if (user := user_in(named)) is not None:
                return user
    return None
