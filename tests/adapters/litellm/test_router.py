"""A router with memory is the router that it was made of: what is done to the one is done to the other."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import AsyncMock, patch

import litellm
import pytest

from acontext_adapters.litellm import functions
from acontext_adapters.model_calls import CallRecorder
from acontext_adapters.testing import SKILLS, MemoryClient
from acontext_plugins.learning import learning

from .upstream import Refused, Upstream

#: Newer versions give new names to much of a router, and still know the old ones.
pytestmark = pytest.mark.filterwarnings("ignore:Router\\.:DeprecationWarning")
HI = [{"role": "user", "content": "hi"}]
NEW = {"model_name": "new", "litellm_params": {"model": "openai/new-model"}}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(functions, "calls", CallRecorder())
    lists = ("callbacks", "success_callback", "failure_callback", "_async_success_callback", "_async_failure_callback")
    before = {name: list(getattr(litellm, name)) for name in lists}
    yield
    for name, known in before.items():
        getattr(litellm, name)[:] = known  # every router leaves its own there


def deployment(name: str, upstream: Upstream, **info: str) -> dict[str, Any]:
    where = {"model": f"openai/{name}-model", "api_base": upstream.url, "api_key": "none"}
    return {"model_name": name, "litellm_params": where, "model_info": info}


def router(upstream: Upstream) -> Any:
    """Of two deployments: LiteLLM tries again at once where there is another one."""
    both = [deployment("old", upstream, id=id) for id in ("old-1", "old-2")]
    return litellm.Router(model_list=both, num_retries=0, disable_cooldowns=True)


class Change:
    """What an operator does, what is asked of the router then, and what the provider says to that."""

    def __init__(self, do: Callable[[Any, Upstream], Any], model: str, *says: Any) -> None:
        self.do = do
        self.model = model
        self.says = says

    async def seen(self, upstream: Upstream, changed: Any, asked: Any, way: str) -> list[Any]:
        """Which models are asked, and how it ends."""
        upstream.say(*self.says)
        self.do(changed, upstream)
        end = await ways[way](asked, self.model)
        return [*(request.body["model"] for request in upstream.seen), end]


def assigned(name: str, value: Any) -> Callable[[Any, Upstream], None]:
    return lambda router, upstream: setattr(router, name, value)


def added(router: Any, upstream: Upstream, *, upserted: bool = False) -> None:
    made = litellm.types.router.Deployment(**deployment("new", upstream, id="new-1"))
    (router.upsert_deployment if upserted else router.add_deployment)(deployment=made)


def with_a_fallback(router: Any, upstream: Upstream) -> None:
    added(router, upstream)
    router.fallbacks = [{"old": ["new"]}]


def with_updated_fallbacks(router: Any, upstream: Upstream) -> None:
    added(router, upstream)
    router.update_settings(fallbacks=[{"old": ["new"]}], num_retries=0)


CHANGES = {
    "another list": Change(lambda r, u: r.set_model_list([deployment("new", u)]), "new"),
    "what the other list lacks": Change(lambda r, u: r.set_model_list([deployment("new", u)]), "old"),
    "one more": Change(added, "new"),
    "one put there": Change(lambda r, u: added(r, u, upserted=True), "new"),
    "all taken away": Change(lambda r, u: [r.delete_deployment(id=id) for id in ("old-1", "old-2")], "old"),
    "fallbacks": Change(with_a_fallback, "old", Refused(500), "fell back"),
    "updated settings": Change(with_updated_fallbacks, "old", Refused(500), "fell back"),
    "retries": Change(assigned("num_retries", 1), "old", Refused(500), "tried again"),
    "updated retries": Change(lambda r, u: r.update_settings(num_retries=1), "old", Refused(500), "tried again"),
    "an alias": Change(assigned("model_group_alias", {"mine": "old"}), "mine"),
    "a strategy": Change(lambda r, u: r.update_settings(routing_strategy="least-busy"), "old"),
}


async def _end(answer: Any) -> Any:
    """How a call ends: its words, or the kind of its exception."""
    try:
        result = await answer() if inspect.iscoroutinefunction(answer) else await asyncio.to_thread(answer)
    except Exception as error:
        return type(error).__name__
    if hasattr(result, "__anext__") and not hasattr(result, "choices"):
        return "".join([chunk.choices[0].delta.content or "" async for chunk in result if chunk.choices])
    if hasattr(result, "output"):
        return result.output[0].content[0].text
    if isinstance(result, dict):
        return result["content"][0]["text"]
    return result.choices[0].message.content


def _async(name: str, **more: Any) -> Callable[[Any, str], Any]:
    async def ask(router: Any, model: str) -> Any:
        async def call() -> Any:
            return await getattr(router, name)(model=model, **more)

        return await _end(call)

    return ask


def _sync(name: str, **more: Any) -> Callable[[Any, str], Any]:
    def ask(router: Any, model: str) -> Any:
        function = router.chat.completions.create if name == "create" else getattr(router, name)
        return _end(lambda: function(model=model, **more))

    return ask


ways: dict[str, Callable[[Any, str], Any]] = {
    "completion": _sync("completion", messages=HI),
    "acompletion": _async("acompletion", messages=HI),
    "streamed": _async("acompletion", messages=HI, stream=True),
    "chat": _sync("create", messages=HI),
    "scheduled": _async("schedule_acompletion", messages=HI, priority=0),
    "aresponses": _async("aresponses", input="hi"),
    "aanthropic_messages": _async("aanthropic_messages", messages=HI, max_tokens=9),
}
every_way = pytest.mark.parametrize("way", list(ways))


@pytest.mark.parametrize("change", list(CHANGES))
@pytest.mark.parametrize("way", ["completion", "acompletion", "streamed", "chat", "aresponses"])
async def test_what_is_changed_afterwards_is_seen_by_every_call(change: str, way: str, upstream: Upstream) -> None:
    seen = []
    for changed, asked in ("bare", "bare"), ("wise", "wise"), ("bare", "wise"):
        bare = router(upstream)
        both = {"bare": bare, "wise": learning(bare, space="s", client=MemoryClient())}
        seen.append(await CHANGES[change].seen(upstream, both[changed], both[asked], way))
    assert seen == [seen[0]] * 3


def test_what_is_assigned_is_read_and_deleted_on_both(upstream: Upstream) -> None:
    bare = router(upstream)
    wise = learning(bare, space="s", client=MemoryClient())
    wise.timeout = 7
    bare.mine = "mine"
    assert (bare.timeout, wise.timeout, wise.mine) == (7, 7, "mine")
    del wise.mine
    assert not hasattr(bare, "mine")
    assert dir(wise) == dir(bare)
    assert vars(wise) is vars(bare)


@every_way
async def test_a_call_is_recorded_and_given_skills_once(way: str, upstream: Upstream) -> None:
    bare, memory = router(upstream), MemoryClient(SKILLS)
    wise = learning(bare, space="s", client=memory)
    upstream.say(Refused(500), "It is 21C.")
    wise.num_retries = 1
    assert await ways[way](wise, "old") == "It is 21C."
    assert [request.prompt.count("<acontext-skills") for request in upstream.seen] == [1, 1]
    assert memory.lines == ["user: hi", "assistant: It is 21C."]
    assert memory.outcome == ("success", "")


@every_way
async def test_the_router_that_it_was_made_of_records_nothing(way: str, upstream: Upstream) -> None:
    bare, memory = router(upstream), MemoryClient(SKILLS)
    learning(bare, space="s", client=memory)
    await ways[way](bare, "old")
    assert memory.sessions == {}
    assert upstream.seen[0].prompt.count("<acontext-skills") == 0


async def test_two_spaces_share_one_router(upstream: Upstream) -> None:
    bare, memory_clients = router(upstream), (MemoryClient(), MemoryClient())
    wise = [learning(bare, space=space, client=memory) for space, memory in zip("st", memory_clients, strict=True)]
    again = learning(wise[0], space="u", client=memory_clients[0])
    wise[1].set_model_list([deployment("new", upstream)])
    for one in (*wise, again):
        await one.acompletion(model="new", messages=HI)
    assert [len(memory.sessions) for memory in memory_clients] == [2, 1]


async def test_a_model_that_answers_fastest_gives_the_turn_its_answer(upstream: Upstream) -> None:
    memory = MemoryClient(SKILLS)
    wise = learning(router(upstream), space="s", client=memory)
    added(wise, upstream)
    await wise.abatch_completion_fastest_response(model="old, new", messages=HI)
    assert memory.lines == ["user: hi", "assistant: ok"]


async def test_of_many_conversations_each_is_a_turn(upstream: Upstream) -> None:
    memory = MemoryClient(SKILLS)
    wise = learning(router(upstream), space="s", client=memory)
    added(wise, upstream)
    rows = [HI, [{"role": "user", "content": "ho"}]]
    answers = await wise.abatch_completion(models=["old", "new"], messages=rows)
    assert [len(row) for row in answers] == [2, 2]
    answers = await wise.abatch_completion_one_model_multiple_requests("new", [[{"role": "user", "content": "hu"}]])
    assert [answer.choices[0].message.content for answer in answers] == ["ok"]
    said = sorted(message.text for one in memory.sessions.values() for message in one.messages)
    assert said == ["hi", "ho", "hu", "ok", "ok", "ok"]
    assert [request.prompt.count("<acontext-skills") for request in upstream.seen] == [1] * 5


async def test_of_several_models_the_first_that_answers_gives_the_turn_its_answer(upstream: Upstream) -> None:
    memory = MemoryClient()
    wise = learning(router(upstream), space="s", client=memory)
    broken, answer = await wise.abatch_completion(models=["unknown", "old"], messages=HI)
    assert isinstance(broken, litellm.BadRequestError)
    assert answer.choices[0].message.content == "ok"
    assert memory.lines == ["user: hi", "assistant: ok"]
    (broken,) = await wise.abatch_completion(models=["unknown"], messages=[{"role": "user", "content": "ho"}])
    assert isinstance(broken, litellm.BadRequestError)
    assert [outcome.status for one in memory.sessions.values() for outcome in one.outcomes] == ["success", "failed"]


async def test_what_stands_in_for_a_call_is_what_is_called(upstream: Upstream) -> None:
    bare, memory = router(upstream), MemoryClient()
    wise = learning(bare, space="s", client=memory)
    with patch.object(wise, "acompletion", AsyncMock(return_value="stood in")):
        assert await wise.acompletion(model="old", messages=HI) == "stood in"
        wise.acompletion.assert_awaited_once()
    assert memory.sessions == {}
    before = wise.acompletion

    async def mine(**given: Any) -> Any:
        return await before(**{**given, "model": "old"})

    wise.acompletion = mine
    await wise.acompletion(model="unknown", messages=HI)
    assert memory.lines == ["user: hi", "assistant: ok"]
    wise.acompletion = before
    await bare.acompletion(model="old", messages=HI)
    assert len(memory.sessions) == 1


async def test_a_copy_of_it_has_memory_and_changes_alone(upstream: Upstream) -> None:
    memory = MemoryClient()
    wise = learning(router(upstream), space="s", client=memory)
    await copy.copy(wise).acompletion(model="old", messages=HI)
    assert memory.lines == ["user: hi", "assistant: ok"]


def test_it_passes_for_a_router(upstream: Upstream) -> None:
    bare = router(upstream)
    wise = learning(bare, space="s", client=MemoryClient())
    assert isinstance(wise, litellm.Router)
    assert wise.__class__ is litellm.Router
    assert repr(wise) == repr(bare)
    assert (wise, hash(wise)) == (bare, hash(bare))
    assert bare == wise
    assert wise != router(upstream)
    assert learning(wise.acompletion, space="s", client=MemoryClient()) is not None


async def test_methods_of_a_hosts_own_router_call_with_memory(upstream: Upstream) -> None:
    async def ask(self: Any, words: str) -> Any:
        return await self.acompletion(model="old", messages=[{"role": "user", "content": words}])

    try:
        Mine: Any = type("Mine", (litellm.Router,), {"ask": ask})  # noqa: N806
    except TypeError:
        return  # newer versions refuse subclasses
    memory = MemoryClient()
    wise = learning(Mine(model_list=[deployment("old", upstream)]), space="s", client=memory)
    await wise.ask("hi")
    assert memory.lines == ["user: hi", "assistant: ok"]


async def test_what_calls_no_model_of_ours_is_as_it_was(upstream: Upstream) -> None:
    memory = MemoryClient(SKILLS)
    wise = learning(router(upstream), space="s", client=memory)
    with pytest.raises(litellm.BadRequestError):
        await wise.aembedding(model="unknown", input=["hi"])
    assert memory.sessions == {}
