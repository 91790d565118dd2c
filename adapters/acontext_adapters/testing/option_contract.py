"""What `learning` is told is done, and what it gives back is what it was given, watched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acontext_plugins.learning import client_or_default
from acontext_plugins.runs import RunOptions, Runtime

from .capabilities import needs
from .memory_clients import MemoryClient
from .playing import Playing
from .script import SKILLS, TALK, TALK_LINES, Played
from .wrapping import Wrap, watched_learning

#: The turn of each call of the model in `TALK`.
TURNS = (TALK[0], TALK[0], TALK[1], TALK[1])
#: What tools answer in it.
ANSWERS = ("21C in Oslo", "21C in Rome", "no such city")
#: Options that the search for skills is given, with values that nobody has by default.
SEARCH: Mapping[str, Any] = {"limit": 1, "token_budget": 77, "with_trace": True, "deadline": 0.25}


class OptionContract(Playing):
    """What was asked for is done."""

    async def test_without_injection_a_run_is_recorded_and_its_prompts_are_the_hosts_own(self) -> None:
        await self._only_recorded(inject=False)

    async def test_without_a_space_a_run_is_recorded_and_its_prompts_are_the_hosts_own(self) -> None:
        await self._only_recorded(space=None)

    async def _only_recorded(self, **options: Any) -> None:
        for streamed in self.ways:
            bare = await self.played(TALK, streamed=streamed)
            memory = MemoryClient(SKILLS)
            played = await self.played(TALK, memory, streamed=streamed, **options)
            assert memory.queries == [], f"skills are asked for, with {options}"
            assert (played.prompts, played.seen) == (bare.prompts, bare.seen)
            assert self.lines(memory) == self.expected(TALK_LINES)
            assert memory.session.ref.space == options.get("space", "s")

    async def test_space_and_user_are_those_that_were_named(self) -> None:
        for streamed in self.ways:
            memory = MemoryClient(SKILLS)
            await self.played(TALK, memory, streamed=streamed, space="another", principal="ann")
            assert (memory.session.ref.space, memory.session.ref.principal) == ("another", "ann")
            assert {query.space for query in memory.queries} == {"another"}

    async def test_limits_reach_the_search(self) -> None:
        memory = MemoryClient(SKILLS)
        await self.played(TALK, memory, **SEARCH)
        assert len(memory.queries) == len(TALK)
        for query in memory.queries:
            assert {name: getattr(query, name) for name in SEARCH} == SEARCH

    @needs("session")
    async def test_a_session_that_was_named_is_the_conversation(self) -> None:
        for streamed in self.ways:
            memory = MemoryClient(SKILLS)
            await self.played(TALK, memory, streamed=streamed, session="a named talk")
            assert memory.session.ref.key == "a named talk"
            assert self.lines(memory) == self.expected(TALK_LINES)

    @needs("inject_as_system")
    async def test_skills_stand_behind_the_instructions(self) -> None:
        for streamed in self.ways:
            played = await self._injected("system", streamed=streamed)
            for prompt in played.prompts:
                before = prompt[: prompt.index(SKILLS)]
                assert before.strip(), "skills stand before the agent's own instructions"
                said = [turn.says for turn in TALK if turn.says in before]
                assert not said, f"skills stand behind the words of the user: {said}"

    @needs("inject_as_user")
    async def test_skills_stand_in_the_users_turn_that_they_were_found_for_where_that_was_asked_for(self) -> None:
        for streamed in self.ways:
            played = await self._injected("user", streamed=streamed)
            for prompt in played.prompts:
                before = prompt[: prompt.index(SKILLS)]
                first = next(turn.says for turn in TALK if turn.says in prompt)
                assert first in before, f"skills stand before the words of the user: {prompt}"
                answers = [words for words in ANSWERS if words in before.rpartition(first)[2]]
                assert not answers, f"skills stand behind an answer, {answers}, not in the turn of the user"

    @needs("inject_as_user")
    async def test_what_was_sent_stays_the_beginning_of_what_is_sent_next(self) -> None:
        """Providers keep what they have read only as far as the next request begins with the same bytes."""
        for where in ("system", "user"):
            if f"inject_as_{where}" in self.unsupported:
                continue
            bare = await self.played(TALK)
            memory = MemoryClient(lambda query: SKILLS.replace("weather", query.text, 1))
            played = await self.played(TALK, memory, inject_as=where)
            for before, after, shorter, longer in zip(
                bare.prompts, bare.prompts[1:], played.prompts, played.prompts[1:], strict=False
            ):
                same = not after.startswith(before) or longer.startswith(shorter)
                assert same, f"{longer!r} does not begin with {shorter!r}"
            last = played.prompts[-1]
            shown = [turn.says for turn in TALK if SKILLS.replace("weather", turn.says, 1) in last]
            there = [turn.says for turn in TALK if turn.says in bare.prompts[-1]]
            assert set(there) <= set(shown), "skills of an earlier turn, or of the newest one, are missing"

    async def _injected(self, where: str, *, streamed: bool) -> Played:
        """A talk with skills in each of its prompts, of which the host and the record know nothing."""
        bare = await self.played(TALK, streamed=streamed)
        memory = MemoryClient(SKILLS)
        played = await self.played(TALK, memory, streamed=streamed, inject_as=where)
        assert [prompt.count(SKILLS) for prompt in played.prompts] == [1] * len(TURNS)
        assert played.seen == bare.seen
        assert self.lines(memory) == self.expected(TALK_LINES)
        return played


class WrappingContract(Playing):
    """What `learning` gives back. It is watched by the contract itself."""

    @needs("wrapping")
    async def test_what_is_wrapped_has_the_type_that_it_had(self) -> None:
        with watched_learning() as calls:
            await self.played(TALK[:1], MemoryClient(SKILLS))
        assert calls, "`play` has not called learning()"
        for call in calls:
            kind, result = type(call.target), type(call.result)
            assert isinstance(call.result, kind), f"learning() made a {result.__qualname__} of a {kind.__qualname__}"

    @needs("bare_original")
    async def test_the_object_that_is_wrapped_stays_as_it_is(self) -> None:
        def give_the_original(target: Any, runtime: Runtime, wrap: Wrap) -> Any:
            wrap(target, runtime)
            return target

        bare = await self.played(TALK)
        memory = MemoryClient(SKILLS)
        with watched_learning(give_the_original) as calls:
            played = await self.played(TALK, memory)
        assert calls, "`play` has not called learning()"
        assert (memory.recordings, memory.queries) == ([], []), "the original is recorded, too"
        assert (played.prompts, played.seen) == (bare.prompts, bare.seen)

    @needs("wrapping")
    async def test_wrapped_twice_with_the_same_options_it_is_one(self) -> None:
        same: list[bool] = []

        def wrap_twice(target: Any, runtime: Runtime, wrap: Wrap) -> Any:
            once = wrap(target, runtime)
            twice = wrap(once, runtime)
            same.append(twice is once)
            return twice

        memory = MemoryClient(SKILLS)
        with watched_learning(wrap_twice):
            played = await self.played(TALK, memory)
        assert same, "`play` has not called learning()"
        assert all(same), "wrapped again with the same options, an object comes back as it is"
        assert self.lines(memory) == self.expected(TALK_LINES)
        assert [prompt.count(SKILLS) for prompt in played.prompts] == [1] * len(TURNS)

    @needs("wrapping")
    async def test_wrapped_again_with_other_options_the_newest_count(self) -> None:
        before = MemoryClient("skills of before")
        others = Runtime(RunOptions(space="before", principal="bob", deadline=0.01), client_or_default(before))

        def wrap_again(target: Any, runtime: Runtime, wrap: Wrap) -> Any:
            return wrap(wrap(target, others), runtime)

        for streamed in self.ways:
            memory = MemoryClient(SKILLS)
            with watched_learning(wrap_again) as calls:
                played = await self.played(TALK, memory, streamed=streamed, principal="ann")
            assert calls, "`play` has not called learning()"
            assert (before.recordings, before.queries) == ([], []), "what it was wrapped with before counts, too"
            assert (memory.session.ref.space, memory.session.ref.principal) == ("s", "ann")
            assert self.lines(memory) == self.expected(TALK_LINES)
            assert [prompt.count(SKILLS) for prompt in played.prompts] == [1] * len(TURNS)
