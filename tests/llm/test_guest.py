"""LiteLLM is the host's: our calls are no log events, leave its global state alone, and leave nothing open."""

from __future__ import annotations

import asyncio
import copy
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger

from acontext_adapters.litellm import AcontextLogger
from acontext_adapters.testing import SKILLS, MemoryClient
from acontext_plugins.concurrency.background import BackgroundEventLoop
from acontext_plugins.learning import learning
from acontext_plugins.llm.litellm_client import LiteLLMClient
from acontext_plugins.testing.scripted_server import Hang, ScriptedServer, Status
from acontext_store.errors import LearningUnavailable

from .asking import KEY, asks, settings

LISTS = (
    "callbacks",
    "input_callback",
    "success_callback",
    "failure_callback",
    "_async_success_callback",
    "_async_failure_callback",
)


class Host(CustomLogger):
    """A callback of the host's: langfuse, a budget, whatever there is."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, str, threading.Thread]] = []
        self.told = threading.Event()

    def _note(self, event: str, kwargs: Any) -> None:
        said = str((kwargs.get("messages") or [{}])[0].get("content"))
        self.events.append((event, said, threading.current_thread()))
        self.told.set()

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._note("success", kwargs)

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._note("failure", kwargs)

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._note("success", kwargs)

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._note("failure", kwargs)


@pytest.fixture(autouse=True)
def _callbacks_go_with_their_test() -> Iterator[None]:
    before = {name: list(getattr(litellm, name)) for name in LISTS}
    yield
    for name, value in before.items():
        getattr(litellm, name)[:] = value


async def hosts_call(server: ScriptedServer, text: str) -> None:
    await litellm.acompletion(
        model="openai/theirs", messages=[{"role": "user", "content": text}], api_base=server.url, api_key="x"
    )


async def test_our_calls_are_nobodys_log_events(server: ScriptedServer) -> None:
    host = Host()
    litellm.callbacks.append(host)
    llm = LiteLLMClient(settings(server))
    server.say("fine", Status(500), "theirs")
    await llm.complete(asks())
    with pytest.raises(LearningUnavailable):
        await llm.complete(asks())
    await hosts_call(server, "of the host")
    assert await asyncio.to_thread(host.told.wait, 30)
    assert {(event, said) for event, said, _ in host.events} == {("success", "of the host")}
    await llm.aclose()
    await _stop_logging()


async def test_the_hosts_events_stay_on_its_loop(server: ScriptedServer) -> None:
    """LiteLLM's log worker belongs to the loop that used it last: ours must not be that."""
    host, loop = Host(), BackgroundEventLoop()
    litellm.callbacks.append(host)
    llm = LiteLLMClient(settings(server))
    hang = Hang()
    server.say(hang, "theirs", "ours")
    try:
        ours = loop.submit(llm.complete(asks()))
        assert await asyncio.to_thread(hang.begun.wait, 30)
        theirs = asyncio.create_task(hosts_call(server, "of the host"))
        await theirs
        hang.go.set()
        assert (await asyncio.wrap_future(ours)).text == "ok"
        assert await asyncio.wrap_future(loop.submit(llm.complete(asks())))
        assert await asyncio.to_thread(host.told.wait, 30)
    finally:
        await asyncio.wrap_future(loop.submit(llm.aclose()))
        await asyncio.to_thread(loop.close)
    assert {said for _, said, _ in host.events} == {"of the host"}
    assert loop._thread not in {thread for _, _, thread in host.events}
    await _stop_logging()


async def _stop_logging() -> None:
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    await GLOBAL_LOGGING_WORKER.stop()


async def test_what_the_host_has_set_stays_set(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def state() -> dict[str, Any]:
        plain = (bool, int, float, str, list, dict, set, type(None))
        values = vars(litellm).items()
        notes = {"error_logs", *(name for name in vars(litellm) if name.startswith("__"))}  # LiteLLM's, for itself
        return {name: copy.copy(value) for name, value in values if isinstance(value, plain) and name not in notes}

    monkeypatch.setattr(litellm, "num_retries", 3)
    monkeypatch.setattr(litellm, "api_key", "sk-of-the-host")
    llm = LiteLLMClient(settings(server))
    server.say("warm", "fine", Status(500))
    await llm.complete(asks())
    before = state()
    await llm.complete(asks())
    with pytest.raises(LearningUnavailable):
        await llm.complete(asks())
    await llm.aclose()
    assert {name for name, value in state().items() if before.get(name, "new") != value} == set()
    assert len(server.seen) == 3
    assert {asked.headers["authorization"] for asked in server.seen} == {f"Bearer {KEY}"}


async def test_our_calls_are_not_kept_in_the_hosts_cache(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm, "cache", litellm.Cache(type="local"))
    llm = LiteLLMClient(settings(server))
    server.say("first", "second")
    assert [(await llm.complete(asks())).text for _ in range(2)] == ["first", "second"]
    assert litellm.cache is not None
    assert litellm.cache.cache.cache_dict == {}
    await llm.aclose()


@pytest.mark.parametrize("wrapped", [False, True], ids=["callback", "function"])
async def test_our_own_adapter_takes_them_for_no_run(
    server: ScriptedServer, wrapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = MemoryClient(SKILLS)
    if wrapped:
        monkeypatch.setattr(litellm, "acompletion", learning(litellm.acompletion, space="s", client=memory))
    else:
        litellm.callbacks.append(AcontextLogger(space="s", client=memory))
    llm = LiteLLMClient(settings(server))
    server.say("fine", Status(500), "theirs")
    await llm.complete(asks())
    with pytest.raises(LearningUnavailable):
        await llm.complete(asks())
    assert memory.sessions == {}
    assert not any("<acontext-skills" in asked.prompt for asked in server.seen)
    await hosts_call(server, "of the host")
    assert "<acontext-skills" in server.seen[-1].prompt
    await llm.aclose()
    await _stop_logging()


# -- in a process of its own
def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ResourceWarning" not in done.stderr, done.stderr
    assert "nclosed" not in done.stderr, done.stderr
    assert "never awaited" not in done.stderr, done.stderr
    return done.stdout.strip()


def test_importing_litellm_asks_nobody_and_leaves_the_environment_alone() -> None:
    said = run(
        "import os, sys\n"
        "os.environ.pop('LITELLM_LOCAL_MODEL_COST_MAP', None)\n"
        "before, asked = dict(os.environ), []\n"
        "events = ('socket.connect', 'socket.getaddrinfo')\n"
        "sys.addaudithook(lambda event, args: asked.append(event) if event in events else None)\n"
        "from acontext_plugins.llm import lazy_import\n"
        "assert 'litellm' not in sys.modules\n"
        "lazy_import.load()\n"
        "print(asked, dict(os.environ) == before)"
    )
    assert said == "[] True"


@pytest.mark.parametrize("model", ["openai/gpt-4.1", "hosted_vllm/mine"])
def test_nothing_stays_open(model: str) -> None:
    said = run(
        "import os\n"
        "os.environ['LITELLM_LOCAL_MODEL_COST_MAP'] = 'True'\n"
        "from acontext_plugins.llm import Purpose, Request\n"
        "from acontext_plugins.llm.litellm_client import LiteLLMClient\n"
        "from acontext_plugins.testing.scripted_server import ScriptedServer, Status\n"
        "from acontext_plugins.concurrency.background import BackgroundEventLoop\n"
        "from acontext_plugins.settings import LLMSettings\n"
        "ask = Request(messages=({'role': 'user', 'content': 'x'},), purpose=Purpose(job='learn'))\n"
        "loop = BackgroundEventLoop()\n"
        "with ScriptedServer(['a', Status(500), 'b', 'c']) as server:\n"
        f"    llm = LiteLLMClient(LLMSettings(model='{model}', api_key='x', base_url=server.url, retries=3))\n"
        "    said = [loop.run(llm.complete(ask)).text for _ in range(3)]\n"
        "    loop.run(llm.aclose())\n"
        "    loop.close()\n"
        "print(said)"
    )
    assert said == "['a', 'b', 'c']"
