"""LiteLLM's SDK keeps the contract of all adapters: its functions, sync and async, its router, and callbacks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import litellm
import openai
import pytest

from acontext_adapters.litellm import bodies, functions, streams
from acontext_adapters.model_calls import CallRecorder, chat
from acontext_adapters.model_calls import turns as model_calls
from acontext_adapters.testing import AdapterContract, HostTools, MemoryClient, Played, Turn
from acontext_adapters.testing.contract import ContextContract, InjectingContract, RecordingContract
from acontext_adapters.testing.option_contract import OptionContract, WrappingContract
from acontext_plugins import runs
from acontext_plugins.learning import learning

from .scripted import MODEL, provider, talk, teach

STEPS: list[tuple[Any, str]] = [
    (functions, "begin"),
    (functions, "_positions"),
    (functions, "injected"),
    (functions, "body_of"),
    (functions, "session_of"),
    (functions, "as_json"),
    (functions, "watched"),
    (functions.Attempt, "_inject"),
    (bodies, "_plain"),
    (streams, "_events"),
    (streams, "_chat_event"),
    (streams.StreamRecorder, "_says_anything"),
    (model_calls.CallRecorder, "_begin"),
    (model_calls.CallRecorder, "_answered"),
    (model_calls.CallRecorder, "_ended"),
    (runs.Run, "record"),
    (chat.Chat, "with_skills"),
]


@pytest.fixture(autouse=True)
def _taught(monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM knows the scripted provider. What is known of conversations is bounded, here closely."""
    teach()
    monkeypatch.setattr(functions, "calls", CallRecorder(turns=4, sessions=8))


@contextlib.contextmanager
def own_errors() -> Iterator[None]:
    """LiteLLM's exceptions hold tracebacks in their words: a host that compares them looks at what is behind."""
    try:
        yield
    except openai.APIError as error:
        raise (error.__context__ or error) from error


class _Sdk(WrappingContract, OptionContract, InjectingContract, RecordingContract):
    """What is kept and injected, and what `learning` is told: for every client of the SDK."""

    function: Any = staticmethod(litellm.acompletion)
    inject_as: Any = "system"
    unsupported: ClassVar[Mapping[str, str]] = {
        "current_run_in_tools": "the host calls its tools itself, between two calls of the model",
        "cancellation": "nobody tells a function that it will not be called again",
        "resume": "a function never waits for a person: the host does",
        "fates": "the host runs its tools itself, between two calls of the model, and says only what came back",
        "refusal": "the host refuses a call in words of its own, as the result",
    }

    def memory(self, memory: MemoryClient | None, options: dict[str, Any]) -> Any:
        """What the host calls."""
        if memory is None:
            return self.function
        return learning(self.function, **self.given(memory, options))

    def given(self, memory: MemoryClient, options: dict[str, Any]) -> dict[str, Any]:
        return {"space": "s", "client": memory, "deadline": 0.01, "inject_as": self.inject_as} | options

    async def play(
        self,
        turns: Sequence[Turn],
        tools: HostTools,
        memory: MemoryClient | None,
        *,
        streamed: bool = False,
        **options: Any,
    ) -> Played:
        provider.script(turns)
        complete = self.memory(memory, options)
        played = Played()
        history: list[Any] = []
        with own_errors():
            for turn in turns:
                history.append({"role": "user", "content": turn.says})
                played.see(await talk(complete, history, tools, streamed=streamed, see=played.see))
        played.prompts = provider.prompts
        played.history = [one if isinstance(one, dict) else one.model_dump() for one in history]
        return played

    def words_of(self, line: str) -> str:
        return "error" if line.startswith("result: Error: ") else super().words_of(line)


class TestACompletion(_Sdk, AdapterContract):
    """All of the contract; the rest of it is the same for all clients."""

    steps: ClassVar[Any] = [*STEPS, (runs.Run, "arecall")]
    runs = 60


class TestCompletion(_Sdk):
    function = staticmethod(litellm.completion)


class TestACompletionInTheUsersTurn(_Sdk):
    inject_as = "user"


class TestRouter(_Sdk):
    def memory(self, memory: MemoryClient | None, options: dict[str, Any]) -> Any:
        models = [{"model_name": MODEL, "litellm_params": {"model": MODEL}}]
        router = litellm.Router(model_list=models, num_retries=0, disable_cooldowns=True)
        if memory is not None:
            router = learning(router, **self.given(memory, options))
        return router.acompletion


class TestInAFunction(_Sdk, ContextContract):
    """A decorated function around each turn: its run is the run, and knows how it ends."""

    unsupported: ClassVar[Mapping[str, str]] = {
        name: why for name, why in _Sdk.unsupported.items() if name in ("resume", "fates", "refusal")
    }

    async def play(
        self,
        turns: Sequence[Turn],
        tools: HostTools,
        memory: MemoryClient | None,
        *,
        streamed: bool = False,
        **options: Any,
    ) -> Played:
        provider.script(turns)
        complete, answer = self.memory(memory, options), talk
        if memory is not None:
            answer = learning(talk, **{"session": f"talk {id(memory)} {turns[0].says}"} | self.given(memory, options))
        played = Played()
        history: list[Any] = []
        with own_errors():
            for turn in turns:
                history.append({"role": "user", "content": turn.says})
                played.see(await answer(complete, history, tools, streamed=streamed, see=played.seen.append))
        played.prompts = provider.prompts
        played.history = [one if isinstance(one, dict) else one.model_dump() for one in history]
        return played
