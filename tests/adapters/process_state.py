"""A process of a host's, and what of it must be as it is without us: `python -m tests.adapters.process_state NAME`.

The host of that adapter runs bare first, so that the framework has done what it does. Then it is wrapped, run, its tool
called, what was recorded learned, the client closed. Whatever has changed by then, or while its tool ran, is printed as
JSON, by its name.
"""

from __future__ import annotations

import asyncio
import gc
import json
import locale
import logging
import multiprocessing
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[[Any], Any]


def state(kinds: list[type]) -> dict[str, Any]:
    """What a process has of its own, each by a name. `kinds` are the framework's classes, which nobody is to patch."""
    umask = os.umask(0)
    os.umask(umask)
    root = logging.getLogger()
    others = {name: log for name, log in sorted(root.manager.loggerDict.items()) if not name.startswith("acontext")}
    loggers = [log for log in others.values() if isinstance(log, logging.Logger)]
    found = {
        "gc enabled": gc.isenabled(),
        "gc thresholds": gc.get_threshold(),
        "gc callbacks": _who(*gc.callbacks),
        "gc debug": gc.get_debug(),
        "gc frozen": gc.get_freeze_count(),
        "signal handlers": _who(*map(signal.getsignal, signal.valid_signals())),
        "signals blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "signal wakeup": _wakeup(),
        "switch interval": sys.getswitchinterval(),
        "recursion limit": sys.getrecursionlimit(),
        "hooks": _who(sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook),
        "asyncgen hooks": _who(*sys.get_asyncgen_hooks()),
        "traces": _who(sys.gettrace(), sys.getprofile(), threading.gettrace()),
        "streams": _who(sys.stdin, sys.stdout, sys.stderr),
        "import": [sys.path[:], _who(*sys.meta_path), _who(*sys.path_hooks)],
        "asyncio policy": _who(asyncio.get_event_loop_policy()),
        "root logger": [root.level, root.disabled, _who(*root.handlers), _who(*root.filters)],
        "logging": [_who(logging.lastResort), logging.raiseExceptions, root.manager.disable],
        "logging classes": _who(logging.getLoggerClass(), logging.getLogRecordFactory()),
        "loggers of others": {
            log.name: [log.level, log.disabled, log.propagate, _who(*log.handlers), _who(*log.filters)]
            for log in loggers
        },
        "warnings filters": list(map(repr, warnings.filters)),
        "warnings shown by": _who(warnings.showwarning),
        "locale": locale.setlocale(locale.LC_ALL),
        "environment": sorted(os.environ.items()),
        "umask": umask,
        "working directory": os.getcwd(),
        "limits": [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")],
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "temporary directory": tempfile.tempdir,
        "socket timeout": socket.getdefaulttimeout(),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "classes of the framework": {
            f"{kind.__qualname__}.{name}": id(value)
            for kind in kinds
            for name, value in vars(kind).items()
            if not name.startswith(("_abc_", "__abc"))
        },
    }
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return found
    names = ("_default_executor", "_exception_handler", "_task_factory")
    return {
        **found,
        "loop": [loop.get_debug(), *_who(loop, *[getattr(loop, name, None) for name in names])],
        "loop is slow from": loop.slow_callback_duration,
    }


def _who(*things: object) -> list[str]:
    """Which objects they are, whatever state each is in."""
    return [f"{type(thing).__name__} {getattr(thing, '__qualname__', '')} at {id(thing)}" for thing in things]


def difference(before: Any, now: Any) -> Any:
    """What is not as it was; None where all of it is. What came to a table is no change of it."""
    if isinstance(before, dict) and isinstance(now, dict):
        changed = {key: [value, now.get(key)] for key, value in before.items() if now.get(key) != value}
        return changed or None
    return None if before == now else [before, now]


def _wakeup() -> int:
    number = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(number)
    return number


class Host:
    """A host's object, how it is run, and the classes that it is made of."""

    def __init__(self, target: Any, run: Run) -> None:
        self.target = target
        self.run = run
        self.kinds = [kind for kind in type(target).__mro__ if kind is not object]


def openai_agents(look: Callable[[], None]) -> Host:
    from agents import Agent, Runner, function_tool

    from .openai_agents.scripted import ScriptedModel, assistant_message, function_call

    @function_tool
    async def weather(city: str) -> str:
        """The weather."""
        look()
        return f"{city}: 21C"

    async def run(agent: Any) -> None:
        model = ScriptedModel(
            [[function_call("weather", {"city": "Oslo"}, call_id="call-1")], [assistant_message("21C")]]
        )
        await Runner.run(agent.clone(model=model), "how warm is it in Oslo?")

    host = Host(Agent(name="host", tools=[weather]), run)
    host.kinds.append(Runner)
    return host


def langchain(look: Callable[[], None]) -> Host:
    from langchain.agents import create_agent
    from langchain_core.messages import AIMessage

    from .langchain.scripted import ScriptedModel

    async def weather(city: str) -> str:
        """The weather."""
        look()
        return f"{city}: 21C"

    call = AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Oslo"}, "id": "call-1"}])
    model = ScriptedModel(steps=[call, "21C"] * 2)

    async def run(agent: Any) -> None:
        await agent.ainvoke({"messages": "how warm is it in Oslo?"})

    return Host(create_agent(model, [weather]), run)


def agno(look: Callable[[], None]) -> Host:
    from agno.agent import Agent

    from .agno.scripted import ScriptedModel, call

    async def weather(city: str) -> str:
        """The weather."""
        look()
        return f"{city}: 21C"

    script = [[call("weather", "call-1", city="Oslo")], "21C"]

    async def run(agent: Any) -> None:
        await agent.arun("how warm is it in Oslo?")

    return Host(Agent(model=ScriptedModel(script=script * 2), tools=[weather], telemetry=False), run)


def litellm(look: Callable[[], None]) -> Host:
    from litellm import Router

    model = {"model": "openai/gpt-x", "api_key": "none", "mock_response": "21C"}
    router = Router(model_list=[{"model_name": "host", "litellm_params": model}])

    async def run(router: Any) -> None:
        await router.acompletion("host", [{"role": "user", "content": "how warm is it in Oslo?"}])
        look()

    return Host(router, run)


def openai(look: Callable[[], None]) -> Host:
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    module = sys.modules[DefaultAsyncHttpxClient.__mro__[1].__module__.partition(".")[0]]
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "21C"}}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-x", "choices": [choice]}

    def answer(request: Any) -> Any:
        look()
        return module.Response(200, json=body)

    async def run(client: Any) -> None:
        question: Any = {"role": "user", "content": "how warm is it in Oslo?"}
        await client.chat.completions.create(model="gpt-x", messages=[question])

    http = module.AsyncClient(transport=module.MockTransport(answer))
    return Host(AsyncOpenAI(api_key="none", http_client=http), run)


def function(look: Callable[[], None]) -> Host:
    async def answer(question: str) -> str:
        look()
        return "21C"

    async def run(answer: Any) -> None:
        await answer("how warm is it in Oslo?")

    return Host(answer, run)


HOSTS: dict[str, Callable[[Callable[[], None]], Host]] = {
    "openai-agents": openai_agents,
    "langchain": langchain,
    "agno": agno,
    "litellm": litellm,
    "openai": openai,
    "function": function,
}


async def changes(name: str, folder: Path) -> dict[str, Any]:
    """What is not as it was, by the moment at which it was looked at."""
    looks: list[dict[str, Any]] = []
    host = HOSTS[name](lambda: looks.append(state(host.kinds)))
    random.seed(7)
    await host.run(host.target)
    numbers = random.getstate()
    before, looks[:] = state(host.kinds), []
    within: dict[str, dict[str, Any]] = {}

    from acontext_plugins import Acontext, learning
    from acontext_store.open import database_url

    within["imported"] = state(host.kinds)
    client = Acontext(database_url(folder / "memory.db"))
    within["opened"] = state(host.kinds)
    random.seed(7)
    learned = learning(host.target, space="weather", client=client)
    within["wrapped"] = state(host.kinds)
    await host.run(learned)
    assert random.getstate() == numbers, "other numbers came from `random`"
    within |= {f"while it ran ({number})": look for number, look in enumerate(looks, 1)}
    within["behind its run"] = state(host.kinds)
    assert looks, "nobody looked while it ran"
    learnt = threading.Thread(target=_learn, args=(client,))
    learnt.start()
    while learnt.is_alive():
        within["while it was learned"] = state(host.kinds)
        await asyncio.sleep(0.001)
    within["closed"] = state(host.kinds)
    return {
        moment: found
        for moment, now in within.items()
        if (found := {key: new for key in before if (new := difference(before[key], now[key])) is not None})
    }


def _learn(client: Any) -> None:
    """On a thread, since the host's loop looks at its process meanwhile."""
    client.flush()
    assert client.sessions.list().items, "nothing was recorded"
    client.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(asyncio.run(changes(sys.argv[1], Path(scratch))), default=repr))
