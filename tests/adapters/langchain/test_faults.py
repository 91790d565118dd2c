"""Whatever goes wrong on our side, the host sees the run that it would have seen without us; and nothing stays.

The contract does this for its script and its clients; here it is done for what its script has no place for: code in
threads, interruptions, resumes, sub-agents, chains, models alone.
"""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from acontext_adapters.langchain import (
    convert,
    graph,
    handler,
    held_messages,
    middleware,
    model,
    placement,
    run_tracker,
    turns,
    wrap,
)
from acontext_adapters.shared import resent_history
from acontext_adapters.testing import MemoryClient, broken_step, clients_in_trouble
from acontext_plugins import runs
from acontext_plugins.concurrency.caches import SharedCache
from acontext_plugins.learning import learning

from .host import SKILLS, Host
from .scenarios import SCENARIOS
from .scripted import model as scripted
from .test_runs import WAYS

SOME = {
    "success_sync",
    "streamed_in_all_modes",
    "parallel_tools",
    "tool_raises",
    "history_sent_again",
    "approved_streamed",
    "tool_asks",
    "goes_on_after_a_failure",
    "retried_outside",
    "structured_answer",
    "invalid_call_repaired",
    "learned_sub_agent",
    "learned_agent_in_a_learned_graph",
    "stream_abandoned",
    "stream_abandoned_sync",
    "cancelled",
}
STEPS: list[tuple[Any, str]] = [
    (run_tracker.LangChainRunTracker, "begin"),
    (run_tracker.LangChainRunTracker, "begun"),
    (run_tracker.LangChainRunTracker, "heard"),
    (run_tracker.LangChainRunTracker, "answered"),
    (run_tracker.LangChainRunTracker, "result"),
    (run_tracker.LangChainRunTracker, "follow"),
    (run_tracker.LangChainRunTracker, "remember"),
    (run_tracker.LangChainRunTracker, "new_turn_in"),
    (run_tracker.LangChainRunTracker, "query"),
    (run_tracker.LangChainRunTracker, "skills"),
    (run_tracker.LangChainRunTracker, "askills"),
    (run_tracker.LangChainRunTracker, "_asker"),
    (run_tracker.LangChainRunTracker, "_record"),
    (run_tracker.LangChainRunTracker, "_waiting"),
    (run_tracker.LangChainRunTracker, "end"),
    (SharedCache, "__setitem__"),
    (run_tracker, "frozen"),
    (held_messages, "rough_size"),
    (held_messages, "converted"),
    (run_tracker, "items_of"),
    (run_tracker, "by_user"),
    (convert, "_parts"),
    (convert, "convert_to_messages"),
    (graph, "found"),
    (graph, "thread_of"),
    (graph, "tool_names"),
    (graph, "with_handler"),
    (graph, "messages_in"),
    (graph, "in_turns"),
    (graph, "restored"),
    (placement, "_appended"),
    (handler.AcontextCallbackHandler, "acontext_scope"),
    (handler.AcontextCallbackHandler, "_opened"),
    (handler.AcontextCallbackHandler, "_place"),
    (handler.AcontextCallbackHandler, "_closed"),
    (handler.AcontextCallbackHandler, "_over"),
    (handler.AcontextCallbackHandler, "_asked"),
    (handler.AcontextCallbackHandler, "_answer"),
    (handler, "messages_in"),
    (middleware, "found"),
    (middleware, "join"),
    (middleware, "tool_names"),
    (middleware, "in_request"),
    (middleware, "messages_in"),
    (model, "found"),
    (model, "join"),
    (model, "_messages"),
    (model, "tool_names"),
    (model, "in_prompt"),
    (turns.ConversationTurn, "answered"),
    (turns.ConversationTurn, "keep"),
    (turns.ConversationTurn, "drop"),
    (wrap, "with_handler"),
    (resent_history.Conversations, "sent"),
    (resent_history.Conversations, "answered"),
    (runs.Runtime, "start"),
    (runs.Run, "record"),
    (runs.Run, "end"),
    (runs.Run, "recall"),
    (runs.Run, "arecall"),
]


async def models_alone(host: Host) -> None:
    """A chat model and a chain, in all the ways in which they can be called."""
    chat = host.wrap(host.model(scripted("a b", "c d", "e f", "g h", RuntimeError("503"))))
    host.run_sync(chat, ["hi"])
    await host.run(chat, ["hi"])
    host.stream_sync(chat, ["hi"])
    await host.stream(chat, ["hi"])
    await host.run(chat, ["hi"])
    prompt = ChatPromptTemplate([("system", "Base."), ("human", "{x}")])
    chain = host.wrap(prompt | host.model(scripted("a b", "c d", "e f", RuntimeError("503"))) | StrOutputParser())
    host.run_sync(chain, {"x": "hi"})
    await host.run(chain, {"x": "hi"})
    await host.stream(chain, {"x": "hi"})
    host.run_sync(chain, {"x": "hi"})


DRIVEN: dict[str, Callable[[Host], Awaitable[Any]]] = {
    **{scenario.name: scenario.drive for scenario in SCENARIOS if scenario.name in SOME},
    "models_alone": models_alone,
}
UNORDERED = {scenario.name for scenario in SCENARIOS if scenario.unordered}
#: What the host sees without us; the scenarios are the same each time.
BARE: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "acontext")
    caplog.set_level(logging.CRITICAL, "langchain_core.callbacks.manager")


async def same_as_bare(way: str, memory: Any) -> None:
    for name, drive in DRIVEN.items():
        unordered = name in UNORDERED
        if name not in BARE:
            host = Host()
            await drive(host)
            BARE[name] = host.saw(unordered=unordered)
        learned = WAYS[way](memory, deadline=0.01)
        if name == "models_alone":
            learned.wrap = lambda target: learning(target, space="s", client=memory, deadline=0.01)
        await drive(learned)
        assert learned.saw(unordered=unordered) == BARE[name], name


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("owner", "step"), STEPS, ids=lambda value: getattr(value, "__name__", value))
async def test_a_step_of_ours_that_raises_changes_nothing_for_the_host(owner: Any, step: str, way: str) -> None:
    memory = MemoryClient(SKILLS)
    with broken_step(owner, step) as reached:
        await same_as_bare(way, memory)
        with contextlib.suppress(RuntimeError):  # where the recorder's thread would meet it, and go on
            assert all(session.ref.key for session in memory.sessions.values())
    assert reached or way != "handler and middleware" or owner in (graph, handler, wrap)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("trouble", clients_in_trouble())
async def test_a_memory_in_trouble_changes_nothing_for_the_host(trouble: str, way: str) -> None:
    await same_as_bare(way, clients_in_trouble()[trouble])


@pytest.mark.parametrize("way", WAYS)
async def test_many_runs_of_every_kind_leave_nothing_behind(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_tracker, "conversations", resent_history.Conversations(sessions=2))

    async def drive() -> None:
        for drive in DRIVEN.values():
            memory = MemoryClient(SKILLS)
            await drive(WAYS[way](memory, strict=True))

    def kept() -> dict[str, int]:
        gc.collect()
        kinds = (
            run_tracker.LangChainRunTracker,
            runs.Run,
            handler._Span,
            handler._Root,
            graph._Play,
            graph._ModelStep,
            MemoryClient,
        )
        found = gc.get_objects()
        return {kind.__name__: sum(type(one) is kind for one in found) for kind in kinds}

    await drive()
    before = kept()
    for _ in range(5):
        await drive()
    assert kept() == before
