"""What a store promises about time: what was acknowledged stays, and the end is an orderly one."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from ..errors import Closed
from ..protocols import Store
from .factories import a_session, done, said, texts
from .tenancy import TenantFixture


class DurabilityContract:
    """What was acknowledged is there after the store was closed and opened again."""

    def test_all_of_it_is_there_after_reopening(self, store: Store, open_store_again: Callable[[str], Store]) -> None:
        household = TenantFixture(store)
        before = household.everything()
        store.close()
        household.store = open_store_again("p1")
        assert household.everything() == before

    def test_two_handles_see_each_other(self, store: Store, open_store_again: Callable[[str], Store]) -> None:
        other = open_store_again("p1")
        done(store.create_session(a_session()))
        for n in range(20):
            assert done((store, other)[n % 2].append("s1", [said(str(n))])).last_seq == n + 1
        assert texts(store, "s1") == texts(other, "s1") == [str(n) for n in range(20)]

    def test_closing_finishes_what_is_queued(self, store: Store, open_store_again: Callable[[str], Store]) -> None:
        done(store.create_session(a_session()))
        pending = [store.append("s1", [said(str(n))]) for n in range(1000)]
        store.close()
        assert all(one.done() for one in pending)
        assert [done(one).last_seq for one in pending] == list(range(1, 1001))
        assert len(texts(open_store_again("p1"), "s1")) == 1000

    def test_a_closed_store_says_so(self, store: Store) -> None:
        household = TenantFixture(store)
        calls = household.calls(store)
        store.close()
        store.close()
        for name, each in calls.items():
            for call in each:
                with pytest.raises(Closed):
                    pytest.fail(f"{name} answered {done(call())}")

    def test_a_flush_waits_for_what_was_queued(self, store: Store) -> None:
        done(store.create_session(a_session()))
        pending = [store.append("s1", [said(str(n))]) for n in range(700)]
        done(store.flush())
        assert all(one.done() for one in pending)

    def test_many_threads_lose_nothing(self, store: Store) -> None:
        done(store.create_session(a_session("shared")))
        failures: list[BaseException] = []

        def work(name: str) -> None:
            try:
                for n in range(100):
                    done(store.append("shared", [said(f"{name} {n}")]))
                    done(store.append(name, [said(str(n))], ensure=a_session(name)))
                    assert texts(store, name, limit=1, time_desc=True) == [str(n)]
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(f"thread{n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        kept = done(store.messages("shared")).items
        assert [message.seq for message in kept] == list(range(1, 601))
        assert len({message.text for message in kept}) == 600
        for n in range(6):
            mine = [message.text for message in kept if message.text.startswith(f"thread{n} ")]
            assert mine == [f"thread{n} {k}" for k in range(100)]
            assert texts(store, f"thread{n}") == [str(k) for k in range(100)]

    def test_the_numbers_of_what_is_kept(self, store: Store) -> None:
        empty = done(store.stats())
        assert (empty.sessions, empty.messages, empty.skills, empty.bytes) == (0, 0, {}, 0)
        TenantFixture(store)
        stats = done(store.stats())
        assert (stats.sessions, stats.messages, stats.tasks, stats.spaces) == (2, 4, 1, 1)
        assert stats.skills == {"active": 2}
        assert (stats.lanes_due, stats.lanes_dead, stats.injections) == (3, 0, 1)
        assert stats.bytes > 0
        assert stats.schema_version
