"""LiteLLM: the host runs its tools itself, and what LiteLLM sees of them is what the host's next request shows.

So most fates are assumed from results. What is told: tools that the provider runs, and says so; calls that the host
shows otherwise than the model made them; and what the host tells itself, in a decorated function around its loop.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

if importlib.util.find_spec("litellm") is None:
    pytest.skip("litellm is not installed", allow_module_level=True)
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("LITELLM_TELEMETRY", "False")

import litellm

from acontext_plugins.learning import learning
from acontext_plugins.runs import current_run
from acontext_store.types import CallFate
from tests.adapters.litellm.upstream import LITELLMS_WARNINGS, Call, Items, Upstream

from .harness import SPACE, Missing, Row, Stage, Way, cells, check

FRAMEWORK = "LiteLLM"
pytestmark = [pytest.mark.filterwarnings(warning) for warning in LITELLMS_WARNINGS]
Json = dict[str, Any]
#: What the host does with a call: its result; or what it shows in place of the call, and the result; None = it leaves
#: the call out of the history.
Use = Callable[[Stage, str, Json], "str | tuple[str, Json, str] | None"]

upstream = Upstream()


@pytest.fixture(scope="module", autouse=True)
def _provider() -> Iterator[None]:
    with upstream:
        yield


@pytest.fixture(autouse=True)
async def _log_events_end_with_their_loop() -> Any:
    yield
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    await GLOBAL_LOGGING_WORKER.stop()


def pay(stage: Stage, tool: str, given: Json) -> str:
    """The host's tool. It fails where there is nothing to pay."""
    try:
        with stage.log.running(tool, **given):
            if not given["amount"]:
                raise ValueError("nothing to pay")
            return f"paid {given['amount']}"
    except ValueError as error:
        return f"Error: {error}"


# -- the host's loop, with chat completions
def where(model: str) -> Json:
    return {"model": f"openai/{model}", "api_base": upstream.url, "api_key": "sk-none", "num_retries": 0}


TOOLS = [{"type": "function", "function": {"name": n, "parameters": {"type": "object"}}} for n in ("pay", "refund")]


async def ask(stage: Stage, history: list[Json], **more: Any) -> Json:
    """One call of the model, in the way of the stage."""
    given = {**where("m"), "messages": history, "tools": TOOLS, **more}
    options: Json = {"space": SPACE, "client": stage.client, "deadline": 0.01}
    if stage.way == "sync":
        answer = await asyncio.to_thread(learning(litellm.completion, **options), **given)
    elif stage.way == "async":
        answer = await learning(litellm.acompletion, **options)(**given)
    else:
        stream = await learning(litellm.acompletion, **options)(**given, stream=True)
        answer = litellm.stream_chunk_builder([chunk async for chunk in stream])
    message: Json = answer.choices[0].message.model_dump(exclude_none=True)
    return {name: message[name] for name in ("role", "content", "tool_calls") if name in message}


def loop(*steps: Sequence[Call], use: Use = pay, **more: Any) -> Any:
    """A play: the model makes these calls, an answer each, and the host uses its tools."""

    async def play(stage: Stage) -> None:
        upstream.say(*[[numbered(call, stage) for call in step] for step in steps], "done")
        history: list[Json] = [{"role": "user", "content": f"Always pay invoice {stage.number} at once."}]
        while (said := await ask(stage, history, **more)).get("tool_calls"):
            shown, results = [], []
            for call in said["tool_calls"]:
                function = call["function"]
                used = use(stage, function["name"], json.loads(function["arguments"]))
                if used is None:
                    continue
                name, given, result = (function["name"], None, used) if isinstance(used, str) else used
                arguments = function["arguments"] if given is None else json.dumps(given)
                shown.append({**call, "function": {"name": name, "arguments": arguments}})
                results.append({"role": "tool", "tool_call_id": call["id"], "content": result})
            if not any(one["content"] for one in results):
                return  # the host waits for a person, and never goes on
            history += [{**said, "tool_calls": shown}, *results]

    return play


class Spaced(Call):
    """A call whose arguments are written as everywhere on the page."""

    @property
    def text(self) -> str:
        return json.dumps(self.arguments)


def numbered(call: Call, stage: Stage) -> Call:
    return Spaced(call.name, f"{call.id}-{stage.number}", call.arguments)


def call(id: str = "c1", amount: int = 100, tool: str = "pay") -> Call:
    return Call(tool, id, {"amount": amount})


def edited(stage: Stage, tool: str, given: Json) -> tuple[str, Json, str]:
    return tool, {"amount": 30}, pay(stage, tool, {"amount": 30})


def renamed(stage: Stage, tool: str, given: Json) -> tuple[str, Json, str]:
    return "refund", given, pay(stage, "refund", given)


def small_ones(stage: Stage, tool: str, given: Json) -> str | None:
    return pay(stage, tool, given) if given["amount"] < 1000 else None


async def refused(stage: Stage) -> None:
    """A decorated function around the loop: there the host can tell what a person has decided."""
    options: Json = {"space": SPACE, "client": stage.client, "deadline": 0.01}

    @learning(**options)
    async def answer(question: str) -> str:
        upstream.say([numbered(call(amount=3000), stage)], "it stays unpaid")
        history: list[Json] = [{"role": "user", "content": question}]
        said = await ask(stage, history)
        (asked,) = said["tool_calls"]
        run: Any = current_run()
        run.tell(CallFate(call_id=asked["id"], status="refused", by="person", reason="never more than we have"))
        history += [said, {"role": "tool", "tool_call_id": asked["id"], "content": "The boss says: no way."}]
        return str((await ask(stage, history))["content"])

    await answer(f"Always pay invoice {stage.number} at once.")


# -- tools that the provider runs, with the Responses API
async def respond(stage: Stage, given: Any) -> None:
    asked = {**where("m"), "input": given, "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}
    options: Json = {"space": SPACE, "client": stage.client, "deadline": 0.01}
    if stage.way == "sync":
        await asyncio.to_thread(learning(litellm.responses, **options), **asked)
    elif stage.way == "async":
        await learning(litellm.aresponses, **options)(**asked)
    else:
        async for _ in await learning(litellm.aresponses, **options)(**asked, stream=True):
            pass


def hosted(*items: Json) -> Any:
    async def play(stage: Stage) -> None:
        upstream.say(Items([{**item, "id": f"{item['id']}-{stage.number}"} for item in items], "done"))
        await respond(stage, f"Always pay invoice {stage.number} at once.")

    return play


async def mcp_refused(stage: Stage) -> None:
    request = {**MCP, "type": "mcp_approval_request", "id": f"a{stage.number}"}
    upstream.say(Items([request]), Items([], "it stays unpaid"))
    asked = {"role": "user", "content": f"Always pay invoice {stage.number} at once."}
    await respond(stage, [asked])
    no = {
        "type": "mcp_approval_response",
        "approval_request_id": request["id"],
        "approve": False,
        "reason": "never more than we have",
    }
    await respond(stage, [asked, request, no])


MCP: Json = {"type": "mcp_call", "id": "m", "name": "pay", "arguments": '{"amount": 100}', "server_label": "bank"}
CODE: Json = {
    "type": "code_interpreter_call",
    "id": "i",
    "code": "1+1",
    "container_id": "x",
    "status": "completed",
    "outputs": [{"type": "logs", "logs": "2"}],
}

BY_RESULT = "the host runs its tools itself; LiteLLM sees the result that it sends, and nothing says how it came about"
NO_RESULT = "the host never goes on, so that nobody says what became of the call; without a result it never counts"
AT_THE_PROVIDER = "the provider runs the tool"
PAID = 'pay {"amount": 100}'
BOTH = [call("c1"), call("c2", 0)]

ROWS = [
    Row("executed", loop([call()]), [f"{PAID}: assumed"], ["success"], ["pay amount=100"], assumed=BY_RESULT),
    Row("failed", loop([call(amount=0)]), ['pay {"amount": 0}: assumed'], ["failed"], assumed=BY_RESULT),
    Row("pending", loop([call()], use=lambda *_: ""), [f"{PAID}: assumed"], ["running"], assumed=NO_RESULT),
    Row(
        "edited",
        loop([call(amount=3000)], use=edited),
        ['pay {"amount": 3000}: executed as pay {"amount": 30}, edited by host'],
        ["success"],
        ["pay amount=30"],
        note="told by the history that the host sends with its next request: its call has other arguments",
    ),
    Row(
        "renamed",
        loop([call()], use=renamed),
        [f'{PAID}: executed as refund {{"amount": 100}}, edited by host'],
        ["success"],
        ["refund amount=100"],
        note="told in the same way",
    ),
    Row(
        "rejected-with-words",
        refused,
        ['pay {"amount": 3000}: refused by person'],
        ["failed"],
        note="told by the host, in a decorated function around its loop",
    ),
    Row(
        "parallel-ok-error",
        loop(BOTH),
        [f"{PAID}: assumed", 'pay {"amount": 0}: assumed'],
        ["failed"],
        assumed=BY_RESULT,
    ),
    Row(
        "parallel-error-ok",
        loop(BOTH[::-1]),
        ['pay {"amount": 0}: assumed', f"{PAID}: assumed"],
        ["failed"],
        assumed=BY_RESULT,
    ),
    Row(
        "parallel-refused",
        loop([call("c1", 3000), call("c2")], use=small_ones),
        ['pay {"amount": 3000}: requested', f"{PAID}: assumed"],
        ["pending"],
        assumed=BY_RESULT,
        note="the host leaves the refused call out of the history that it sends: that nothing became of it is told, and"
        " whether that was all that the user wanted is in doubt",
    ),
    Row(
        "structured-output",
        loop([call()], use=lambda *_: "", tool_choice={"type": "function", "function": {"name": "pay"}}),
        [f"{PAID}: assumed"],
        ["success"],
        assumed="the host has named the tool that the model must call: the call is the answer, and has no result",
    ),
    Row(
        "hosted",
        hosted(CODE),
        ['code_interpreter {"code": "1+1"}: executed'],
        ["success"],
        ["code_interpreter"],
        elsewhere=AT_THE_PROVIDER,
    ),
    Row(
        "mcp",
        hosted({**MCP, "output": "paid"}),
        [f"{PAID}: executed"],
        ["success"],
        ["pay amount=100"],
        elsewhere=AT_THE_PROVIDER,
    ),
    Row("mcp-failed", hosted({**MCP, "error": "no money"}), [f"{PAID}: failed"], ["failed"], elsewhere=AT_THE_PROVIDER),
    Row("mcp-refused", mcp_refused, [f"{PAID}: refused by person"], ["failed"], elsewhere=AT_THE_PROVIDER),
]

_NO_TOOLS = "LiteLLM offers the model what the host names, and runs none of it: what a host answers is seen as a result"
MISSING = [
    Missing(what, _NO_TOOLS)
    for what in (
        "raised",
        "timeout",
        "approved",
        "expired",
        "rejected",
        "responded",
        "resumed",
        "middleware-answers",
        "middleware-changes",
        "middleware-retries",
        "input-guardrail",
        "output-guardrail",
        "limit-ends",
        "limit-continues",
        "not-selected",
        "unknown-tool",
        "invalid-arguments",
        "broken-json",
        "sibling-cancelled",
        "cancelled",
        "same-id-again",
        "same-id-twice",
        "external",
        "sub-agent",
        "handoff",
        "ends-the-run",
    )
]


@pytest.mark.parametrize(("row", "way"), cells(ROWS))
async def test_what_happened_is_what_is_recorded_and_learned(row: Row, way: Way) -> None:
    await check(row, way)
