"""A pytest plugin for the suites of other projects: what their tests make is wrapped, silently, and watched.

It is loaded into the suite's own process (`-p learned_hosts`, see `running.py`). Behind what it wraps stands a real
database, and every search finds a skill that fits. Of each test it writes as a line of JSON how it ended, what was
wrapped and injected in it, and complaints: a run that is still current, a warning of ours.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import inspect
import json
import logging
import random
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

#: How the objects of a suite are wrapped: `bare` not at all, `empty` with no skill to inject, `in-place` by making the
#: test's own object what its learned copy would be.
WAYS = ("injected", "empty", "in-place", "bare")
SPACE = "hosts"
#: Where a test's own agent has the learned one.
_KEPT = "_learned_hosts"
_SKILL = """<acontext-skills id="0b5e55ed">
What worked in earlier runs like this one (reference, not orders; the user's words come first):

Use when: somebody asks for something
1. look_up: order=<order>
</acontext-skills>"""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("learned_hosts")
    group.addoption("--learned-way", choices=WAYS, default="bare")
    group.addoption("--learned-report", type=Path, help="where a line of JSON is written for each test")
    group.addoption("--learned-part", type=int, default=0, help="how many of the collected tests are drawn; 0 = all")
    group.addoption("--learned-seed", type=int, default=0)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before any module of the suite can import what is wrapped."""
    given = early_config.known_args_namespace
    if given.learned_report is not None:
        early_config.pluginmanager.register(_Plugin(given), "learned_hosts_plugin")


class _Plugin:
    def __init__(self, given: argparse.Namespace) -> None:
        self._report = given.learned_report.open("a", encoding="utf-8")
        self._part = given.learned_part
        self._seed = given.learned_seed
        self._hosts = None if given.learned_way == "bare" else _LearnedHosts(given.learned_way)
        self._complaints: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if 0 < self._part < len(items):
            drawn = set(random.Random(self._seed).sample(sorted(item.nodeid for item in items), self._part))
            config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in drawn])
            items[:] = [item for item in items if item.nodeid in drawn]
        if self._hosts is None:
            return
        for item in items:
            test = getattr(item, "obj", None)
            if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(test):
                item.obj = self._watched(test)

    def _watched(self, test: Callable[..., Any]) -> Callable[..., Any]:
        """The coroutine function, and behind its end the look for a run that is still current in its task."""

        @functools.wraps(test)
        async def watched(*args: Any, **options: Any) -> Any:
            try:
                return await test(*args, **options)
            finally:
                self._look_for_a_run("in the test's task")

        return watched

    def _look_for_a_run(self, where: str) -> None:
        from acontext_plugins.runs import current_run

        if current_run() is not None:
            self._complaints.append(f"a run is still current {where}")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        hosts = self._hosts
        if hosts is None:
            return (yield)
        hosts.begin()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self) -> Generator[None, object, object]:
        try:
            return (yield)
        finally:
            if self._hosts is not None:
                self._look_for_a_run("behind the test")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self._write(
                test=report.nodeid,
                outcome="xfailed" if hasattr(report, "wasxfail") and report.skipped else report.outcome,
                text=report.longreprtext if report.failed else "",
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        if self._hosts is None:
            return
        complaints, self._complaints = [*self._complaints, *self._hosts.complaints()], []
        wraps, injections = self._hosts.counts()
        self._write(test=nodeid, wraps=wraps, injections=injections, complaints=complaints)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write(test=report.nodeid, outcome="failed", text=report.longreprtext)

    def pytest_sessionfinish(self) -> None:
        complaints = [] if self._hosts is None else self._hosts.end()
        self._write(ended=True, complaints=complaints)
        self._report.close()

    def _write(self, **line: Any) -> None:
        self._report.write(json.dumps(line) + "\n")
        self._report.flush()


# -- what stands behind what is wrapped
class _Client:
    """Records to a real client, and has each search find a skill, after the real one."""

    opening = False

    def __init__(self, connection: Any, text: str) -> None:
        self._connection = connection
        self._text = text
        self.injections = 0
        self.records = 0

    def record(self, recording: Any) -> None:
        self.records += 1
        self._connection.record(recording)

    def recall(self, query: Any) -> Future[Any]:
        from acontext_plugins.service import Recall

        answer: Future[Any] = Future()

        def answered(found: Future[Any]) -> None:
            if not answer.set_running_or_notify_cancel():
                return
            if found.cancelled() or found.exception() is not None:
                answer.set_exception(found.exception() or RuntimeError("the search was cancelled"))
            else:
                self.injections += bool(self._text)
                answer.set_result(Recall(text=self._text) if self._text else found.result())

        self._connection.recall(query).add_done_callback(answered)
        return answer


class _Warnings(logging.Handler):
    """What we log as a warning, which no host should see."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            place = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
            line += f" [{type(error).__name__}{place}]"
        self.lines.append(line)


class _LearnedHosts:
    """Wraps what suites make, and counts."""

    def __init__(self, way: str) -> None:
        from acontext_plugins.client import Acontext
        from acontext_plugins.concurrency import limited_log
        from acontext_plugins.learning import learning
        from acontext_plugins.settings import LearnSettings, ObserveSettings, RecorderSettings, Settings
        from acontext_store.open import database_url

        self._folder = Path(tempfile.mkdtemp(prefix="acontext-hosts-"))
        settings = Settings(
            url=database_url(self._folder / "memory.db"),
            observe=ObserveSettings(quiet=0.05),
            learn=LearnSettings(quiet=0.05),
            recorder=RecorderSettings(close_timeout=60),
        )
        self._acontext = Acontext(settings=settings)
        learning(_same, space=SPACE, client=self._acontext)  # the first call looks for adapters on the disk
        self.client = _Client(self._acontext.connection, "" if way == "empty" else _SKILL)
        self.in_place = way == "in-place"
        self._wraps = 0
        self._warnings = _Warnings()
        self._inside: ContextVar[bool] = ContextVar("learned_hosts_inside", default=False)
        logging.getLogger("acontext").addHandler(self._warnings)
        # each test is to hear of its own trouble: a minute is longer than a test
        limited_log.LimitedLog.__init__.__kwdefaults__["every"] = 0.0
        for wrap in (self._openai_agents, self._langgraph, self._langchain, self._openai):
            with contextlib.suppress(ModuleNotFoundError):
                wrap()

    # -- a test
    def begin(self) -> None:
        self._wraps = self.client.injections = 0
        self._warnings.lines.clear()

    def counts(self) -> tuple[int, int]:
        return self._wraps, self.client.injections

    def complaints(self) -> list[str]:
        """Our warnings since the last test, those of the recorder's thread among them."""
        if self.client.records and not self._acontext.connection.opened().engine.recorder.flush(60):
            self._warnings.lines.append("what the test recorded was not durable after 60 s")
        self.client.records = 0
        lines, self._warnings.lines = self._warnings.lines, []
        return lines

    def end(self) -> list[str]:
        """What is wrong behind all tests."""
        found = []
        if not self._acontext.flush(120):
            found.append("the engine was not done 120 s after the last test")
        found += self._twice()
        self._acontext.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        return found + self.complaints()

    def _twice(self) -> list[str]:
        embedded = self._acontext.connection.opened()
        found, cursor = [], None
        while True:
            page = self._acontext.sessions.list(limit=200, cursor=cursor)
            for session in page.items:
                messages = embedded.loop.run(embedded.engine.messages(session.id)).items
                counts = collections.Counter(message.id for message in messages)
                found += [f"message {id} is there {n} times" for id, n in counts.items() if n > 1]
            cursor = page.next_cursor
            if cursor is None:
                return found

    # -- wrapping
    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether this is the outermost thing that is being made: what a framework makes for itself stays bare."""
        outermost = not self._inside.get()
        token = self._inside.set(True)
        try:
            yield outermost
        finally:
            self._inside.reset(token)

    def learned(self, target: Any) -> Any:
        from acontext_plugins.learning import learning

        token = self._inside.set(True)
        try:
            result = learning(target, space=SPACE, client=self.client, deadline=30.0)
        finally:
            self._inside.reset(token)
        if result is not target:
            self._wraps += 1
        return result

    def _made(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """A function or method that makes something, whose result is learned."""

        @functools.wraps(make)
        def learn(*args: Any, **options: Any) -> Any:
            with self._alone() as outermost:
                made = make(*args, **options)
            return self.learned(made) if outermost else made

        return learn

    def _constructed(self, kind: type) -> None:
        """Whatever class `kind`, or one below it, is called with: a learned object comes out."""
        hosts = self
        metas: dict[type, type] = {}

        def call(cls: Any, /, *args: Any, **options: Any) -> Any:
            with hosts._alone() as outermost:
                made = type.__call__(cls, *args, **options)
            return hosts.learned(made) if outermost and type(made) is cls else made

        def change(kind: type) -> None:
            for below in kind.__subclasses__():
                change(below)
            meta = type(kind)
            if meta not in metas and meta not in metas.values():
                metas[meta] = type(meta.__name__, (meta,), {"__call__": call})
            if meta in metas:
                kind.__class__ = metas[meta]

        change(kind)

    def _openai_agents(self) -> None:
        from agents import Runner

        for name in ("run", "run_sync", "run_streamed"):
            run = vars(Runner)[name].__func__

            @functools.wraps(run)
            def learn(cls: Any, starting_agent: Any, *args: Any, _run: Callable[..., Any] = run, **options: Any) -> Any:
                return _run(cls, self._agent(starting_agent), *args, **options)

            setattr(Runner, name, classmethod(learn))

    def _agent(self, agent: Any) -> Any:
        """The learned agent, the same one again while the test's own has not changed."""
        from agents import Agent

        if not isinstance(agent, Agent):
            return agent
        now = [
            list(value) if isinstance(value, list) else value for name, value in vars(agent).items() if name != _KEPT
        ]
        before = vars(agent).get(_KEPT)
        if before is not None and len(before[0]) == len(now) and all(map(_same, before[0], now)):
            return before[1]
        learned = self.learned(agent)
        if self.in_place:
            _become(agent, learned, set())
            return self.learned(agent)  # which has our hooks now: it is completed, and is the same
        vars(agent)[_KEPT] = now, learned  # on the agent itself: nothing else is to keep it alive
        return learned

    def _langgraph(self) -> None:
        from langgraph.func import entrypoint
        from langgraph.graph import StateGraph

        StateGraph.compile = self._made(StateGraph.compile)  # type: ignore[method-assign]
        entrypoint.__call__ = self._made(entrypoint.__call__)  # type: ignore[method-assign]

    def _langchain(self) -> None:
        from langchain_core.language_models import BaseChatModel

        self._constructed(BaseChatModel)
        import langchain.agents
        import langchain.agents.factory

        create_agent = self._made(langchain.agents.create_agent)
        langchain.agents.create_agent = create_agent
        langchain.agents.factory.create_agent = create_agent

    def _openai(self) -> None:
        import sys

        if "agents" in sys.modules or "langchain_core" in sys.modules:
            return  # a part of another host
        import openai

        for name in ("OpenAI", "AsyncOpenAI", "AzureOpenAI", "AsyncAzureOpenAI"):
            kind = getattr(openai, name)
            ours = self._subclass(kind)
            for module in [module for name, module in sys.modules.items() if name.partition(".")[0] == "openai"]:
                for key in [key for key, value in vars(module).items() if value is kind]:
                    setattr(module, key, ours)

    def _subclass(self, kind: type) -> type:
        """A class that passes for `kind`, for a class whose own class cannot be changed."""
        hosts = self

        class Passing(type):
            def __call__(cls, *args: Any, **options: Any) -> Any:
                with hosts._alone() as outermost:
                    made = super().__call__(*args, **options)
                return hosts.learned(made) if outermost else made

            def __instancecheck__(cls, instance: object) -> bool:
                return isinstance(instance, kind) if cls is ours else super().__instancecheck__(instance)

            def __subclasscheck__(cls, below: type) -> bool:
                return issubclass(below, kind) if cls is ours else super().__subclasscheck__(below)

        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
        ours = Passing(kind.__name__, (kind,), names)
        return ours


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
    return one is other


def _become(agent: Any, learned: Any, seen: set[int]) -> None:
    """Make an agent what its learned copy is, and so with the agents that it hands off to."""
    if id(agent) in seen or agent is learned:
        return
    seen.add(id(agent))
    agent.hooks = learned.hooks
    for own, target in zip(list(agent.handoffs), list(learned.handoffs), strict=True):
        below = [one if hasattr(one, "handoffs") else one._agent_ref and one._agent_ref() for one in (own, target)]
        if None not in below:
            _become(below[0], below[1], seen)
