"""Functions: how their runs end, what is recorded inside of them, and how they are wrapped."""

from __future__ import annotations

import asyncio
import contextvars
import traceback
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import current_run, learning, report

SUCCESS = ("success", "")


@pytest.fixture
def memory() -> MemoryClient:
    return MemoryClient("skills")


def learned(target: Any, memory: MemoryClient, **options: Any) -> Any:
    return learning(target, space="s", client=memory, strict=True, **options)


# -- outcomes
def test_an_exception_is_a_failure_and_the_same_exception(memory: MemoryClient) -> None:
    error = ValueError("no such city")

    def fails(city: str) -> None:
        raise error

    with pytest.raises(ValueError, match="no such city") as caught:
        learned(fails, memory)("Oslo")
    assert caught.value is error
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "raise error" in "".join(traceback.format_exception(error))
    assert memory.lines == ["user: Oslo"]
    assert memory.outcome == ("failed", "ValueError: no such city")


@pytest.mark.parametrize("kind", ["generator", "async generator", "coroutine"])
async def test_an_exception_in_a_step_is_a_failure(kind: str, memory: MemoryClient) -> None:
    def steps() -> Iterator[str]:
        yield "a"
        raise ValueError("bad")

    async def async_steps() -> AsyncIterator[str]:
        yield "a"
        raise ValueError("bad")

    async def later() -> None:
        raise ValueError("bad")

    async def drive() -> None:
        if kind == "generator":
            list(learned(steps, memory)())
        elif kind == "async generator":
            _ = [item async for item in learned(async_steps, memory)()]
        else:
            await learned(later, memory)()

    with pytest.raises(ValueError, match="bad"):
        await drive()
    assert memory.outcome == ("failed", "ValueError: bad")


async def test_a_cancelled_task_is_cancelled_not_failed(memory: MemoryClient) -> None:
    started = asyncio.Event()

    async def wait() -> None:
        started.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(learned(wait, memory)())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert memory.outcome == ("cancelled", "")


def test_an_interrupt_is_cancelled_not_failed(memory: MemoryClient) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learned(stop, memory)()
    assert memory.outcome == ("cancelled", "")


def test_a_generator_that_is_left_early_was_cancelled_and_cleans_up(memory: MemoryClient) -> None:
    cleaned = []

    def steps() -> Iterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            cleaned.append(current_run())

    given = learned(steps, memory)()
    next(given)
    given.close()
    assert cleaned[0] is not None
    assert memory.lines == ["assistant: a"]
    assert memory.outcome == ("cancelled", "")


def test_what_the_host_reports_is_said_too(memory: MemoryClient) -> None:
    def pay() -> None:
        report("failed", "the total is wrong")

    learned(pay, memory)()
    assert [(outcome.source, outcome.status) for outcome in memory.session.outcomes] == [
        ("report", "failed"),
        ("framework", "success"),
    ]


# -- containers
def test_tool_calls_noted_by_hand_stand_between_the_question_and_the_answer(memory: MemoryClient) -> None:
    def pay(invoice: str) -> str:
        run = current_run()
        assert run is not None
        run.record_tool("open_invoice", {"id": invoice}, {"total": 3})
        run.record_tool("approve", {"id": invoice}, "not allowed", error=True)
        return "done"

    learned(pay, memory)("A1")
    assert memory.lines == [
        "user: A1",
        'call: open_invoice {"id": "A1"}',
        'result: {"total": 3}',
        'call: approve {"id": "A1"}',
        "error: not allowed",
        "assistant: done",
    ]


def test_a_call_that_did_not_run_is_noted_with_what_became_of_it(memory: MemoryClient) -> None:
    def pay(invoice: str) -> str:
        run = current_run()
        assert run is not None
        run.record_tool("pay", {"id": invoice}, "would pay", status="answered", by="middleware")
        run.record_tool("pay", {"id": invoice}, status="refused", by="person")
        run.record_tool("pay", {"id": invoice}, status="unfinished")
        return "done"

    learned(pay, memory)("A1")
    assert memory.session.fates == [
        'pay {"id": "A1"}: answered by middleware',
        'pay {"id": "A1"}: refused by person',
        'pay {"id": "A1"}: unfinished',
    ]
    assert memory.lines.count("result: would pay") == len([m for m in memory.session.messages if m.role == "tool"]) == 1


def test_tool_calls_noted_in_a_nested_function_belong_to_what_the_outer_one_was_asked(memory: MemoryClient) -> None:
    def look_up(word: str) -> str:
        run = current_run()
        assert run is not None
        run.record_tool("look_up", {"word": word}, "found")
        return word

    inner = learned(look_up, memory)
    assert learned(lambda word: inner(word + "b") + "!", memory)("a") == "ab!"
    assert memory.lines == ["user: a", 'call: look_up {"word": "ab"}', "result: found", "assistant: ab!"]


def test_a_function_inside_of_a_function_is_part_of_its_run(memory: MemoryClient) -> None:
    inner = learned(lambda word: word * 2, memory)
    outer = learned(lambda word: inner(word) + "!", memory)
    assert outer("a") == "aa!"
    assert memory.lines == ["user: a", "assistant: aa!"]
    assert len(memory.session.outcomes) == 1


def test_skills_can_be_asked_for_inside(memory: MemoryClient) -> None:
    def pay() -> tuple[str, str, str]:
        run = current_run()
        assert run is not None
        return run.skills_text, run.recall("pay an invoice"), run.skills_text

    assert learned(pay, memory)() == ("", "skills", "skills")
    assert [query.text for query in memory.queries] == ["pay an invoice"]


async def test_calls_at_the_same_time_keep_apart(memory: MemoryClient) -> None:
    async def ask(number: int) -> None:
        run = current_run()
        assert run is not None
        await asyncio.sleep(0)
        run.record_tool("t", {"n": number}, str(number))
        assert current_run() is run

    await asyncio.gather(*(learned(ask, memory)(number) for number in range(20)))
    assert sorted(session.lines[2] for session in memory.sessions.values()) == sorted(f"result: {n}" for n in range(20))


# -- wrapping
def test_wrapping_twice_gives_the_same_and_other_options_wrap_anew(memory: MemoryClient) -> None:
    def double(word: str) -> str:
        return word * 2

    wrapped = learned(double, memory)
    assert learned(wrapped, memory) is wrapped
    other = learned(wrapped, memory, session="all")
    assert other is not wrapped
    assert other("a") == "aa"
    assert memory.session.ref.key == "all"


def test_the_context_of_the_caller_is_left_as_it_was(memory: MemoryClient) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outer")

    def sets() -> None:
        variable.set("inner")

    learned(sets, memory)()
    assert variable.get() == "inner"


@pytest.mark.parametrize("memory", [MemoryClient(record_error=RuntimeError("disk"))])
async def test_a_memory_in_trouble_changes_nothing(memory: MemoryClient) -> None:
    async def stream() -> AsyncIterator[int]:
        yield 1

    def words(text: str) -> Iterator[str]:
        yield from text.split()

    options: Any = {"space": "s", "client": memory}
    assert learning(lambda word: word, **options)("a") == "a"
    assert list(learning(words, **options)("a b")) == ["a", "b"]
    assert [item async for item in learning(stream, **options)()] == [1]


def test_odd_values_are_named_and_not_asked(memory: MemoryClient) -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError("do not ask")

    assert learned(lambda thing, text: None, memory)(Odd(), "x" * 100_000) is None
    (line,) = memory.lines
    assert line.startswith("user: thing: <")
    assert "Odd>" in line
    assert len(line) < 30_000


def test_an_exception_that_cannot_say_what_it_is_is_a_failure_all_the_same(memory: MemoryClient) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def fails() -> None:
        raise Odd

    with pytest.raises(Odd):
        learned(fails, memory)()
    assert memory.outcome == ("failed", "Odd")


def test_tool_calls_without_words_are_kept_by_their_kind(memory: MemoryClient) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    loop: dict[str, Any] = {}
    loop["self"] = loop

    def works() -> None:
        run = current_run()
        assert run is not None
        run.record_tool("search", {"what": Odd()}, Odd())
        run.record_tool("search", loop, {(1, 2): "pairs"})

    learned(works, memory)()
    assert [line.split(" ", 1)[0] for line in memory.lines] == ["call:", "result:"] * 2
    assert "Odd" in memory.lines[0]
