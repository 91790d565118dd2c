"""What is done around a fork, and in which order."""

from __future__ import annotations

import gc
import logging
import signal
import threading
from collections.abc import Callable

import pytest

from acontext_adapters.shared.resent_history import Conversations
from acontext_plugins.record.redaction import Redactor
from acontext_store.forks import CLIENTS, HELD, LOCKS, STORES, at_fork, renewed_in_child

from .children import Say, start


class Told:
    """Somebody that is told of forks."""

    def __init__(self, said: list[str], turn: int, name: str) -> None:
        self._said = said
        self._name = name
        at_fork(turn, before=self.before, after_in_parent=self.parent, after_in_child=self.child)

    def before(self) -> None:
        self._said.append(f"before {self._name}")

    def parent(self) -> None:
        self._said.append(f"parent {self._name}")

    def child(self) -> None:
        self._said.append(f"child {self._name}")


def fork(said: list[str]) -> list[str]:
    """What a child found said."""

    def work(say: Say) -> None:
        for line in said:
            say(line)

    return start(work).wait()


def test_clients_have_their_turn_before_stores_whoever_came_first() -> None:
    said: list[str] = []
    everybody = [
        Told(said, turn, name)
        for turn, name in [(STORES, "store"), (LOCKS, "lock"), (CLIENTS, "client"), (HELD, "held")]
    ]
    in_child = fork(said)
    before = ["before held", "before client", "before store", "before lock"]
    assert said == [*before, "parent lock", "parent store", "parent client", "parent held"]
    assert in_child == [*before, "child lock", "child store", "child client", "child held"]
    assert len(everybody) == 4


def test_what_came_while_others_got_ready_gets_ready_too() -> None:
    said: list[str] = []
    late: list[Told] = []

    class Opening:
        def __init__(self) -> None:
            at_fork(CLIENTS, before=self.wait)

        def wait(self) -> None:
            late.append(Told(said, STORES, "store"))

    opening = Opening()
    assert fork(said) == ["before store", "child store"]
    assert said == ["before store", "parent store"]
    assert opening


def test_what_is_gone_is_told_nothing() -> None:
    said: list[str] = []
    Told(said, STORES, "store")
    gc.collect()
    assert fork(said) == said == []


def test_an_error_is_logged_and_the_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []

    class Wrong:
        def __init__(self) -> None:
            at_fork(STORES, before=self.fail, after_in_child=self.fail)

        def fail(self) -> None:
            raise ValueError("wrong")

    everybody = [Wrong(), Told(said, STORES, "store")]
    with caplog.at_level(logging.ERROR, "acontext"):
        assert fork(said) == ["before store", "child store"]
    assert len(caplog.records) == 1
    assert len(everybody) == 2


class Locked:
    def __init__(self) -> None:
        self.lock = renewed_in_child(self, "lock", threading.Lock)


@pytest.mark.parametrize(
    ("make", "lock", "use"),
    [
        (Locked, "lock", lambda locked: locked.lock.acquire()),
        (Conversations, "_lock", len),
        (Redactor, "_lock", lambda redactor: redactor.redact("s", [])),
    ],
)
def test_a_lock_that_a_thread_of_the_parent_holds_is_nobodys_in_the_child(
    make: Callable[[], object], lock: str, use: Callable[[object], object]
) -> None:
    thing = make()
    holds, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with getattr(thing, lock):
            holds.set()
            go_on.wait()

    def work(say: Say) -> None:
        signal.alarm(20)  # where it would wait for ever
        use(thing)
        say("done")

    thread = threading.Thread(target=hold)
    thread.start()
    holds.wait()
    child = start(work)
    go_on.set()
    thread.join()
    assert child.wait() == ["done"]
