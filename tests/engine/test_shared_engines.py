"""One engine for each database of a process, whoever opens it first: shared, counted, and closed by the last."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins import Acontext, AsyncAcontext, learning, report
from acontext_plugins.client import background, connection
from acontext_plugins.errors import Closed, InvalidInput, StoreUnavailable
from acontext_plugins.service import Recording, SessionRef
from acontext_plugins.settings import ObserveSettings, RedactionSettings, Settings, WorkerSettings
from acontext_plugins.testing import ScriptedLLM
from acontext_store.types import Message, Part


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/acontext.db"


@pytest.fixture
def default(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[background.BackgroundConnection]:
    """What agents that are given no client have."""
    made = background.BackgroundConnection(settings=Settings(url=url))
    monkeypatch.setattr(background, "_default", made)
    yield made
    if made._connection is not None:
        made._connection.close()


def record(client: Acontext | AsyncAcontext, key: str, text: str = "hello") -> None:
    client.connection.record(Recording(SessionRef(key), [Message(role="user", parts=(Part(type="text", text=text),))]))


def keys(client: Acontext) -> list[str | None]:
    return sorted(session.key or "" for session in client.sessions.list(limit=100).items)


def statuses(client: Acontext) -> list[str]:
    return [task.status for one in client.sessions.list().items for task in client.sessions.get_tasks(one.id).items]


@pytest.mark.parametrize("client_first", [True, False])
def test_a_flush_waits_for_what_an_agent_without_a_client_recorded(
    client_first: bool, url: str, default: background.BackgroundConnection
) -> None:
    @learning(space="shop")
    def run(what: str) -> str:
        report("success")
        return what

    if not client_first:
        run("the first order, please")
        default.connection(30)
    with Acontext(url) as client:
        run("another order, please")
        default.connection(30)
        assert client.flush(30)
        assert statuses(client) == ["success"] * (1 if client_first else 2)


@pytest.mark.parametrize("troubled", [False, True])
def test_a_flush_waits_for_agents_whose_memory_is_still_being_opened(
    troubled: bool, url: str, default: background.BackgroundConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the first try to open it failed, and the next one is not due."""
    share, tries = connection.share_engine, itertools.count()

    def slow(settings: Settings, models: Any, *, as_it_is: bool = False) -> Any:
        if as_it_is:
            if next(tries) == 0 and troubled:
                raise StoreUnavailable("somebody has it")
            time.sleep(0.3)  # an old disk
        return share(settings, models, as_it_is=as_it_is)

    monkeypatch.setattr(connection, "share_engine", slow)

    @learning(space="shop")
    def run(what: str) -> str:
        report("success")
        return what

    with Acontext(url) as client:
        run("the first order, please")
        ends = time.monotonic() + 30
        while troubled and default.error is None:
            assert time.monotonic() < ends
            time.sleep(0.001)
        assert client.flush(30)
        assert statuses(client) == ["success"]


def test_clients_of_one_database_have_one_engine_however_its_url_is_spelled(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "folder").mkdir()
    spellings = [
        "sqlite:///acontext.db",
        "sqlite:///./acontext.db",
        "sqlite:///folder/../acontext.db",
        "sqlite:///~/acontext.db",
        f"sqlite:///{tmp_path}/link/acontext.db",
    ]
    with Acontext(url) as first:
        for spelling in spellings:
            with Acontext(spelling) as other:
                assert other.connection.opened() is first.connection.opened(), spelling
        with Acontext("sqlite:///other.db") as other:
            assert other.connection.opened() is not first.connection.opened()


def test_closing_one_client_keeps_what_it_recorded_and_leaves_the_others_alive(url: str) -> None:
    first, second = Acontext(url), Acontext(url)
    record(first, "one")
    first.close()
    assert keys(second) == ["one"]
    first.close()  # safe to call twice: it has nothing more to give back
    record(second, "two")
    with pytest.raises(Closed):
        first.ping()
    assert second.flush(30)
    assert keys(second) == ["one", "two"]
    second.close()
    with Acontext(url) as again:
        assert keys(again) == ["one", "two"]


def test_projects_of_one_database_see_nothing_of_each_other(url: str) -> None:
    with Acontext(url, project="red") as red, Acontext(url, project="blue") as blue:
        record(red, "r")
        record(blue, "b")
        assert red.flush(30)
        assert blue.flush(30)
        assert (keys(red), keys(blue)) == (["r"], ["b"])


async def test_both_kinds_of_client_share_it(url: str) -> None:
    client = await asyncio.to_thread(Acontext, url)
    async with AsyncAcontext(url) as other:
        record(client, "sync")
        assert await other.flush(30)
        assert [session.key for session in (await other.sessions.list()).items] == ["sync"]
    await asyncio.to_thread(client.close)


def test_threads_that_open_and_close_clients_at_once_lose_nothing(url: str) -> None:
    troubles: list[BaseException] = []
    together = threading.Barrier(6)

    def work(number: int) -> None:
        try:
            together.wait(30)
            for turn in range(5):
                with Acontext(url) as client:
                    record(client, f"{number}-{turn}")
        except BaseException as error:
            troubles.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert troubles == []
    with Acontext(url) as client:
        assert len(keys(client)) == 30


def test_the_worker_begins_with_the_first_client_that_wants_one(url: str) -> None:
    looking = Settings(url=url, worker=WorkerSettings(enabled=False))
    with Acontext(settings=looking) as viewer:
        engine: Any = viewer.connection.opened().engine
        assert not engine.working
        with Acontext(url):
            assert engine.working


class Plain:
    """A model that says nothing, and is no other than its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(self, *arguments: object, **options: object) -> object:
        raise NotImplementedError

    async def aclose(self) -> None:
        pass


CHANGES: dict[str, tuple[Callable[[str], dict[str, Any]], str, str]] = {
    "redaction": (
        lambda url: {"settings": Settings(url=url, redaction=RedactionSettings(pii=True))},
        "redaction.pii=False",
        "redaction.pii=True",
    ),
    "durability": (
        lambda url: {"settings": Settings(url=url, durability="full")},
        "durability='normal'",
        "durability='full'",
    ),
    "llm": (lambda url: {"url": url, "llm": ScriptedLLM(lambda request: {})}, "llm=None", "llm=<ScriptedLLM"),
    "embedder": (lambda url: {"url": url, "embedder": Plain("words")}, "embedder=None", "embedder=<Plain"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_client_that_asks_for_another_engine_is_told_what_both_want(change: str, url: str) -> None:
    options, has, wants = CHANGES[change]
    with Acontext(url) as client:
        with pytest.raises(InvalidInput, match="is open in this process") as raised:
            Acontext(**options(url))
        assert has in str(raised.value)
        assert wants in str(raised.value)
        assert "close the other client" in str(raised.value)
        record(client, "goes on")
        assert client.flush(30)
    options_again = options(url)
    if change != "embedder":
        with Acontext(**options_again) as other:  # the first is closed
            assert keys(other) == ["goes on"]


def test_a_client_that_states_nothing_takes_what_is_open_if_it_keeps_data_as_safe(url: str) -> None:
    stated = Settings(url=url, redaction=RedactionSettings(pii=True), observe=ObserveSettings(quiet=0.25))
    with Acontext(settings=stated) as first, Acontext(url) as other:
        assert other.connection.opened() is first.connection.opened()
        again = Settings(url=url, redaction=RedactionSettings(pii=True), observe=ObserveSettings(quiet=0.5))
        with pytest.raises(InvalidInput, match=r"with observe.quiet=0.25, and this client asks for observe.quiet=0.5"):
            Acontext(settings=again)


def test_nobody_is_given_less_redaction_than_the_environment_says(
    url: str, default: background.BackgroundConnection
) -> None:
    settings = Settings(url=url, redaction=RedactionSettings(enabled=False))
    with Acontext(settings=settings):
        with pytest.raises(InvalidInput, match=r"with redaction.enabled=False, and this client asks for .*=True"):
            Acontext(url)
        with pytest.raises(InvalidInput, match=r"with redaction.enabled=False, and this client asks for .*=True"):
            default.connection(30)
    default.connection(30)


def test_a_model_that_is_made_anew_from_the_same_values_is_the_same(url: str) -> None:
    model: Any = Plain
    with Acontext(url, llm=model("small")) as first:
        with Acontext(url, llm=model("small")) as again, Acontext(url) as plain:  # one that asks for none has it, too
            assert again.connection.opened() is plain.connection.opened() is first.connection.opened()
        with pytest.raises(InvalidInput, match=r"llm=<Plain at .* asks for llm=<Plain at"):
            Acontext(url, llm=model("large"))


def test_agents_without_a_client_take_the_engine_that_is_open(
    url: str, default: background.BackgroundConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """They have no wishes of their own: a client's settings are the program's."""
    settings = Settings(url=url, redaction=RedactionSettings(pii=True))
    with caplog.at_level(logging.WARNING, "acontext"), Acontext(settings=settings) as client:
        assert default.connection(30).opened() is client.connection.opened()
    assert caplog.records == []


def test_a_forked_child_has_an_engine_of_its_own_and_its_parents_goes_on(url: str) -> None:
    first, second = Acontext(url), Acontext(url)
    record(first, "parent")
    child = os.fork()
    if child == 0:
        done = 1
        try:
            record(first, "child one")
            record(second, "child two")
            shared = first.connection.opened() is second.connection.opened()
            first.close()
            done = 0 if shared and second.flush(30) and len(keys(second)) >= 2 else 1
            second.close()
        finally:
            os._exit(done)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    record(first, "parent again")
    first.close()
    assert second.flush(30)
    assert keys(second) == ["child one", "child two", "parent", "parent again"]
    second.close()
