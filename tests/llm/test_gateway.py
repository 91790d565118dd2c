"""LiteLLM over real HTTP: what is sent, what is made of the answer, and what endpoints do not take."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import litellm
import pytest

from acontext_plugins.llm import Reply, Usage, ask_for
from acontext_plugins.llm.litellm_client import LiteLLMClient
from acontext_plugins.testing.scripted_server import Asked, Hang, Raw, ScriptedServer, Status, Step
from acontext_store.errors import InvalidInput, LearningUnavailable

from .asking import FIND, City, Sleeper, asks, asks_for_a_city, settings

Make = Callable[..., LiteLLMClient]


@pytest.fixture
async def make(server: ScriptedServer) -> AsyncIterator[Make]:
    made: list[LiteLLMClient] = []

    def make_one(**fields: Any) -> LiteLLMClient:
        sleep = fields.pop("sleep", asyncio.sleep)
        made.append(LiteLLMClient(settings(server, **fields), sleep=sleep))
        return made[-1]

    yield make_one
    for one in made:
        await one.aclose()


def taking(*ways: str) -> Callable[[Asked], Step]:
    """An endpoint that refuses what it does not take: "json_schema", "json_object", "tools"."""

    def answer(asked: Asked) -> Step:
        wanted = (asked.body.get("response_format") or {}).get("type")
        if (wanted and wanted not in ways) or ("tools" in asked.body and "tools" not in ways):
            return Status(400, f"{wanted} is not supported", code="unsupported_parameter")
        return {"name": "Oslo", "people": 700_000}

    return answer


# -- what is sent, and what comes back
async def test_an_answer_with_a_schema(server: ScriptedServer, make: Make) -> None:
    usage = Usage(prompt_tokens=1000, completion_tokens=100, cached_tokens=400)
    server.say(Reply(text='{"name": "Oslo", "people": null}', usage=usage))
    reply = await make().complete(asks_for_a_city())
    assert (json.loads(reply.text), reply.finish) == ({"name": "Oslo", "people": None}, "stop")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.cached_tokens) == (1000, 100, 400)
    assert reply.usage.cost is not None
    assert 0.001 < reply.usage.cost < 0.01
    (asked,) = server.seen
    assert asked.headers["authorization"].startswith("Bearer sk-canary")
    assert asked.body["model"] == "gpt-4.1"
    wanted = asked.body["response_format"]["json_schema"]
    assert (wanted["name"], wanted["strict"]) == ("city", True)
    assert wanted["schema"]["required"] == ["name", "people"]
    assert wanted["schema"]["additionalProperties"] is False


async def test_nothing_is_sent_that_reasoning_models_choke_on(server: ScriptedServer, make: Make) -> None:
    server.say("hello")
    await make().complete(asks())
    assert server.seen[0].body.keys() == {"model", "messages"}


async def test_options_are_sent(server: ScriptedServer, make: Make) -> None:
    server.say("hello")
    await make(options={"temperature": 0.5, "seed": 7}).complete(asks())
    assert (server.seen[0].body["temperature"], server.seen[0].body["seed"]) == (0.5, 7)


@pytest.mark.parametrize("name", ["model", "messages", "stream", "api_key", "num_retries", "response_format"])
def test_an_option_that_has_its_own_place_is_refused(server: ScriptedServer, make: Make, name: str) -> None:
    with pytest.raises(InvalidInput, match=f"llm.options.*{name}"):
        make(options={name: 1})


async def test_tools_are_called(server: ScriptedServer, make: Make) -> None:
    server.say([("find", {"what": "x"}), ("find", {"what": "ü"})])
    reply = await make().complete(asks(tools=(FIND,)))
    assert [(call.name, json.loads(call.arguments)) for call in reply.tool_calls] == [
        ("find", {"what": "x"}),
        ("find", {"what": "ü"}),
    ]
    assert (reply.text, reply.finish, server.seen[0].body["tools"]) == ("", "tool_calls", [FIND])


async def test_a_turn_with_tools_goes_on(server: ScriptedServer, make: Make) -> None:
    server.say([("find", {"what": "x"})], "found it")
    llm, request = make(), asks(tools=(FIND,))
    called = await llm.complete(request)
    result = {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": "it is here"}
    reply = await llm.complete(request.model_copy(update={"messages": (*request.messages, called.message, result)}))
    assert reply.text == "found it"
    assert [message["role"] for message in server.seen[1].messages] == ["user", "assistant", "tool"]


async def test_an_answer_that_was_cut_off_says_so(server: ScriptedServer, make: Make) -> None:
    server.say(Reply(text='{"name": "Os', finish="length"))
    assert (await make().complete(asks_for_a_city())).finish == "length"


async def test_thoughts_before_an_answer_are_left_out(server: ScriptedServer, make: Make) -> None:
    server.say('<think>hm,\nOslo {</think>\n\n{"name": "Oslo"}')
    assert json.loads((await make(model="openai/some-reasoner").complete(asks_for_a_city())).text) == {"name": "Oslo"}


async def test_text_that_is_half_a_character_can_be_sent(server: ScriptedServer, make: Make) -> None:
    server.say("hello", "hello")
    await make().complete(asks("a\ud83d b 😀\0 \udc00"))
    assert server.seen[0].messages[0]["content"] == "a\ufffd b 😀\0 \ufffd"


# -- what it takes
@pytest.mark.parametrize("model", ["openai/gpt-4.1", "hosted_vllm/mine"])
async def test_other_ways_of_calling_an_endpoint(server: ScriptedServer, make: Make, model: str) -> None:
    server.say({"name": "Oslo"})
    reply = await make(model=model).complete(asks_for_a_city())
    assert json.loads(reply.text) == {"name": "Oslo"}


async def test_what_the_price_of_a_model_is_may_be_unknown(server: ScriptedServer, make: Make) -> None:
    server.say("hello")
    assert (await make(model="openai/mine").complete(asks())).usage.cost is None


async def test_a_price_of_ones_own(server: ScriptedServer, make: Make) -> None:
    before = dict(litellm.model_cost)
    server.say(Reply(text="x", usage=Usage(prompt_tokens=1000, completion_tokens=100)))
    price = {"input_cost_per_token": 0.001, "output_cost_per_token": 0.01}
    reply = await make(model="openai/mine", options=price).complete(asks())
    assert reply.usage.cost == pytest.approx(2.0)
    assert server.seen[0].body.keys() == {"model", "messages"}
    assert litellm.model_cost == before


@pytest.mark.parametrize("price", [{"input_cost_per_token": 1}, {"input_cost_per_token": "x"}])
def test_half_a_price_is_refused(server: ScriptedServer, make: Make, price: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="output_cost_per_token"):
        make(options=price)


async def test_an_endpoint_that_counts_nothing_is_not_free(server: ScriptedServer, make: Make) -> None:
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word " * 100}}
    server.say(Raw(json.dumps({**body, "choices": [choice]}).encode()))
    usage = (await make().complete(asks("word " * 400))).usage
    assert usage.prompt_tokens >= 400
    assert usage.completion_tokens >= 100


# -- what an endpoint does not take
@pytest.mark.parametrize("ways", [["json_schema"], ["json_object"], []])
async def test_a_schema_is_told_in_the_words_that_an_endpoint_takes(ways: list[str]) -> None:
    with ScriptedServer(taking(*ways)) as server:
        llm = LiteLLMClient(settings(server, model="openai/mine"))
        for _ in range(2):
            assert await ask_for(llm, asks(), City) == City(name="Oslo", people=700_000)
        await llm.aclose()
    formats = [(asked.body.get("response_format") or {}).get("type") for asked in server.seen]
    tries = ["json_schema", "json_object", None]
    needed = tries.index(ways[0] if ways else None)
    assert formats == [*tries[: needed + 1], tries[needed]]  # and what it takes is remembered
    assert ("minLength" in server.seen[-1].prompt) == (needed > 0)  # the whole schema, where no subset is needed


async def test_an_endpoint_that_ignores_the_schema_is_told_it_in_the_prompt() -> None:
    def answer(asked: Asked) -> Step:
        return {"name": "Oslo"} if "JSON schema" in asked.prompt else "Oslo is a fine city."

    with ScriptedServer(answer) as server:
        llm = LiteLLMClient(settings(server, model="openai/mine"))
        assert (await ask_for(llm, asks(), City)).name == "Oslo"
        assert len(server.seen) == 2
        await ask_for(llm, asks(), City)
        assert len(server.seen) == 3
        await llm.aclose()


async def test_a_refusal_for_another_reason_changes_nothing_for_good(server: ScriptedServer, make: Make) -> None:
    llm = make()
    server.say(*[Status(400, "bad")] * 3, {"name": "Oslo"})
    with pytest.raises(LearningUnavailable, match=r"does not take the request \(400"):
        await llm.complete(asks_for_a_city())
    await llm.complete(asks_for_a_city())
    assert server.seen[-1].body["response_format"]["type"] == "json_schema"


async def test_a_model_that_is_known_to_take_no_schema_is_not_asked_with_one(make: Make) -> None:
    from acontext_plugins.llm.errors import Endpoint
    from acontext_plugins.llm.litellm_client import _first_way

    def first(model: str, base_url: str = "") -> str:
        return _first_way(litellm, Endpoint(model, base_url, 1.0, "llm")).answer

    assert first("openai/gpt-3.5-turbo") == "object"
    assert first("gpt-4.1") == first("openai/gpt-4.1") == first("openai/unheard-of") == "schema"
    assert first("openai/gpt-3.5-turbo", "http://localhost:1/v1") == "schema"


async def test_tools_are_told_in_the_prompt_where_an_endpoint_has_none() -> None:
    def answer(asked: Asked) -> Step:
        if "tools" in asked.body:
            return Status(400, "no tools")
        found = "it is here" in asked.prompt
        return "found it" if found else '```json\n{"calls": [{"name": "find", "arguments": {"what": "x"}}]}\n```'

    with ScriptedServer(answer) as server:
        llm = LiteLLMClient(settings(server, model="openai/mine"))
        request = asks(tools=(FIND,))
        called = await llm.complete(request)
        assert [(call.name, call.arguments) for call in called.tool_calls] == [("find", '{"what":"x"}')]
        result = {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": "it is here"}
        again = request.model_copy(update={"messages": (*request.messages, called.message, result)})
        assert (await llm.complete(again)).text == "found it"
        await llm.aclose()
    assert [message["role"] for message in server.seen[-1].messages] == ["system", "user", "assistant", "user"]
    assert "Find things." in server.seen[-1].prompt
    assert len(server.seen) == 3


# -- tries
@pytest.mark.parametrize("step", [Status(500), Status(429), Status(503), Raw(b'{"choices": [{')])
async def test_what_may_pass_is_tried_again(server: ScriptedServer, make: Make, step: Step) -> None:
    sleeper = Sleeper()
    server.say(step, step, "at last")
    assert (await make(retries=2, sleep=sleeper).complete(asks())).text == "at last"
    assert len(sleeper.slept) == 2
    assert 0.25 <= sleeper.slept[0] <= 0.75
    assert 0.5 <= sleeper.slept[1] <= 1.5


async def test_it_is_given_up_in_the_end(server: ScriptedServer, make: Make) -> None:
    server.say(*[Status(500)] * 5)
    with pytest.raises(LearningUnavailable):
        await make(retries=2, sleep=Sleeper()).complete(asks())
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    "step", [Status(401), Status(403), Status(404), Status(429, "quota", code="insufficient_quota")]
)
async def test_what_will_not_pass_is_not_tried_again(server: ScriptedServer, make: Make, step: Step) -> None:
    server.say(step, "too late")
    with pytest.raises(LearningUnavailable):
        await make(retries=2, sleep=Sleeper()).complete(asks())
    assert len(server.seen) == 1


async def test_a_short_wait_that_is_asked_for_is_waited(server: ScriptedServer, make: Make) -> None:
    sleeper = Sleeper()
    server.say(Status(429, headers={"retry-after": "7"}), "hello")
    await make(retries=1, sleep=sleeper).complete(asks())
    (slept,) = sleeper.slept
    assert 7.0 <= slept <= 7.7  # others were told the same


async def test_a_long_wait_that_is_asked_for_is_the_jobs(server: ScriptedServer, make: Make) -> None:
    sleeper = Sleeper()
    server.say(Status(429, headers={"retry-after": "90"}), "too early")
    with pytest.raises(LearningUnavailable) as caught:
        await make(retries=2, sleep=sleeper).complete(asks())
    assert (caught.value.retry_after, sleeper.slept, len(server.seen)) == (90.0, [], 1)


# -- at a time
async def test_no_more_calls_at_a_time_than_are_allowed(make: Make) -> None:
    waiting = [Hang() for _ in range(5)]
    with ScriptedServer(list(waiting)) as server:
        llm = LiteLLMClient(settings(server, concurrency=2))
        calls = [asyncio.create_task(llm.complete(asks())) for _ in waiting]
        for at, hang in enumerate(waiting):
            await asyncio.to_thread(waiting[min(at + 1, 4)].begun.wait, 30)
            assert len(server.seen) == min(at + 2, 5)
            hang.go.set()
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            calls = [call for call in calls if not call.done()]
        await asyncio.gather(*calls)
        await llm.aclose()


async def test_a_call_that_is_cancelled_lets_go_of_its_connection(server: ScriptedServer, make: Make) -> None:
    hang = Hang()
    server.say(hang, "next")
    llm = make(concurrency=1)
    call = asyncio.create_task(llm.complete(asks()))
    await asyncio.to_thread(hang.begun.wait, 30)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await asyncio.to_thread(hang.gone.wait, 30)
    assert (await llm.complete(asks())).text == "next"


async def test_many_calls_at_once_are_all_answered() -> None:
    def answer(asked: Asked) -> Step:
        return str(asked.messages[0]["content"])

    with ScriptedServer(answer) as server:
        llm = LiteLLMClient(settings(server, concurrency=8))
        replies = await asyncio.gather(*(llm.complete(asks(f"number {n}")) for n in range(40)))
        assert [reply.text for reply in replies] == [f"number {n}" for n in range(40)]
        await llm.aclose()
