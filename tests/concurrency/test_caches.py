"""SharedCache: a dict with a bound, that threads may share."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.concurrency.caches import SharedCache

from ..store.children import Say, start


@pytest.fixture
def _threads_change_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_what_was_put_longest_ago_is_forgotten_first() -> None:
    cache: SharedCache[str, int] = SharedCache(2)
    cache["a"], cache["b"] = 1, 2
    cache["a"] = 3
    assert cache.get("b") == 2  # a read is no use
    cache["c"] = 4
    assert dict(cache) == {"a": 3, "c": 4}


def test_what_is_not_there_is_a_default_or_a_key_error() -> None:
    cache: SharedCache[str, int | None] = SharedCache(2)
    cache["a"] = None
    assert (cache.pop("a"), cache.pop("a", None), cache.pop("a", 7), cache.get("a", 8)) == (None, None, 7, 8)
    with pytest.raises(KeyError):
        cache.pop("a")


@given(st.lists(st.tuples(st.sampled_from(["put", "pop"]), st.integers(0, 9))), st.integers(1, 5))
def test_it_holds_the_newest_of_what_was_put(steps: list[tuple[str, int]], size: int) -> None:
    cache: SharedCache[int, int] = SharedCache(size)
    expected: dict[int, int] = {}
    for at, (what, key) in enumerate(steps):
        assert cache.get(key) == expected.get(key)
        assert cache.pop(key, None) == expected.pop(key, None) if what == "pop" else True
        if what == "put":
            cache[key] = at
            expected.pop(key, None)
            expected[key] = at
            expected = dict(list(expected.items())[-size:])
    assert dict(cache) == expected


@pytest.mark.usefixtures("_threads_change_often")
def test_threads_that_put_take_and_look_at_the_same_time_do_each_other_no_harm() -> None:
    cache: SharedCache[int, int] = SharedCache(8)

    def use(number: int) -> None:
        for at in range(2_000):
            key = (number * 7 + at) % 16
            cache[key] = at
            cache.get(key)
            cache.pop((key + 5) % 16, None)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    assert len(cache) <= 8
    for key in list(cache):
        del cache[key]
    assert len(cache) == 0


class SlowKey:
    """A key at whose hash a thread stops, the given time that it is asked for."""

    def __init__(self, stops_at: int) -> None:
        self._stops_at = stops_at
        self._asked = 0
        self.stopped, self.go_on = threading.Event(), threading.Event()

    def __hash__(self) -> int:
        self._asked += 1
        if self._asked == self._stops_at:
            self.stopped.set()
            self.go_on.wait()
        return 7


@pytest.mark.parametrize("stops_at", [1, 2, 3, 4])
@pytest.mark.parametrize("what", ["put", "pop"])
def test_a_child_that_is_forked_while_a_thread_puts_or_takes_goes_on(what: str, stops_at: int) -> None:
    cache: SharedCache[object, int] = SharedCache(2)
    cache["a"] = 1
    slow = SlowKey(stops_at + 3 if what == "pop" else stops_at)  # three times while it is put

    def use() -> None:
        cache[slow] = 2
        if what == "pop":
            cache.pop(slow)

    def in_the_child(say: Say) -> None:
        signal.alarm(20)  # where it would wait for ever
        for number in range(5):
            cache[number] = number
        assert dict(cache) == {3: 3, 4: 4}
        assert [cache.pop(3), cache.pop(4), len(cache)] == [3, 4, 0]
        say("done")

    thread = threading.Thread(target=use)
    thread.start()
    slow.stopped.wait(5)  # the last stops are not reached by each version of cachetools
    child = start(in_the_child)
    slow.go_on.set()
    thread.join()
    assert child.wait() == ["done"]
    cache["b"] = 3
    assert "b" in cache
