"""`pytest --forks N`: the tests are imported and collected once, and run by N processes forked from there.

What they import takes longer than most of them: ten seconds, which workers that begin anew would each take. The forks
take groups of tests from one queue, slow groups first; what they report is reported here, as if it had run here.
"""

from __future__ import annotations

import mmap
import os
import threading
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, cast

import pytest

from . import warm

#: Tests at most that a fork takes at once. A group is of one class or file, whose fixtures it may share.
_GROUP = 40
#: Plugins that show or keep what this process is told; the forks tell it.
_OF_THE_PARENT = ("terminalreporter", "lfplugin", "nfplugin", "stepwiseplugin")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--forks", type=int, default=1, metavar="N", help="collect once, and run tests in N processes")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    count = session.config.getoption("forks")
    if count < 2 or session.config.option.collectonly or session.testsfailed:
        return None
    assert threading.active_count() == 1, f"imports have started threads: {threading.enumerate()}"
    work = Work(session.items)
    forks = [Fork(session, work, number) for number in range(count)]
    try:
        _report(session, work, {fork.told: fork for fork in forks})
    finally:
        work.stop()
        for fork in forks:
            fork.end()
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    return True


class Work:
    """Groups of tests that are still to be run. Forks share it."""

    def __init__(self, items: list[pytest.Item]) -> None:
        self._groups = _groups(items)
        self._queue, writing = os.pipe()
        # fewer than fit into a pipe: a group is two bytes
        os.write(writing, b"".join(number.to_bytes(2) for number in range(len(self._groups))))
        os.close(writing)
        self._stopped = mmap.mmap(-1, 1)

    def stop(self) -> None:
        self._stopped[0] = 1

    def take(self) -> Iterator[pytest.Item]:
        """Tests that no other fork takes."""
        while number := os.read(self._queue, 2):
            for item in self._groups[int.from_bytes(number)]:
                if self._stopped[0]:
                    return
                yield item


def _groups(items: list[pytest.Item]) -> list[list[pytest.Item]]:
    scopes: dict[str, list[pytest.Item]] = {}
    for item in items:
        scopes.setdefault(item.nodeid.partition("[")[0].rpartition("::")[0], []).append(item)
    groups = [scope[at : at + _GROUP] for scope in scopes.values() for at in range(0, len(scope), _GROUP)]
    return sorted(groups, key=lambda group: not any(item.get_closest_marker("slow") for item in group))


class Fork:
    """A process that runs tests, and what it tells: reports of tests, and in the end how it went."""

    def __init__(self, session: pytest.Session, work: Work, number: int) -> None:
        self.told, telling = Pipe(duplex=False)
        self.last = "its first test"
        factory = session.config._tmp_path_factory  # type: ignore[attr-defined]
        folder = factory.getbasetemp() / f"fork{number}"
        self._process = os.fork()
        if self._process == 0:
            try:
                self.told.close()
                folder.mkdir()
                factory._basetemp = folder
                _run(session, work, telling)
            finally:
                os._exit(1)  # not reached where all went well
        telling.close()

    def end(self) -> None:
        self.told.close()
        os.waitpid(self._process, 0)


def _report(session: pytest.Session, work: Work, forks: dict[Connection, Fork]) -> None:
    """Pass on what forks tell until all have ended."""
    hook = session.config.hook
    while forks:
        for told in cast(list[Connection], wait(list(forks))):
            try:
                message = told.recv()
            except EOFError:
                raise RuntimeError(f"a process of --forks has died after {forks[told].last}") from None
            if isinstance(message, str):
                if message:
                    raise RuntimeError(f"a process of --forks has ended: {message}")
                del forks[told]
                continue
            for kept in message:
                report = hook.pytest_report_from_serializable(config=session.config, data=kept)
                forks[told].last = report.nodeid
                hook.pytest_runtest_logreport(report=report)
            if session.shouldfail:
                work.stop()


def _run(session: pytest.Session, work: Work, telling: Connection) -> None:
    """Run tests until there are none left. Ends the process."""
    config = session.config
    for name in _OF_THE_PARENT:
        if (plugin := config.pluginmanager.getplugin(name)) is not None:
            config.pluginmanager.unregister(plugin)
    config.pluginmanager.register(Telling(config, telling))
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()  # into files that the forks would share
    capture.start_global_capturing()
    capture.suspend_global_capture()
    trouble = ""
    try:
        items = work.take()
        item = next(items, None)
        while item is not None:
            following = next(items, None)
            config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            item = following
        session._setupstate.teardown_exact(None)
        warm.close()
        config._ensure_unconfigure()
    except BaseException:
        trouble = traceback.format_exc()
    telling.send(trouble)
    os._exit(0)


class Telling:
    """Sends what a test reported when the test is over."""

    def __init__(self, config: pytest.Config, telling: Connection) -> None:
        self._config = config
        self._telling = telling
        self._reports: list[dict[str, Any] | None] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reports.append(self._config.hook.pytest_report_to_serializable(config=self._config, report=report))

    def pytest_runtest_logfinish(self) -> None:
        self._telling.send(self._reports)
        self._reports.clear()
