"""The contract that every adapter keeps, whatever the framework.

One script, the same for all, is played through the adapter; what comes of it is compared with constants
(`TALK_LINES`, `TASKS`, `LEARNED`), so that two adapters that keep the contract record the same, have the same tasks
and inject the same text.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import gc
import itertools
import json
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from acontext_plugins.runs import Run, current_run
from acontext_plugins.service import Recording
from acontext_store.types import Message

from .doors import ClientDoor, RecordingDoor, UnopenedClient, lines_of, made
from .engine import RealEngine, real_engine
from .faults import broken_step, full_disk, locked
from .leaks import census
from .script import (
    ASKING_TALK,
    CANCELLED_LINES,
    CANCELLED_TALK,
    FAILING_LINES,
    LEARNED,
    SKILLS,
    TALK,
    TALK_LINES,
    TASKS,
    TAUGHT_TALK,
    Played,
    ToldTask,
    Tools,
    Turn,
    Use,
    failing_talk,
)

FAILURE = "503 upstream"
#: Made anew for each playback: an exception that is raised again grows by all that it has been through.
TALKS: dict[str, Callable[[], Sequence[Turn]]] = {
    "talk": lambda: TALK,
    "failing": lambda: failing_talk(RuntimeError(FAILURE)),
}
#: Runs in a round of the leak test: a talk of two turns, called and streamed, one that fails, one that is cancelled.
RUNS_A_ROUND = 6


@dataclass(frozen=True)
class _Seen:
    """All that a host can tell of a playback."""

    seen: list[Any]
    raised: str
    prompts: list[str]


#: What a host sees by talk and way of playing: bare, and with skills.
_Expected = dict[tuple[str, bool], tuple[_Seen, _Seen]]


class Playing(abc.ABC):
    """How a framework plays a script: what an adapter's author says, and short ways to ask for it."""

    #: Functions of the adapter that are called while a run goes on, as (class or module, name): each is made to raise.
    #: Those that only run while an object is being wrapped are none.
    steps: ClassVar[Sequence[tuple[Any, str]]] = ()
    #: How many runs the leak test makes; fewer where one takes long.
    runs: ClassVar[int] = 1000
    #: Whether tools are called inside of a run. False where the host calls them itself, between two model calls.
    tools_run_inside: ClassVar[bool] = True

    @abc.abstractmethod
    async def play(
        self, turns: Sequence[Turn], tools: Tools, door: RecordingDoor | None, *, streamed: bool = False
    ) -> Played:
        """One agent, one conversation, turn by turn. With a door the agent is wrapped (not strict), else it is bare.

        The door goes to `learning(..., client=door, space="s", deadline=0.01)`. Exceptions of the run are raised,
        once they are in `seen` or not.
        """

    def words_of(self, line: str) -> str:
        """A line of a session in the contract's words; for frameworks that put theirs around the text of errors."""
        return "error" if line.startswith("error: ") else line

    def lines(self, door: RecordingDoor) -> list[str]:
        """What the only session of a door holds, in the contract's words."""
        return self.canonical(door.session.messages)

    def canonical(self, messages: Sequence[Message]) -> list[str]:
        """Messages in the contract's words, a line for each part (see `TALK_LINES`).

        Calls are numbered in order. Results of parallel calls come in the order of their calls.
        """
        numbers: dict[Any, int] = {}
        lines: list[tuple[int, int, str]] = []
        block = 0
        for message in messages:
            for part, line in zip(message.parts, lines_of(message), strict=True):
                words = self.words_of(line)
                meta = part.meta or {}
                if part.type == "tool-call":
                    number = numbers.setdefault(meta.get("id"), len(numbers) + 1)
                    arguments = json.dumps(json.loads(meta["arguments"]), sort_keys=True, separators=(",", ":"))
                    block += 1
                    lines.append((block, 0, f"{message.role} c{number} call: {meta.get('name')} {arguments}"))
                elif part.type == "tool-result":
                    number = numbers.get(meta.get("tool_call_id"), 0)
                    lines.append((block, number, f"{message.role} c{number} {words}"))
                else:
                    block += 1
                    lines.append((block, 0, words))
        return [line for _, _, line in sorted(lines, key=lambda item: item[:2])]

    async def cancelled(self, door: RecordingDoor | None) -> None:
        """Play a run and cancel it while its tool is at work."""
        tools = Tools()
        playing = asyncio.create_task(self.play(CANCELLED_TALK, tools, door))
        started = asyncio.create_task(tools.started.wait())
        await asyncio.wait((playing, started), return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        playing.cancel()
        try:
            await playing
        except asyncio.CancelledError:
            return
        raise AssertionError("the host did not see its cancellation")


class RecordingContract(Playing):
    """What is kept of a conversation."""

    async def test_each_turn_call_and_result_is_kept_once_in_one_session(self) -> None:
        door = RecordingDoor()
        await self.play(TALK, Tools(), door)
        assert self.lines(door) == list(TALK_LINES)

    async def test_results_name_their_calls(self) -> None:
        door = RecordingDoor()
        await self.play(TALK, Tools(), door)
        parts = [part for message in door.session.messages for part in message.parts]
        calls = {(part.meta or {})["id"] for part in parts if part.type == "tool-call"}
        results = [(part.meta or {})["tool_call_id"] for part in parts if part.type == "tool-result"]
        assert calls == set(results)
        assert len(results) == len(calls) == 3

    async def test_each_turn_is_a_run_with_its_outcome(self) -> None:
        door = RecordingDoor()
        await self.play(TALK, Tools(), door)
        runs = list(dict.fromkeys(message.run_id for message in door.session.messages))
        assert len(runs) == 2
        outcomes = [(outcome.run_id, outcome.status) for outcome in door.session.outcomes]
        assert outcomes == [(run, "success") for run in runs]

    async def test_a_stream_records_what_a_call_does(self) -> None:
        door = RecordingDoor()
        await self.play(TALK, Tools(), door, streamed=True)
        assert self.lines(door) == list(TALK_LINES)
        assert [outcome.status for outcome in door.session.outcomes] == ["success", "success"]

    async def test_a_failure_is_the_outcome_and_the_hosts_own_exception(self) -> None:
        for streamed in (False, True):
            door = RecordingDoor()
            error = RuntimeError(FAILURE)
            seen: list[BaseException | None] = []
            try:
                await self.play(failing_talk(error), Tools(), door, streamed=streamed)
            except Exception as raised:
                seen = [raised, raised.__cause__, raised.__context__]
            # some frameworks only quote it, in an exception of their own
            assert error in seen or FAILURE in str(seen[:1]), "the host did not see its exception"
            assert self.lines(door) == list(FAILING_LINES)
            assert door.outcome is not None
            assert door.outcome[0] == "failed"
            assert FAILURE in door.outcome[1]

    async def test_a_cancelled_run_is_cancelled(self) -> None:
        door = RecordingDoor()
        await self.cancelled(door)
        assert self.lines(door) == list(CANCELLED_LINES)
        assert door.outcome == ("cancelled", "")

    async def test_message_ids_are_unique(self) -> None:
        door = RecordingDoor()
        await self.play(TALK, Tools(), door)
        ids = [message.id for recording in door.recordings for message in made(recording)]
        assert len(ids) == len(set(ids))


class InjectingContract(Playing):
    """What stands in prompts."""

    async def test_skills_are_in_every_prompt_once_and_in_nothing_that_is_kept(self) -> None:
        for streamed in (False, True):
            door = RecordingDoor(SKILLS)
            played = await self.play(TALK, Tools(), door, streamed=streamed)
            assert len(played.prompts) == 4
            assert [prompt.count(SKILLS) for prompt in played.prompts] == [1, 1, 1, 1]
            kept = "".join(message.model_dump_json() for message in door.session.messages)
            assert "acontext-skills" not in kept

    async def test_skills_are_asked_for_once_a_run_with_the_users_newest_words(self) -> None:
        door = RecordingDoor(SKILLS)
        await self.play(TALK, Tools(), door)
        assert [query.text for query in door.queries] == [turn.says for turn in TALK]
        assert all({"weather", "broken", "slow"} <= set(query.tools or ()) for query in door.queries)

    async def test_the_host_sees_what_it_sees_without_us(self) -> None:
        for streamed in (False, True):
            bare = await self.play(TALK, Tools(), None, streamed=streamed)
            wrapped = await self.play(TALK, Tools(), RecordingDoor(SKILLS), streamed=streamed)
            assert wrapped.seen == bare.seen


class ContextContract(Playing):
    """Where a run is the current one."""

    async def test_tools_are_called_inside_of_their_run(self) -> None:
        if not self.tools_run_inside:
            return
        for streamed in (False, True):
            door, tools = RecordingDoor(), Tools()
            await self.play(TALK, tools, door, streamed=streamed)
            first, second = dict.fromkeys(message.run_id for message in door.session.messages)
            assert tools.runs == [first, first, second]

    async def test_a_run_is_not_current_in_the_code_that_asked_for_it(self) -> None:
        for streamed in (False, True):
            played = await self.play(TALK, Tools(), RecordingDoor(SKILLS), streamed=streamed)
            assert played.leaked == []
            assert current_run() is None
            with contextlib.suppress(Exception):
                await self.play(failing_talk(RuntimeError(FAILURE)), Tools(), RecordingDoor(SKILLS), streamed=streamed)
            assert current_run() is None


class EngineContract(Playing):
    """What the real engine makes of it: the same tasks and the same skill, whatever the framework."""

    async def test_the_tasks_are_those_of_every_other_framework(self) -> None:
        for streamed in (False, True):
            async with real_engine() as engine:
                door = ClientDoor(engine.client)
                await self.play(TALK, Tools(), door, streamed=streamed)
                with contextlib.suppress(Exception):
                    await self.play(failing_talk(RuntimeError(FAILURE)), Tools(), door, streamed=streamed)
                await self.cancelled(door)
                await engine.flush()
                assert self.told(engine) == TASKS

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
        for streamed in (False, True):
            async with real_engine() as engine:
                await self.play(TAUGHT_TALK, Tools(), ClientDoor(engine.client), streamed=streamed)
                await engine.flush()
                played = await self.play(ASKING_TALK, Tools(), ClientDoor(engine.client), streamed=streamed)
                for prompt in played.prompts:
                    assert LEARNED in prompt
                    assert prompt.count("acontext-skills") == 2
                assert len(played.prompts) == 2


class FaultContract(Playing):
    """Whatever goes wrong on our side, the host sees the run that it would have seen without us."""

    async def test_a_step_of_ours_that_raises_changes_nothing_for_the_host(self) -> None:
        assert self.steps, "say in `steps` which functions of the adapter are called while a run goes on"
        expected = await self._expected()
        changed: dict[str, Any] = {}
        for owner, name in self.steps:
            with broken_step(owner, name) as reached:
                found = await self._differences(expected, SKILLS)
            if found or not reached:
                step = f"{getattr(owner, '__name__', owner)}.{name}"
                changed[step] = found or "was not reached: it is no step, or the script has no place for it"
        assert changed == {}

    async def test_a_memory_in_trouble_changes_nothing_for_the_host(self) -> None:
        expected = await self._expected()
        trouble = {
            "record raises": RecordingDoor(record_error=RuntimeError("disk")),
            "recall raises": RecordingDoor(recall_error=RuntimeError("index")),
            "recall hangs": RecordingDoor(hang=True),
            "recall is late": RecordingDoor(SKILLS, delay=0.05),
            "the client cannot be opened": UnopenedClient(),
        }
        changed = {name: await self._differences(expected, door) for name, door in trouble.items()}
        assert {name: found for name, found in changed.items() if found} == {}

    async def test_a_database_that_is_locked_changes_nothing_and_loses_nothing(self) -> None:
        expected = await self._expected()
        async with real_engine() as engine:
            with locked(engine.database):
                for streamed in (False, True):
                    door = ClientDoor(engine.client, patient=False)
                    assert await self._difference(expected, "talk", door, streamed=streamed) == ""
            await engine.flush()
            kept = [self.canonical(engine.messages(session)) for session in engine.sessions()]
            assert kept == [list(TALK_LINES)] * 2

    async def test_a_disk_that_is_full_changes_nothing(self) -> None:
        expected = await self._expected()
        async with real_engine() as engine:
            for streamed in (False, True):
                with full_disk():
                    door = ClientDoor(engine.client, patient=False)
                    found = await self._difference(expected, "talk", door, streamed=streamed)
                assert found == ""

    async def test_a_client_that_is_closed_while_a_run_goes_on_changes_nothing(self) -> None:
        expected = await self._expected()
        for streamed in (False, True):
            async with real_engine() as engine:
                door, tools = ClientDoor(engine.client, patient=False), Tools(engine.client.close)
                assert await self._difference(expected, "talk", door, streamed=streamed, tools=tools) == ""

    async def _expected(self) -> _Expected:
        """What the host sees of each talk, called and streamed: bare, and with skills in its prompts."""
        found = {}
        for streamed in (False, True):
            for name, make in TALKS.items():
                bare = await self._seen(make(), None, streamed=streamed)
                found[name, streamed] = bare, await self._seen(make(), RecordingDoor(SKILLS), streamed=streamed)
        return found

    async def _differences(self, expected: _Expected, door: str | RecordingDoor) -> list[str]:
        """What the host sees of all talks that is not as expected. Text stands for a door of its own each time."""
        found = []
        for name, streamed in expected:
            one = RecordingDoor(door) if isinstance(door, str) else door
            found.append(await self._difference(expected, name, one, streamed=streamed))
            with contextlib.suppress(Exception):
                assert one.sessions is not None  # makes the messages, as the recorder's thread does
        await self.cancelled(RecordingDoor(door) if isinstance(door, str) else door)
        return [words for words in found if words]

    async def _difference(
        self, expected: _Expected, name: str, door: RecordingDoor, *, streamed: bool, tools: Tools | None = None
    ) -> str:
        """How a playback differs from what is expected of it; "" where it does not."""
        bare, skilled = expected[name, streamed]
        now = await self._seen(TALKS[name](), door, streamed=streamed, tools=tools)
        how = f"{name}, {'streamed' if streamed else 'called'}"
        if now.seen != bare.seen:
            return f"{how}: the host sees {now.seen}, bare {bare.seen}"
        if now.raised != bare.raised:
            return f"{how}: raises {now.raised!r}, bare {bare.raised!r}"
        if len(now.prompts) != len(bare.prompts):
            return f"{how}: {len(now.prompts)} calls of the model, bare {len(bare.prompts)}"
        for prompt, *known in zip(now.prompts, bare.prompts, skilled.prompts, strict=True):
            if prompt not in known:
                return f"{how}: a prompt is {prompt!r}, bare {known[0]!r}"
        return ""

    async def _seen(
        self, turns: Sequence[Turn], door: RecordingDoor | None, *, streamed: bool, tools: Tools | None = None
    ) -> _Seen:
        try:
            played = await self.play(turns, tools or Tools(), door, streamed=streamed)
        except Exception as error:
            return _Seen([], f"{type(error).__qualname__}: {error}", [])
        return _Seen(played.seen, "", played.prompts)


class _Forgetful(RecordingDoor):
    """What it is given is over at once, as with a recorder that has nothing else to do."""

    def record(self, recording: Recording) -> None:
        pass


class LeakContract(Playing):
    """Nothing stays."""

    async def test_many_runs_leave_no_object_thread_or_task_behind(self) -> None:
        """`runs` runs; what grows by less than one in a hundred runs is not of the runs.

        The host's own objects are counted against those of a bare host, since a framework may keep some, too.
        """
        rounds = max(1, self.runs // RUNS_A_ROUND)
        allowed = max(2, self.runs // 100)
        packages = {"acontext_plugins", "acontext_adapters", "acontext_store"}
        packages |= {getattr(owner, "__module__", owner.__name__).partition(".")[0] for owner, _ in self.steps}
        alive_bare = _alive([await self._round(wrapped=False) for _ in range(min(rounds, 50))])
        for _ in range(3):
            await self._round(wrapped=True)
        before = await census(packages)
        refs = [await self._round(wrapped=True) for _ in range(rounds)]
        after = await census(packages)
        assert after.grown_since(before, allowed=allowed) == {}
        assert _alive(refs) <= alive_bare + allowed, "tools of the host, or doors, are kept"

    async def test_in_a_long_conversation_only_the_run_that_goes_on_is_kept(self) -> None:
        """Counted inside of a tool, of which every turn of one agent calls one."""
        days, counts = 20, {}
        tools = Tools(lambda: counts.update({len(tools.runs): _count(Run)} if len(tools.runs) in (3, days) else {}))
        turns = [Turn(f"and on day {day}?", ((Use("weather", f"c{day}"),), "21C")) for day in range(days)]
        await self.play(turns, tools, _Forgetful(SKILLS))
        assert counts[days] - counts[3] <= 2, f"runs that are kept, by turn: {counts}"

    async def _round(self, *, wrapped: bool) -> list[weakref.ref[Any]]:
        """A talk, called and streamed, one that fails and one that is cancelled; their tools and doors."""
        refs: list[weakref.ref[Any]] = []
        for turns, streamed in ((TALK, False), (TALK, True), (failing_talk(RuntimeError(FAILURE)), False)):
            tools, door = Tools(), RecordingDoor(SKILLS) if wrapped else None
            with contextlib.suppress(RuntimeError):
                await self.play(turns, tools, door, streamed=streamed)
            refs += [weakref.ref(one) for one in (tools, door) if one is not None]
        await self.cancelled(RecordingDoor(SKILLS) if wrapped else None)
        return refs


def _count(kind: type) -> int:
    gc.collect()
    return sum(issubclass(type(one), kind) for one in gc.get_objects())


def _alive(rounds: Sequence[Sequence[weakref.ref[Any]]]) -> int:
    gc.collect()
    return sum(ref() is not None for refs in rounds for ref in refs)


class AdapterContract(
    RecordingContract, InjectingContract, ContextContract, EngineContract, FaultContract, LeakContract
):
    """What every adapter promises. Subclass it in a test module and say how your framework plays a script.

    Needed are `play` and `steps`; `words_of`, `runs` and `tools_run_inside` where the framework asks for it. The
    tests are coroutines: run them with pytest-asyncio, `asyncio_mode = "auto"`.
    """
