"""The contract that every adapter keeps, whatever the framework.

One script, the same for all, is played through the adapter; what comes of it is compared with constants
(`TALK_LINES`, `TASKS`, `LEARNED`), so that two adapters that keep the contract record the same, have the same tasks
and inject the same text.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from acontext_plugins.runs import current_run

from .capabilities import needs
from .engine import RealEngine, real_engine
from .fault_contract import FaultContract
from .faults import InjectedFault
from .leak_contract import LeakContract
from .memory_clients import ForwardingClient, MemoryClient, made
from .option_contract import OptionContract, WrappingContract
from .playing import Playing
from .script import (
    ASKING_TALK,
    CANCELLED_LINES,
    FAILING_LINES,
    FAILURE,
    INVALID_LINES,
    INVALID_TALK,
    LEARNED,
    REFUSED_TALK,
    RESUMED_LINES,
    RESUMED_TALK,
    SKILLS,
    TALK,
    TALK_FATES,
    TALK_LINES,
    TASKS,
    TAUGHT_TALK,
    HostTools,
    ToldTask,
    failing_talk,
)


class RecordingContract(Playing):
    """What is kept of a conversation."""

    async def test_each_turn_call_and_result_is_kept_once_in_one_session(self) -> None:
        memory = MemoryClient()
        await self.played(TALK, memory)
        assert self.lines(memory) == self.expected(TALK_LINES)

    async def test_what_a_bare_host_sees_and_asks_is_the_same_each_time(self) -> None:
        """All comparisons stand on it: `seen` and `prompts` hold no times, and no ids that are made anew."""
        for streamed in self.ways:
            first, second = [await self.played(TALK, streamed=streamed) for _ in range(2)]
            for name in ("seen", "prompts"):
                found = _first_difference(getattr(first, name), getattr(second, name))
                assert not found, (
                    f"two playbacks of the bare host differ in `Played.{name}`{found}. What is compared must be the "
                    "same each time: leave times and ids that are made anew out of it"
                )

    async def test_results_name_their_calls(self) -> None:
        memory = MemoryClient()
        await self.played(TALK, memory)
        parts = [part for message in memory.session.messages for part in message.parts]
        calls = {(part.meta or {})["id"] for part in parts if part.type == "tool-call"}
        results = [(part.meta or {})["tool_call_id"] for part in parts if part.type == "tool-result"]
        assert calls == set(results)
        assert len(results) == len(calls) == 3

    @needs("calls_before_results")
    async def test_calls_that_are_made_at_once_come_before_their_results(self) -> None:
        memory = MemoryClient()
        await self.played(TALK, memory)
        assert self.lines(memory) == list(TALK_LINES)

    async def test_a_call_with_arguments_that_the_tool_does_not_take_is_kept_with_its_failure(self) -> None:
        for streamed in self.ways:
            memory = MemoryClient()
            await self.played(INVALID_TALK, memory, streamed=streamed)
            assert self.lines(memory) == self.expected(INVALID_LINES)

    async def test_each_turn_is_a_run_with_its_outcome(self) -> None:
        memory = MemoryClient()
        await self.played(TALK, memory)
        runs = list(dict.fromkeys(message.run_id for message in memory.session.messages))
        assert len(runs) == 2
        outcomes = [(outcome.run_id, outcome.status) for outcome in memory.session.outcomes]
        assert outcomes == [(run, "success") for run in runs]

    @needs("streaming")
    async def test_a_stream_records_what_a_call_does(self) -> None:
        memory = MemoryClient()
        await self.played(TALK, memory, streamed=True)
        assert self.lines(memory) == self.expected(TALK_LINES)
        assert [outcome.status for outcome in memory.session.outcomes] == ["success", "success"]

    async def test_a_failure_is_the_outcome_and_the_hosts_own_exception(self) -> None:
        for streamed in self.ways:
            memory = MemoryClient()
            error = RuntimeError(FAILURE)
            seen: list[BaseException | None] = []
            try:
                await self.played(failing_talk(error), memory, streamed=streamed)
            except Exception as raised:
                seen = [raised, raised.__cause__, raised.__context__]
            # some frameworks only quote it, in an exception of their own
            assert error in seen or FAILURE in str(seen[:1]), "the host did not see its exception"
            assert self.lines(memory) == self.expected(FAILING_LINES)
            assert memory.outcome is not None
            assert memory.outcome[0] == "failed"
            assert FAILURE in memory.outcome[1]

    async def test_what_was_said_before_a_run_is_cancelled_is_kept(self) -> None:
        memory = MemoryClient()
        await self.cancelled(memory)
        assert self.lines(memory) == self.expected(CANCELLED_LINES)

    @needs("cancellation")
    async def test_a_cancelled_run_is_cancelled(self) -> None:
        memory = MemoryClient()
        await self.cancelled(memory)
        assert self.lines(memory) == self.expected(CANCELLED_LINES)
        assert memory.outcome == ("cancelled", "")

    async def test_message_ids_are_unique(self) -> None:
        memory = MemoryClient()
        await self.played(TALK, memory)
        ids = [message.id for recording in memory.recordings for message in made(recording)]
        assert len(ids) == len(set(ids))


class ResumingContract(Playing):
    """A run that waits for a person."""

    @needs("resume")
    async def test_a_run_that_waits_for_a_person_goes_on_as_the_same_run(self) -> None:
        for streamed in self.ways:
            bare = await self.played(RESUMED_TALK, streamed=streamed)
            memory = MemoryClient(SKILLS)
            played = await self.played(RESUMED_TALK, memory, streamed=streamed)
            assert self.lines(memory) == self.expected(RESUMED_LINES)
            assert len({message.run_id for message in memory.session.messages}) == 1
            outcomes = [(outcome.status, outcome.run_id) for outcome in memory.session.outcomes]
            run = memory.session.messages[0].run_id
            assert outcomes == [("interrupted", run), ("success", run)]
            assert played.seen == bare.seen
            assert [prompt.count(SKILLS) for prompt in played.prompts] == [1, 1]
            assert len(memory.queries) == 1, "skills are asked for once a run, however often it waits"


class CallFateContract(Playing):
    """What became of calls: executed is not asked for."""

    @needs("fates")
    async def test_the_fate_of_each_call_is_told(self) -> None:
        for streamed in self.ways:
            memory, tools = MemoryClient(), HostTools()
            await self.played(TALK, memory, tools=tools, streamed=streamed)
            assert sorted(self.fates(memory)) == sorted(TALK_FATES)
            assert self._executed(memory) == sorted(tools.executed)

    @needs("fates")
    async def test_a_call_that_the_tool_did_not_take_has_not_been_executed(self) -> None:
        for streamed in self.ways:
            memory, tools = MemoryClient(), HostTools()
            await self.played(INVALID_TALK, memory, tools=tools, streamed=streamed)
            assert self._executed(memory) == ["weather Oslo"] == tools.executed
            assert [fate for fate in self.fates(memory) if "assumed" in fate] == []

    @needs("fates")
    async def test_a_call_that_was_cancelled_is_not_finished(self) -> None:
        memory = MemoryClient()
        await self.cancelled(memory)
        noted = "calls_before_results" not in self.unsupported
        assert self.fates(memory) == (["slow Oslo: unfinished"] if noted else [])

    @needs("refusal")
    async def test_a_call_that_a_person_refused_has_not_been_executed(self) -> None:
        for streamed in self.ways:
            memory, tools = MemoryClient(), HostTools()
            await self.played(REFUSED_TALK, memory, tools=tools, streamed=streamed)
            assert tools.executed == [], "the host's person was to refuse the call, and it was executed"
            assert self.fates(memory) == ["guarded Vault: refused"]
            assert [fate.by for fate in memory.session.told.values()] == ["person"]

    def _executed(self, memory: MemoryClient) -> list[str]:
        found = [fate.rpartition(": ") for fate in self.fates(memory)]
        return sorted(call for call, _, status in found if status in ("executed", "failed"))


class InjectingContract(Playing):
    """What stands in prompts."""

    async def test_skills_are_in_every_prompt_once_and_in_nothing_that_is_kept(self) -> None:
        for streamed in self.ways:
            memory = MemoryClient(SKILLS)
            played = await self.played(TALK, memory, streamed=streamed)  # which searches what the host keeps
            assert len(played.prompts) == 4
            assert [prompt.count(SKILLS) for prompt in played.prompts] == [1, 1, 1, 1]
            kept = "".join(message.model_dump_json() for message in memory.session.messages)
            assert "acontext-skills" not in kept

    async def test_skills_are_asked_for_once_a_run_with_the_users_newest_words(self) -> None:
        memory = MemoryClient(SKILLS)
        await self.played(TALK, memory)
        assert [query.text for query in memory.queries] == [turn.says for turn in TALK]
        assert all({"weather", "broken", "slow"} <= set(query.tools or ()) for query in memory.queries)

    async def test_the_host_sees_what_it_sees_without_us(self) -> None:
        for streamed in self.ways:
            bare = await self.played(TALK, streamed=streamed)
            wrapped = await self.played(TALK, MemoryClient(SKILLS), streamed=streamed)
            assert wrapped.seen == bare.seen


class ContextContract(Playing):
    """Where a run is the current one."""

    @needs("current_run_in_tools")
    async def test_tools_are_called_inside_of_their_run(self) -> None:
        for streamed in self.ways:
            memory, tools = MemoryClient(), HostTools()
            await self.played(TALK, memory, tools=tools, streamed=streamed)
            first, second = dict.fromkeys(message.run_id for message in memory.session.messages)
            assert tools.runs == [first, first, second]

    async def test_a_run_is_not_current_in_the_code_that_asked_for_it(self) -> None:
        for streamed in self.ways:
            played = await self.played(TALK, MemoryClient(SKILLS), streamed=streamed)
            assert played.leaked == []
            assert current_run() is None
            with contextlib.suppress(Exception):
                await self.played(failing_talk(RuntimeError(FAILURE)), MemoryClient(SKILLS), streamed=streamed)
            assert current_run() is None


class StrictContract(Playing):
    """`strict=True` is for tests: it hides nothing."""

    async def test_strict_changes_nothing_where_all_is_well(self) -> None:
        for streamed in self.ways:
            memory = MemoryClient(SKILLS)
            bare = await self.played(TALK, streamed=streamed)
            played = await self.played(TALK, memory, streamed=streamed, strict=True)
            assert played.seen == bare.seen
            assert self.lines(memory) == self.expected(TALK_LINES)

    @needs("strict")
    async def test_strict_raises_what_goes_wrong_with_the_memory(self) -> None:
        for streamed in self.ways:
            for memory in (
                MemoryClient(SKILLS, record_error=InjectedFault("the memory fails")),
                MemoryClient(SKILLS, recall_error=InjectedFault("the memory fails")),
            ):
                raised = None
                try:
                    await self.play(TALK, HostTools(), memory, streamed=streamed, strict=True)
                except Exception as error:
                    raised = error
                assert raised is not None, "strict=True hid what went wrong with the memory"


class EngineContract(Playing):
    """What the real engine makes of it: the same tasks and the same skill, whatever the framework."""

    async def test_the_tasks_are_those_of_every_other_framework(self) -> None:
        for streamed in self.ways:
            async with real_engine() as engine:
                memory = ForwardingClient(engine.client)
                await self.played(TALK, memory, streamed=streamed)
                with contextlib.suppress(Exception):
                    await self.played(failing_talk(RuntimeError(FAILURE)), memory, streamed=streamed)
                await self.cancelled(memory)
                await engine.flush()
                assert self.told(engine) == self.tasks()

    def tasks(self) -> tuple[tuple[ToldTask, ...], ...]:
        """`TASKS` as this adapter records them."""
        *others, (cancelled,) = [
            tuple(dataclasses.replace(task, lines=tuple(self.expected(task.lines))) for task in tasks)
            for tasks in TASKS
        ]
        if "fates" in self.unsupported:
            cancelled = dataclasses.replace(cancelled, progresses=("called slow: no result",))
        if "cancellation" in self.unsupported:  # nobody says that the run is over
            cancelled = dataclasses.replace(cancelled, status="running")
        if "calls_before_results" in self.unsupported:
            cancelled = dataclasses.replace(cancelled, progresses=())
        return (*others, (cancelled,))

    def told(self, engine: RealEngine) -> tuple[tuple[ToldTask, ...], ...]:
        """The tasks of each conversation. Every message of a task says which one it belongs to."""
        found = []
        for session in engine.sessions():
            messages = engine.messages(session)
            lines = iter(self.canonical(messages))  # a line for each part, and no task shares one with another
            tasks = []
            for task in engine.tasks(session):
                linked = [message for message in messages if message.task_id == task.id]
                assert [m.seq for m in linked] == list(range(task.first_seq, task.last_seq + 1))
                tasks.append(
                    ToldTask(
                        task.order,
                        task.status,
                        task.data["task_description"],
                        tuple(task.data.get("progresses", ())),
                        tuple(itertools.islice(lines, sum(len(message.parts) for message in linked))),
                    )
                )
            found.append(tuple(tasks))
        return tuple(found)

    async def test_what_one_user_taught_is_injected_for_the_next_to_the_byte(self) -> None:
        for streamed in self.ways:
            async with real_engine() as engine:
                await self.played(TAUGHT_TALK, ForwardingClient(engine.client), streamed=streamed)
                await engine.flush()
                played = await self.played(ASKING_TALK, ForwardingClient(engine.client), streamed=streamed)
                for prompt in played.prompts:
                    assert LEARNED in prompt
                    assert prompt.count("acontext-skills") == 2
                assert len(played.prompts) == 2


def _first_difference(first: Sequence[Any], second: Sequence[Any]) -> str:
    """Where two lists of values begin to differ, in words; "" where they do not."""
    if first == second:
        return ""
    for number, (one, other) in enumerate(itertools.zip_longest(first, second)):
        if one != other:
            texts = (one if isinstance(one, str) else repr(one), other if isinstance(other, str) else repr(other))
            at = next((n for n, pair in enumerate(itertools.zip_longest(*texts)) if pair[0] != pair[1]), 0)
            begin = max(0, at - 40)
            return f"[{number}]: once {texts[0][begin : at + 40]!r}, once {texts[1][begin : at + 40]!r}"
    return ""


# pytest takes the tests of the last base first: what is simple, then what follows from it, and what takes long
class AdapterContract(
    LeakContract,
    FaultContract,
    EngineContract,
    WrappingContract,
    OptionContract,
    StrictContract,
    ResumingContract,
    CallFateContract,
    ContextContract,
    InjectingContract,
    RecordingContract,
):
    """What every adapter promises. Subclass it in a test module and say how your framework plays a script.

    Needed are `play` and `steps`; `unsupported`, `words_of` and `runs` where the framework asks for it. The tests are
    coroutines: run them with pytest-asyncio, `asyncio_mode = "auto"`. The one that makes `runs` runs has the marker
    `slow`.
    """
