"""What is played through every adapter, and what must come of it: the same words whatever the framework."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from acontext_plugins.runs import current_run


@dataclass(frozen=True)
class Use:
    """The model calls a tool. Several in one step are parallel calls."""

    tool: str
    call_id: str
    city: str = "Oslo"
    #: The model gives arguments that the tool does not take.
    invalid: bool = False
    #: The host's person refuses it (of `HostTools.guarded`).
    refused: bool = False

    @property
    def arguments(self) -> dict[str, object]:
        """What the model gives to the tool."""
        return {"town": 1} if self.invalid else {"city": self.city}


@dataclass(frozen=True)
class Turn:
    """What the user says, and what the model does then: calls of tools, words, or an exception, a step each."""

    says: str
    steps: tuple[tuple[Use, ...] | str | Exception, ...]


@dataclass
class Played:
    """What came of a playback, as its host knows it.

    What comes while a stream is read goes through `see`, so that the contract knows whether the run has leaked
    into the code that reads it.
    """

    #: What the host has seen, as plain values that can be compared: without times, and without ids that are made anew.
    seen: list[Any] = field(default_factory=list)
    #: The text of each call of the model: instructions first, then the messages in their order. Without times and ids.
    prompts: list[str] = field(default_factory=list)
    #: JSON (text, or lists and dicts) of all that the host keeps when the talk is over: its messages, its state, what
    #: it has stored. Needed. It is searched for skills, and never compared: times and ids may stand in it.
    history: object = None
    #: Ids of runs that were current in the host's own code, where none may be.
    leaked: list[str] = field(default_factory=list)

    def see(self, value: Any) -> None:
        """The host sees a value, in its own code: not in a tool."""
        self.seen.append(value)
        run = current_run()
        if run is not None:
            self.leaked.append(run.id)


class HostTools:
    """The host's tools, as plain functions: an adapter's test makes its framework's tools of them."""

    def __init__(self, meanwhile: Callable[[], object] | None = None) -> None:
        #: Set when `slow` has been called; it never comes back by itself.
        self.started = asyncio.Event()
        #: The id of what was the current run in each call of a tool, in order.
        self.runs: list[str | None] = []
        #: What was really executed, and came to its end: `weather Oslo`, in order. Fates are held against it.
        self.executed: list[str] = []
        self._meanwhile = meanwhile

    def _called(self, ends: str = "") -> None:
        if ends:
            self.executed.append(ends)
        run = current_run()
        self.runs.append(run.id if run is not None else None)
        if self._meanwhile is not None:
            self._meanwhile()

    def weather(self, city: str) -> str:
        """The weather in a city."""
        self._called(f"weather {city}")
        return f"21C in {city}"

    def broken(self, city: str) -> str:
        """Always fails."""
        self._called(f"broken {city}")
        raise ValueError(f"no such city: {city}")

    def guarded(self, city: str) -> str:
        """May only be called when a person has approved: where the framework can ask for that."""
        self._called(f"guarded {city}")
        return f"opened in {city}"

    async def slow(self, city: str) -> str:
        """Takes for ever."""
        self._called()
        self.started.set()
        await asyncio.sleep(3600)
        return "late"


#: What a client gives where the contract is not about learning.
SKILLS = '<acontext-skills id="c0ffee01">\nUse when: weather\n1. weather: ask for the city\n</acontext-skills>'

#: Words that stand in skills and nowhere else in a script.
SKILL_WORDS = ("acontext-skills", "ask for the city", "What worked in earlier runs", "weather then worked")

#: Two turns: parallel calls, then a tool that fails.
TALK = (
    Turn("weather in Oslo and Rome?", ((Use("weather", "c1"), Use("weather", "c2", "Rome")), "21C in both")),
    Turn("and in Nowhere?", ((Use("broken", "c3", "Nowhere"),), "there is no such place")),
)

#: The same in the contract's words: who, which call, what. Calls are numbered in order; an error's words are the
#: framework's own, so that only the flag counts.
TALK_LINES = (
    "user: weather in Oslo and Rome?",
    'assistant c1 call: weather {"city":"Oslo"}',
    'assistant c2 call: weather {"city":"Rome"}',
    "tool c1 result: 21C in Oslo",
    "tool c2 result: 21C in Rome",
    "assistant: 21C in both",
    "user: and in Nowhere?",
    'assistant c3 call: broken {"city":"Nowhere"}',
    "tool c3 error",
    "assistant: there is no such place",
)

#: The model gives a tool arguments that it does not take, then better ones.
INVALID_TALK = (Turn("weather, please", ((Use("weather", "c1", invalid=True),), (Use("weather", "c2"),), "21C")),)
INVALID_LINES = (
    "user: weather, please",
    'assistant c1 call: weather {"town":1}',
    "tool c1 error",
    'assistant c2 call: weather {"city":"Oslo"}',
    "tool c2 result: 21C in Oslo",
    "assistant: 21C",
)

#: One turn whose tool waits for a person: the host approves, and lets the run go on.
RESUMED_TALK = (Turn("open the gate", ((Use("guarded", "c1"),), "it is open")),)
RESUMED_LINES = (
    "user: open the gate",
    'assistant c1 call: guarded {"city":"Oslo"}',
    "tool c1 result: opened in Oslo",
    "assistant: it is open",
)

#: One turn whose tool a person refuses, by the framework's own means.
REFUSED_TALK = (Turn("open the vault", ((Use("guarded", "c1", "Vault", refused=True),), "it stays shut")),)

#: What became of the calls of the talks, in the contract's words; for `INVALID_TALK` see the contract.
TALK_FATES = ("weather Oslo: executed", "weather Rome: executed", "broken Nowhere: failed")

#: One turn that somebody cancels while its tool is at work.
CANCELLED_TALK = (Turn("wait", ((Use("slow", "c1"),), "never")),)
CANCELLED_LINES = ("user: wait", 'assistant c1 call: slow {"city":"Oslo"}')


#: What the model's failure says.
FAILURE = "503 upstream"


def failing_talk(error: Exception) -> tuple[Turn, ...]:
    """One turn in which the model fails after its tool has answered."""
    return (Turn("weather in Bergen?", ((Use("weather", "c1", "Bergen"),), error)),)


FAILING_LINES = (
    "user: weather in Bergen?",
    'assistant c1 call: weather {"city":"Bergen"}',
    "tool c1 result: 21C in Bergen",
)


@dataclass(frozen=True)
class ToldTask:
    """A task as the engine tells of it, and its messages in the contract's words."""

    order: int
    status: str
    description: str
    progresses: tuple[str, ...]
    lines: tuple[str, ...]


#: What the engine makes of these talks, one conversation each.
TASKS = (
    (
        ToldTask(
            1, "success", "weather in Oslo and Rome?", ("called weather: ok", "called weather: ok"), TALK_LINES[:6]
        ),
        ToldTask(2, "failed", "and in Nowhere?", ("called broken: error",), TALK_LINES[6:]),
    ),
    (ToldTask(1, "failed", "weather in Bergen?", ("called weather: ok",), FAILING_LINES),),
    (ToldTask(1, "pending", "wait", ("called slow: not finished",), CANCELLED_LINES),),
)

#: An agent that takes the wrong tool first, is corrected and thanked; enough for a skill.
TAUGHT_TALK = (
    Turn(
        "How warm is it in Oslo?",
        ((Use("broken", "c1"),), (Use("weather", "c2"),), "It is 21C in Oslo."),
    ),
    Turn("No, that is wrong. Always ask weather and never broken.", ((Use("weather", "c3"),), "It is 21C.")),
    Turn("Thank you, perfect!", ("You are welcome.",)),
)
#: Another user's question, later.
ASKING_TALK = (Turn("How warm is it in Lima?", ((Use("weather", "c1", "Lima"),), "It is 21C in Lima.")),)
#: What stands in the prompts of that run, to the byte.
LEARNED = """\
<acontext-skills id="f92441fb">
What worked in earlier runs like this one (reference, not orders; the user's words come first):

Use when: weather: How warm is it in {city}?
Prefer: Always ask weather and never broken.
1. weather: city from user
Avoid: broken can fail: weather then worked
</acontext-skills>"""
