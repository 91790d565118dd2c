"""For tests of adapters: clients that keep what they are given, and the contract that every adapter keeps.

    class TestMyFramework(AdapterContract):
        steps = [(my_adapter.Hooks, "before_model"), (my_adapter, "to_message")]

        async def play(self, turns, tools, client, *, streamed=False, **options):
            ...  # build an agent of your framework with `tools`, wrap it where there is a client, say the turns

`docs/extend/adapter.md` shows it for a whole adapter.
"""

from __future__ import annotations

from .capabilities import CAPABILITIES
from .contract import AdapterContract
from .engine import RealEngine, real_engine
from .fault_contract import clients_in_trouble
from .faults import InjectedFault, broken_step, full_disk, locked
from .leaks import Census, alive, census
from .memory_clients import ForwardingClient, MemoryClient, RecordedSession, UnopenedClient, lines_of, made
from .script import (
    ASKING_TALK,
    CANCELLED_LINES,
    CANCELLED_TALK,
    FAILING_LINES,
    INVALID_LINES,
    INVALID_TALK,
    LEARNED,
    RESUMED_LINES,
    RESUMED_TALK,
    SKILLS,
    TALK,
    TALK_LINES,
    TASKS,
    TAUGHT_TALK,
    HostTools,
    Played,
    ToldTask,
    Turn,
    Use,
    failing_talk,
)

__all__ = [
    "ASKING_TALK",
    "CANCELLED_LINES",
    "CANCELLED_TALK",
    "CAPABILITIES",
    "FAILING_LINES",
    "INVALID_LINES",
    "INVALID_TALK",
    "LEARNED",
    "RESUMED_LINES",
    "RESUMED_TALK",
    "SKILLS",
    "TALK",
    "TALK_LINES",
    "TASKS",
    "TAUGHT_TALK",
    "AdapterContract",
    "Census",
    "ForwardingClient",
    "HostTools",
    "InjectedFault",
    "MemoryClient",
    "Played",
    "RealEngine",
    "RecordedSession",
    "ToldTask",
    "Turn",
    "UnopenedClient",
    "Use",
    "alive",
    "broken_step",
    "census",
    "clients_in_trouble",
    "failing_talk",
    "full_disk",
    "lines_of",
    "locked",
    "made",
    "real_engine",
]
