"""Functions: whatever is called, awaited or iterated is one run, and behaves as it always did."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import pickle
import sys
from collections.abc import AsyncIterator, Awaitable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import current_run, learning

SUCCESS = ("success", "")


@pytest.fixture
def memory() -> MemoryClient:
    return MemoryClient("skills")


def learned(target: Any, memory: MemoryClient, **options: Any) -> Any:
    return learning(target, space="s", client=memory, strict=True, **options)


# -- kinds
def test_a_function_is_one_run(memory: MemoryClient) -> None:
    def answer(question: str, /, times: int = 1, *, loud: bool = False) -> str:
        """Answers."""
        assert current_run() is not None
        return question.upper() if loud else question * times

    wrapped = learned(answer, memory)
    assert wrapped("ab", 2) == "abab"
    assert current_run() is None
    assert memory.lines == ["user: question: ab\ntimes: 2", "assistant: abab"]
    assert memory.outcome == SUCCESS
    assert (wrapped.__name__, wrapped.__doc__) == ("answer", "Answers.")
    assert inspect.signature(wrapped) == inspect.signature(answer)


async def test_a_coroutine_function_is_one_run(memory: MemoryClient) -> None:
    async def answer(question: str) -> dict[str, int]:
        await asyncio.sleep(0)
        assert current_run() is not None
        return {"length": len(question)}

    wrapped = learned(answer, memory)
    assert inspect.iscoroutinefunction(wrapped)
    assert await wrapped("four") == {"length": 4}
    assert memory.lines == ["user: four", "assistant: {'length': 4}"]


def words(text: str) -> Generator[str, str | None, int]:
    count = 0
    for word in text.split():
        got = yield word
        while got is not None:
            got = yield got
        count += 1
    return count


def test_a_generator_is_one_run_and_keeps_its_return_value(memory: MemoryClient) -> None:
    wrapped = learned(words, memory)
    assert inspect.isgeneratorfunction(wrapped)

    def consume() -> Iterator[Any]:
        yield (yield from wrapped("a b"))

    assert list(consume()) == ["a", "b", 2]
    assert memory.lines == ["user: a b", "assistant: ab2"]
    assert memory.outcome == SUCCESS


def test_what_is_sent_and_thrown_into_a_generator_reaches_it(memory: MemoryClient) -> None:
    def stubborn() -> Generator[str, str | None, str]:
        try:
            got = yield "first"
        except KeyError as error:
            got = str(error)
        got = yield f"got {got}"
        return f"end {got}"

    steps = learned(stubborn, memory)()
    assert next(steps) == "first"
    assert steps.throw(KeyError("k")) == "got 'k'"
    with pytest.raises(StopIteration) as stop:
        steps.send("x")
    assert stop.value.value == "end x"
    steps = learned(stubborn, memory)()
    assert next(steps) == "first"
    assert steps.send("y") == "got y"


async def test_an_async_generator_is_one_run(memory: MemoryClient) -> None:
    async def stream(text: str) -> AsyncIterator[str]:
        for word in text.split():
            await asyncio.sleep(0)
            assert current_run() is not None
            yield word

    wrapped = learned(stream, memory)
    assert inspect.isasyncgenfunction(wrapped)
    assert [word async for word in wrapped("a b")] == ["a", "b"]
    assert memory.lines == ["user: a b", "assistant: ab"]
    assert memory.outcome == SUCCESS


async def test_what_is_sent_and_thrown_into_an_async_generator_reaches_it(memory: MemoryClient) -> None:
    async def stubborn() -> Any:
        try:
            got = yield "first"
        except KeyError as error:
            got = str(error)
        yield f"got {got}"

    steps = learned(stubborn, memory)()
    assert await steps.asend(None) == "first"
    assert await steps.athrow(KeyError("k")) == "got 'k'"
    await steps.aclose()
    steps = learned(stubborn, memory)()
    await anext(steps)
    assert await steps.asend("y") == "got y"
    await steps.aclose()
    assert [session.outcome.status for session in memory.sessions.values() if session.outcome] == ["cancelled"] * 2


@pytest.mark.parametrize("kind", ["generator", "async generator"])
async def test_the_run_is_never_current_in_the_consumer(kind: str, memory: MemoryClient) -> None:
    inside, outside = [], []

    def steps() -> Iterator[int]:
        for number in range(3):
            inside.append(current_run())
            yield number

    async def async_steps() -> AsyncIterator[int]:
        for number in range(3):
            inside.append(current_run())
            await asyncio.sleep(0)
            yield number

    if kind == "generator":
        for _ in learned(steps, memory)():
            outside.append(current_run())
    else:
        async for _ in learned(async_steps, memory)():
            outside.append(current_run())
    assert outside == [None] * 3
    assert None not in inside
    assert len(set(inside)) == 1


class Shop:
    def __init__(self, city: str) -> None:
        self.city = city
        self.asked: list[str] = []

    def method(self, question: str) -> str:
        self.asked.append(question)
        return f"{self.city}: {question}"

    def __call__(self, question: str) -> str:
        return self.method(question)


def test_a_bound_method_stays_one(memory: MemoryClient) -> None:
    shop = Shop("Oslo")
    wrapped = learned(shop.method, memory)
    assert wrapped("open?") == "Oslo: open?"
    assert wrapped.__self__ is shop
    assert shop.asked == ["open?"]
    assert memory.lines == ["user: open?", "assistant: Oslo: open?"]


def test_a_decorated_method_does_not_record_itself(memory: MemoryClient) -> None:
    class Desk:
        @learning(space="s", client=memory, strict=True)
        def ask(self, question: str) -> str:
            return question

        @staticmethod
        @learning(space="s", client=memory, strict=True)
        def tell(word: str) -> str:
            return word

        @classmethod
        @learning(space="s", client=memory, strict=True)
        def name(cls, word: str) -> str:
            return f"{cls.__name__} {word}"

    assert (Desk().ask("a"), Desk.tell("b"), Desk.name("c")) == ("a", "b", "Desk c")
    assert [session.lines[0] for session in memory.sessions.values()] == ["user: a", "user: b", "user: c"]


def test_an_object_that_can_be_called_stays_of_its_type(memory: MemoryClient) -> None:
    shop = Shop("Oslo")
    wrapped = learned(shop, memory)
    assert wrapped("open?") == "Oslo: open?"
    assert isinstance(wrapped, Shop)
    assert wrapped.city == "Oslo"
    assert type(shop) is Shop
    assert memory.lines == ["user: open?", "assistant: Oslo: open?"]
    assert learned(wrapped, memory) is wrapped
    assert learned(wrapped, memory, limit=1)("again") == "Oslo: again"
    assert len(memory.sessions) == 2


async def test_an_object_with_an_async_call_is_awaited(memory: MemoryClient) -> None:
    class Later:
        async def __call__(self, word: str) -> str:
            await asyncio.sleep(0)
            return word * 2

    assert await learned(Later(), memory)("a") == "aa"
    assert memory.lines == ["user: a", "assistant: aa"]


async def test_a_partial_stays_one(memory: MemoryClient) -> None:
    async def scale(number: int, factor: int) -> int:
        return number * factor

    wrapped = learned(functools.partial(scale, factor=3), memory)
    assert isinstance(wrapped, functools.partial)
    assert inspect.iscoroutinefunction(wrapped)
    assert await wrapped(2) == 6
    assert memory.lines == ["user: number: 2\nfactor: 3", "assistant: 6"]


def test_a_builtin_can_be_wrapped(memory: MemoryClient) -> None:
    assert learned(len, memory)([1, 2]) == 2
    assert memory.lines == ["user: obj: [1, 2]", "assistant: 2"]


# -- plain functions that give something that goes on
async def test_the_run_ends_when_the_coroutine_that_was_given_ends(memory: MemoryClient) -> None:
    async def later(word: str) -> str:
        assert current_run() is not None
        return word * 2

    def start(word: str) -> Awaitable[str]:
        return later(word)

    given = learned(start, memory)("a")
    assert memory.recordings == []
    assert await given == "aa"
    assert memory.lines == ["user: a", "assistant: aa"]
    assert current_run() is None


async def test_the_run_ends_when_the_task_that_was_given_ends(memory: MemoryClient) -> None:
    async def later(word: str) -> str:
        assert current_run() is not None
        await asyncio.sleep(0)
        return word * 2

    task = learned(lambda word: asyncio.ensure_future(later(word)), memory)("a")
    assert isinstance(task, asyncio.Task)
    assert await task == "aa"
    await asyncio.sleep(0)
    assert memory.outcome == SUCCESS


def test_the_run_ends_when_the_future_that_was_given_ends(memory: MemoryClient) -> None:
    with ThreadPoolExecutor(1) as pool:
        future = learned(lambda: pool.submit(lambda: 1 / 0), memory)()
        assert isinstance(future.exception(), ZeroDivisionError)
    assert memory.outcome == ("failed", "ZeroDivisionError: division by zero")


async def test_the_run_ends_when_the_generator_that_was_given_ends(memory: MemoryClient) -> None:
    async def async_words(text: str) -> AsyncIterator[str]:
        for word in text.split():
            yield word

    given = learned(lambda text: words(text), memory)("a b")
    assert inspect.isgenerator(given)
    assert list(given) == ["a", "b"]
    given = learned(lambda text: async_words(text), memory)("a b")
    assert inspect.isasyncgen(given)
    assert [word async for word in given] == ["a", "b"]
    assert [session.lines for session in memory.sessions.values()] == [
        ["user: a b", "assistant: ab2"],
        ["user: a b", "assistant: ab"],
    ]


class Stream:
    """As clients have them: iterated, closed, entered; with attributes of their own."""

    def __init__(self, *items: Any) -> None:
        self.items = list(items)
        self.closed = False
        self.color = "green"

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        if not self.items:
            raise StopIteration
        item = self.items.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


class AsyncStream:
    def __init__(self, *items: Any) -> None:
        self.inner = Stream(*items)

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> Any:
        assert current_run() is not None
        try:
            return next(self.inner)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        self.inner.close()

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.aclose()


def test_the_run_ends_when_the_stream_that_was_given_ends(memory: MemoryClient) -> None:
    with learned(lambda: Stream("a", "b"), memory)() as stream:
        assert isinstance(stream, Stream)
        assert stream.color == "green"
        assert list(stream) == ["a", "b"]
    assert stream.closed
    assert memory.lines == ["assistant: ab"]
    assert memory.outcome == SUCCESS


def test_a_stream_that_is_closed_early_was_cancelled_and_one_that_fails_has_failed(memory: MemoryClient) -> None:
    stream = learned(lambda: Stream("a", "b"), memory)()
    assert next(stream) == "a"
    stream.close()
    with pytest.raises(ValueError, match="bad chunk"):
        list(learned(lambda: Stream("a", ValueError("bad chunk")), memory)())
    outcomes = [session.outcome for session in memory.sessions.values()]
    assert [(outcome.status, outcome.reason) for outcome in outcomes if outcome] == [
        ("cancelled", ""),
        ("failed", "ValueError: bad chunk"),
    ]


async def test_an_async_function_that_gives_a_stream_ends_with_it(memory: MemoryClient) -> None:
    async def ask(question: str) -> AsyncStream:
        return AsyncStream(question, "!")

    async with await learned(ask, memory)("hi") as stream:
        assert isinstance(stream, AsyncStream)
        assert [item async for item in stream] == ["hi", "!"]
    assert memory.lines == ["user: hi", "assistant: hi!"]
    assert memory.outcome == SUCCESS


def test_collections_and_files_are_returned_as_they_are(memory: MemoryClient, tmp_path: Any) -> None:
    given = [1, 2]
    assert learned(lambda: given, memory)() is given
    with (tmp_path / "file").open("w") as file:
        assert learned(lambda: file, memory)() is file


# -- copies
class Counter:
    """Something that is called, and counts."""

    def __init__(self, by: int) -> None:
        self.by = by
        self.count = 0

    def __call__(self, words: str) -> str:
        self.count += self.by
        return f"{words} {self.count}"


def module_function(words: str) -> str:
    return words


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_of_what_is_called_is_recorded(copied: Any) -> None:
    memory = MemoryClient()
    counter = learning(Counter(2), space="s", client=memory)
    counter("one")
    counter.by = 3
    other = copied(counter)
    assert (type(other).__qualname__, isinstance(other, Counter)) == ("Counter", True)
    assert other("two") == "two 5"
    assert counter.count == 2
    assert [session.lines[0] for session in memory.sessions.values()] == ["user: one", "user: two"]


def test_a_partial_and_a_decorated_function_are_copied_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    decorated = learning(module_function, space="s", client=MemoryClient())
    monkeypatch.setattr(sys.modules[__name__], "module_function", decorated)
    assert pickle.loads(pickle.dumps(decorated)) is decorated
    assert copy.deepcopy(decorated) is decorated
    part = functools.partial(decorated, "hi")
    assert pickle.loads(pickle.dumps(part))() == "hi"


class Lazy:
    """Stands for an object that does something whenever it is asked for anything, and cannot."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("outside of a request")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("outside of a request")


class Future:
    """A future of another library: it has its own idea of what is called when it is done."""

    def add_done_callback(self) -> None:
        raise TypeError("nobody is to call this")


@pytest.mark.parametrize("kind", [Lazy, Future])
async def test_what_a_function_returns_is_asked_for_nothing(kind: type) -> None:
    memory, result = MemoryClient(), kind()

    def plain() -> object:
        return result

    async def later() -> object:
        return result

    assert learned(plain, memory)() is result
    assert await learned(later, memory)() is result
