"""Wrapping an agent or a team: a clone whose runs are watched, with a model that is seen into.

The clone is of a class that lies over the host's: the methods that run it are looked up at each call, so that what
the host puts in their place, on the object or on the class, before or after, is what runs.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import FunctionType, MethodType
from typing import Any
from uuid import uuid4

from agno.models.base import Model

from acontext_plugins.learning import loaded
from acontext_plugins.run_options import refuse_catalog
from acontext_plugins.runs import Runtime, current_run

from ..shared.subclass import class_under, mark_in, over, under
from .model import bare_model, learning_model, owner_of
from .run_tracker import AgnoRunTracker, current_watch, paused_runs

#: Teams may never be imported; the import would take its time.
_is_agent, _is_team = loaded("agno.agent", "Agent"), loaded("agno.team", "Team")
#: The lists of a FallbackConfig.
_FALLBACKS = ("on_error", "on_rate_limit", "on_context_overflow")


def wrap(target: Any, runtime: Runtime) -> Any:
    """The clone of an agent or a team that records, and is given skills."""
    known = wrapped_of(target)
    if known is not None and known.runtime.same_as(runtime):
        return target
    return _TeamCloner(runtime).clone(target)


@dataclass(eq=False)
class AgentMark:
    """How an agent or a team is wrapped. It goes with every copy of it."""

    runtime: Runtime
    #: The user has not wrapped it: the team that it is a member of was.
    implicit: bool
    #: Session ids that nobody has chosen.
    made_up: set[str] = field(default_factory=set)


def wrapped_of(target: Any) -> WrappedAgent | None:
    """How an agent or a team is wrapped; None where it is not."""
    mark = mark_in(target)
    return WrappedAgent(mark, target) if isinstance(mark, AgentMark) else None


class WrappedAgent:
    """A wrapped agent or team, and how it is wrapped."""

    def __init__(self, mark: AgentMark, clone: Any) -> None:
        self.mark = mark
        self.clone = clone
        self.runtime = mark.runtime

    @property
    def system_role(self) -> str:
        return getattr(self.clone, "system_message_role", None) or "system"

    def is_run_of(self, output: Any) -> bool:
        """Whether agno speaks of a run of this agent or team."""
        kind = "team_id" if _is_team(self.clone) else "agent_id"
        return hasattr(output, kind) and getattr(output, kind) == self.clone.id

    # -- runs
    def starts(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AgnoRunTracker | None:
        """A run begins; None where we had trouble with it."""
        with self.runtime.guard("run start"):
            self.own_models()
            key, session_id = self._session(kwargs.get("session_id"))
            asked = kwargs["input"] if "input" in kwargs else args[0] if args else None
            tracker = self._watch(key, session_id, run_id=None)
            tracker.asked = asked
            tracker.detached = bool(kwargs.get("background"))
            return tracker
        return None

    def resumes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AgnoRunTracker | None:
        """A run goes on; None where we had trouble with it."""
        with self.runtime.guard("run resume"):
            self.own_models()
            output = kwargs.get("run_response") or (args[0] if args else None)
            key, session_id = self._session(getattr(output, "session_id", None) or kwargs.get("session_id"))
            branches = bool(kwargs.get("fork") or kwargs.get("regenerate"))
            run_id = getattr(output, "run_id", None) or kwargs.get("run_id")
            paused = None if branches else paused_runs.take(run_id, self.runtime)
            tracker = self._watch(key, session_id, run_id=None if branches else run_id)
            tracker.resume(paused, asked=bool(kwargs.get("input")))
            if kwargs.get("regenerate") and kwargs.get("replace_original") is not False:
                tracker.replaces = getattr(output, "run_id", None) or kwargs.get("run_id")
            tracker.detached = bool(kwargs.get("background"))
            return tracker
        return None

    def _watch(self, key: str, session_id: str, *, run_id: str | None) -> AgnoRunTracker:
        around = current_watch.get()
        call = around.running_call() if around is not None and around.run is current_run() else None
        call_id = call.claim() if call is not None else None
        label = self.clone.name or self.clone.id or type(self.clone).__name__
        run = self.runtime.start(label=label, session_key=key, run_id=run_id, parent_call_id=call_id)
        tracker = AgnoRunTracker(self, self.runtime, run, session_id)
        tracker.checks_output = bool(getattr(self.clone, "post_hooks", None))
        tracker.checks = tracker.checks_output or bool(getattr(self.clone, "pre_hooks", None))
        tracker.runs_in(call, as_member=around is not None and _is_team(getattr(around.owner, "clone", None)))
        return tracker

    def _session(self, given: str | None) -> tuple[str, str]:
        """Which session of ours, and which of agno's. Agno makes one up where it has none, and keeps it; so do we."""
        session_id = given or self.clone.session_id
        if not session_id:
            session_id = self.clone.session_id = str(uuid4())
            self.mark.made_up.add(session_id)
        made_up = given is None and session_id in self.mark.made_up
        return (self.runtime.options.session if made_up else None) or session_id, session_id

    # -- models
    def own_models(self) -> None:
        """See into the models that the clone has now; the host may have given it others."""
        clone, mark = self.clone, self.mark
        if clone.model is None:  # agno is about to choose one
            (clone.initialize_team if _is_team(clone) else clone.initialize_agent)()
        if clone.model is not None and owner_of(clone.model) is not mark:
            clone.model = learning_model(clone.model, mark)
        config = getattr(clone, "fallback_config", None)
        if config is not None and any(isinstance(one, Model) and owner_of(one) is not mark for one in _models(config)):
            clone.fallback_config = _with_models(config, lambda model: learning_model(model, mark))


def read_acontext_skill(skill: str) -> str:
    """The steps of a skill that earlier runs have learned.

    Args:
        skill: The skill's name: the eight characters at the beginning of its line.
    """
    run = current_run()
    return "The skills cannot be read now: go on without." if run is None else run.read_skill(skill)


def _own_tools(tools: Iterable[Any]) -> list[Any]:
    return [tool for tool in tools if tool is not read_acontext_skill]


class _TeamCloner:
    """One `learning(...)`: each member of a team is cloned once, wherever it stands."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        #: The original beside its clone, so that its id stays its own.
        self._clones: dict[int, tuple[Any, Any]] = {}

    def clone(self, original: Any, *, implicit: bool = False) -> Any:
        if id(original) in self._clones:
            return self._clones[id(original)][1]
        clone = over(bare(original), LearnedAgent, AgentMark(self.runtime, implicit))
        for name, value in vars(clone).items():
            if type(value) in (list, dict, set):
                setattr(clone, name, value.copy())
        self._clones[id(original)] = original, clone
        options = self.runtime.options
        if options.inject_as == "catalog" and options.inject and options.space is not None:
            if callable(clone.tools):
                refuse_catalog(options, "an agent whose tools are made by a function")
            clone.tools = [*_own_tools(clone.tools or ()), read_acontext_skill]
        if _is_team(clone):
            clone.members = self._members(clone.members)
        return clone

    def _members(self, members: Any) -> Any:
        if isinstance(members, list):
            return [self._member(member) for member in members]
        if not callable(members):
            return members

        @functools.wraps(members)
        def factory(*args: Any, **kwargs: Any) -> Any:
            made = members(*args, **kwargs)
            if inspect.isawaitable(made):
                return self._awaited(made)
            with self.runtime.guard("members"):
                return _TeamCloner(self.runtime)._members(made)
            return made

        return factory

    async def _awaited(self, made: Any) -> Any:
        members = await made
        with self.runtime.guard("members"):
            return _TeamCloner(self.runtime)._members(members)
        return members

    def _member(self, member: Any) -> Any:
        if not (_is_agent(member) or _is_team(member)):
            return member
        known = wrapped_of(member)
        return self.clone(member, implicit=True) if known is None or known.mark.implicit else member


def _models(config: Any) -> list[Any]:
    return [model for name in _FALLBACKS for model in getattr(config, name, None) or ()]


def _with_models(config: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of a FallbackConfig with other models."""
    copied = copy.copy(config)
    for name in _FALLBACKS:
        if getattr(config, name, None):
            setattr(copied, name, [change(model) for model in getattr(config, name)])
    return copied


def bare(target: Any) -> Any:
    """An agent or a team as it would be had nobody wrapped it; itself where nobody has."""
    if wrapped_of(target) is None:
        return target
    plain = under(target)
    plain.model = bare_model(plain.model)
    if isinstance(plain.tools, list):
        plain.tools = _own_tools(plain.tools)
    if getattr(plain, "fallback_config", None) is not None:
        plain.fallback_config = _with_models(plain.fallback_config, bare_model)
    if isinstance(getattr(plain, "members", None), list):
        plain.members = [_as_given(member) for member in plain.members]
    return plain


def _as_given(member: Any) -> Any:
    known = wrapped_of(member)
    return bare(member) if known is not None and known.mark.implicit else member


# -- the methods
#: Where a method that is followed keeps the one that it follows.
_FOLLOWS = "__acontext_follows__"


class _Method:
    """A method of the host's class, or what the host has put in its place, found at each call and followed."""

    def __init__(self, name: str, follow: Callable[[Any, WrappedAgent], Any]) -> None:
        self._name = name
        self._follow = follow

    def __get__(self, agent: Any, kind: type) -> Any:
        if agent is None:
            return getattr(class_under(kind), self._name)
        own = vars(agent).get(self._name, self)
        method = getattr(super(LearnedAgent, agent), self._name) if own is self else own
        wrapped = wrapped_of(agent)
        if wrapped is None or not isinstance(method, FunctionType | MethodType):
            return method  # a stand-in is what the host wants to see
        followed: Any = functools.wraps(method)(self._follow(method, wrapped))
        setattr(followed, _FOLLOWS, method)
        return followed

    def __set__(self, agent: Any, value: Any) -> None:
        vars(agent)[self._name] = getattr(value, _FOLLOWS, value)

    def __delete__(self, agent: Any) -> None:
        if self._name not in vars(agent):
            raise AttributeError(self._name)
        del vars(agent)[self._name]


def _run(method: Any, wrapped: WrappedAgent) -> Any:
    return _watched(method, wrapped.starts)


def _resume(method: Any, wrapped: WrappedAgent) -> Any:
    return _watched(method, wrapped.resumes)


def _deep_copy(method: Any, wrapped: WrappedAgent) -> Any:
    """`deep_copy()` of what is wrapped is wrapped in the same way."""

    def deep_copy(*args: Any, **kwargs: Any) -> Any:
        made = method(*args, **kwargs)
        with wrapped.runtime.guard("copy"):
            if wrapped_of(made) is None:
                if owner_of(made.model) is not None:
                    made.model = bare_model(made.model)
                return _TeamCloner(wrapped.runtime).clone(made, implicit=wrapped.mark.implicit)
        return made

    return deep_copy


class LearnedAgent:
    """What lies over an agent's or a team's class."""

    run = _Method("run", _run)
    arun = _Method("arun", _run)
    continue_run = _Method("continue_run", _resume)
    acontinue_run = _Method("acontinue_run", _resume)
    deep_copy = _Method("deep_copy", _deep_copy)


def _watched(method: Any, begin: Callable[..., AgnoRunTracker | None]) -> Any:
    """A method that runs the agent, and a watch over each run."""

    def run(*args: Any, **kwargs: Any) -> Any:
        tracker = begin(args, kwargs)
        if tracker is None:
            return method(*args, **kwargs)
        try:
            with tracker.active():
                result = method(*args, **kwargs)
        except BaseException as error:
            tracker.raised(error)
            raise
        return _followed(result, tracker)

    return run


# -- following a run to its end
def _followed(result: Any, tracker: AgnoRunTracker) -> Any:
    """`result`, or something of its kind that tells when it ends."""
    if inspect.iscoroutine(result):
        return _awaited(result, tracker)
    if inspect.isasyncgen(result):
        return _async_steps(result, tracker)
    if inspect.isgenerator(result):
        return _steps(result, tracker)
    if hasattr(result, "status"):
        tracker.returned(result)
    return result


async def _awaited(coroutine: Any, tracker: AgnoRunTracker) -> Any:
    try:
        with tracker.active():
            result = await coroutine
    except BaseException as error:
        tracker.raised(error)
        raise
    return _followed(result, tracker)


def _steps(generator: Any, tracker: AgnoRunTracker) -> Any:
    """Run a stream step by step: the run is current inside of it, never in its consumer."""
    step, argument = generator.send, None
    while True:
        try:
            with tracker.active():
                item = step(argument)
        except StopIteration as stop:
            tracker.exhausted()
            return stop.value
        except BaseException as error:
            tracker.raised(error)
            raise
        tracker.saw(item)
        try:
            argument = yield item
            step = generator.send
        except GeneratorExit as gone:
            with tracker.active():
                generator.close()
            tracker.raised(gone)
            raise
        except BaseException as error:
            step, argument = generator.throw, error


async def _async_steps(generator: Any, tracker: AgnoRunTracker) -> Any:
    """The same for an async stream."""
    step, argument = generator.asend, None
    while True:
        try:
            with tracker.active():
                item = await step(argument)
        except StopAsyncIteration:
            tracker.exhausted()
            return
        except BaseException as error:
            tracker.raised(error)
            raise
        tracker.saw(item)
        try:
            argument = yield item
            step = generator.asend
        except GeneratorExit as gone:
            with tracker.active():
                await generator.aclose()
            tracker.raised(gone)
            raise
        except BaseException as error:
            step, argument = generator.athrow, error
