"""What becomes of calls, by every door: who ran, refused, changed or answered one is told by the framework's events."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, HumanInTheLoopMiddleware
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode, tools_condition
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from acontext_adapters.langchain import AcontextCallbackHandler, AcontextMiddleware, run_tracker
from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import learning
from acontext_store.types import CallFate

from .scripted import asks, call, model

RELEASE = tuple(map(int, version("langchain").split(".")[:2]))
THREADS = itertools.count()
ASK = {"messages": [("user", "pay the plumber")]}


@tool
def pay(amount: int) -> str:
    """Pays."""
    return f"paid {amount}"


@tool
def refund(amount: int) -> str:
    """Pays back."""
    return f"paid back {amount}"


@tool
def check(amount: int) -> str:
    """Waits for somebody."""
    return f"checked: {interrupt(amount)}"


class Hook(AgentMiddleware[Any, Any, Any]):
    """A middleware of the host's around each call."""

    tools = ()

    def __init__(self, around: Callable[[Any, Callable[[Any], Any]], Any]) -> None:
        super().__init__()
        self.around = around

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        return self.around(request, handler)


def instead(request: Any, handler: Any) -> ToolMessage:
    return ToolMessage("a dry run", tool_call_id=request.tool_call["id"], name=request.tool_call["name"])


def learned(target: Any, memory: MemoryClient) -> Any:
    return learning(target, space="s", client=memory, strict=True)


def handled(target: Any, memory: MemoryClient) -> Any:
    """Nothing is wrapped: a handler alone is told."""
    return target.with_config(callbacks=[AcontextCallbackHandler(space="s", client=memory, strict=True)])


DOORS = pytest.mark.parametrize("door", [learned, handled], ids=["graph", "handler"])


def config() -> Any:
    return {"configurable": {"thread_id": f"thread {next(THREADS)}"}}


def asked(name: str = "pay", id: str = "c1", amount: Any = 3000) -> Any:
    return call(name, id, amount=amount)


def decisions(*given: Mapping[str, Any]) -> Any:
    return Command(resume={"decisions": list(given)})


def reviewed(memory: MemoryClient, door: Any, *steps: Any, **options: Any) -> Any:
    review: Any = HumanInTheLoopMiddleware(interrupt_on={"pay": True, "refund": True}, **options)
    agent = create_agent(model(*steps), [pay, refund], middleware=[review], checkpointer=InMemorySaver(), name="A")
    return door(agent, memory)


def told(memory: MemoryClient) -> list[CallFate | None]:
    return [fate for session in memory.sessions.values() for _, _, fate in session.calls]


# -- agents
@DOORS
def test_a_call_that_a_middleware_answers_has_not_run(door: Any) -> None:
    memory = MemoryClient()
    agent = create_agent(model(asks(asked()), "done"), [pay], middleware=[Hook(instead)])
    door(agent, memory).invoke(ASK)
    assert memory.session.fates == ['pay {"amount": 3000}: answered by middleware']
    assert memory.lines[2] == "result: a dry run"


@DOORS
def test_a_call_runs_with_the_arguments_that_a_middleware_gives_it(door: Any) -> None:
    def elsewhere(request: Any, handler: Any) -> Any:
        request.tool_call["args"]["amount"] = 30  # in place: the state's own message is changed with it
        return handler(request)

    memory = MemoryClient()
    agent = create_agent(model(asks(asked()), "done"), [pay], middleware=[Hook(elsewhere)])
    door(agent, memory).invoke(ASK)
    assert memory.session.fates == ['pay {"amount": 3000}: executed as pay {"amount": 30}, edited by middleware']


@DOORS
def test_another_tool_that_a_middleware_runs_for_itself_is_not_the_call(door: Any) -> None:
    def audited(request: Any, handler: Any) -> Any:
        refund.invoke({"amount": 1})
        return instead(request, handler)

    memory = MemoryClient()
    agent = create_agent(model(asks(asked()), "done"), [pay], middleware=[Hook(audited)])
    door(agent, memory).invoke(ASK)
    assert memory.session.fates == ['pay {"amount": 3000}: answered by middleware']


@DOORS
def test_what_the_framework_adds_to_arguments_is_no_edit(door: Any) -> None:
    @tool
    def book(amount: int, state: Annotated[dict[str, Any], InjectedState], runtime: ToolRuntime) -> str:
        """Needs more than the model gives."""
        return f"booked {amount} in {len(state['messages'])} of {runtime.tool_call_id}"

    memory = MemoryClient()
    door(create_agent(model(asks(asked("book")), "done"), [book]), memory).invoke(ASK)
    assert memory.session.fates == ['book {"amount": 3000}: executed']


class Form(BaseModel):
    """What a bank wants."""

    iban: str


@DOORS
def test_arguments_that_do_not_fit_are_the_frameworks_answer_and_an_error_of_the_tool_is_the_tools(door: Any) -> None:
    @tool
    def send(amount: int) -> str:
        """Fails with the error that arguments fail with."""
        return Form.model_validate({}).iban

    @tool
    def strict(amount: int) -> str:
        """Answers itself when arguments do not fit."""
        return "never"

    strict.handle_validation_error = True
    memory = MemoryClient()
    first = asks(asked(amount="much"), asked("send", "c2"), asked("strict", "c3", "much"), asked("steal", "c4"))
    door(create_agent(model(first, "done"), [pay, send, strict]), memory).invoke(ASK)
    by_handler = door is handled  # which does not know the agent's tools
    assert memory.session.fates == [
        'pay {"amount": "much"}: answered by framework',
        'send {"amount": 3000}: failed',
        f'strict {{"amount": "much"}}: {"failed" if by_handler else "answered by framework"}',
        f'steal {{"amount": 3000}}: answered{"" if by_handler else " by framework"}',
    ]


@DOORS
def test_people_approve_change_and_refuse(door: Any) -> None:
    memory = MemoryClient()
    first = asks(asked(), asked("refund", "c2", 20), asked("pay", "c3", 7))
    agent, where = reviewed(memory, door, first, "done"), config()
    agent.invoke(ASK, where)
    edit = {"type": "edit", "edited_action": {"name": "pay", "args": {"amount": 30}}}
    agent.invoke(decisions(edit, {"type": "reject", "message": "never that much"}, {"type": "approve"}), where)
    assert sorted(memory.session.fates) == [
        'pay {"amount": 3000}: executed as pay {"amount": 30}, edited by person',
        'pay {"amount": 7}: executed',
        'refund {"amount": 20}: refused by person',
    ]
    assert [fate.reason for fate in told(memory) if fate is not None and fate.by] == ["never that much"]
    assert {fate.told_by for fate in told(memory) if fate is not None} == {f"langchain {version('langchain')}"}


@DOORS
def test_a_change_that_a_middleware_makes_behind_a_person_is_the_middlewares(door: Any) -> None:
    def halves(request: Any, handler: Any) -> Any:
        changed = {**request.tool_call, "args": {"amount": request.tool_call["args"]["amount"] // 2}}
        return handler(request.override(tool_call=changed))

    memory, where = MemoryClient(), config()
    review: Any = HumanInTheLoopMiddleware(interrupt_on={"pay": True})
    made = create_agent(
        model(asks(asked()), "done"), [pay], middleware=[review, Hook(halves)], checkpointer=InMemorySaver()
    )
    agent = door(made, memory)
    agent.invoke(ASK, where)
    agent.invoke(decisions({"type": "approve"}), where)
    assert memory.session.fates == ['pay {"amount": 3000}: executed as pay {"amount": 1500}, edited by middleware']


@pytest.mark.skipif(RELEASE < (1, 4), reason="langchain before 1.4 asks for all calls of an answer at once")
@DOORS
def test_people_decide_call_by_call(door: Any) -> None:
    memory, where = MemoryClient(), config()
    first = asks(asked(), asked("refund", "c2", 20), asked("pay", "c3", 7))
    agent = reviewed(memory, door, first, "done", interrupt_mode="per_call")
    waiting = {one.value["tool_call_id"]: one.id for one in agent.invoke(ASK, where)["__interrupt__"]}
    edit = {"type": "edit", "edited_action": {"name": "pay", "args": {"amount": 30}}}
    agent.invoke(Command(resume={waiting["c2"]: {"type": "reject", "message": "no"}}), where)
    agent.invoke(Command(resume={waiting["c1"]: edit}), where)
    agent.invoke(Command(resume={waiting["c3"]: {"type": "respond", "message": "by hand"}}), where)
    assert memory.session.fates == [
        'pay {"amount": 3000}: executed as pay {"amount": 30}, edited by person',
        'refund {"amount": 20}: refused by person',
        'pay {"amount": 7}: answered by person',
    ]
    assert len(memory.lines) == len(set(memory.lines)) == 8


@DOORS
def test_a_run_that_goes_on_and_waits_again_has_what_became_of_its_calls_and_its_end(door: Any) -> None:
    @tool
    def wire(amount: int) -> str:
        """Waits for somebody, and fails where that somebody says no."""
        if interrupt(amount) == "no":
            raise RuntimeError("the bank is closed")
        return f"wired {amount}"

    memory, where = MemoryClient(), config()
    first = asks(asked("wire"), asked("wire", "c2", 7))
    agent = door(create_agent(model(first), [wire], checkpointer=InMemorySaver(), name="A"), memory)
    waiting = {one.value: one.id for one in agent.invoke(ASK, where)["__interrupt__"]}
    agent.invoke(Command(resume={waiting[3000]: "yes"}), where)
    assert memory.lines[3:] == ["result: wired 3000"]
    assert memory.outcome == ("interrupted", "wire")
    with pytest.raises(RuntimeError, match="closed"):
        agent.invoke(Command(resume={waiting[7]: "no"}), where)
    assert memory.outcome == ("failed", "RuntimeError: the bank is closed")
    assert memory.session.fates == ['wire {"amount": 3000}: executed', 'wire {"amount": 7}: failed']


@DOORS
def test_what_a_person_decides_in_another_process_is_told_there(door: Any) -> None:
    memory, where, saved = MemoryClient(), config(), InMemorySaver()
    review: Any = HumanInTheLoopMiddleware(interrupt_on={"pay": True, "refund": True})
    first = asks(asked(), asked("refund", "c2", 20))
    for steps, given in (
        ([first], ASK),
        (
            ["done"],
            decisions({"type": "edit", "edited_action": {"name": "pay", "args": {"amount": 30}}}, {"type": "reject"}),
        ),
    ):
        made = create_agent(model(*steps), [pay, refund], middleware=[review], checkpointer=saved, name="A")
        door(made, memory).invoke(given, where)
        run_tracker.unfinished.clear()
    assert memory.session.fates == [
        'pay {"amount": 3000}: executed as pay {"amount": 30}, edited by person',
        'refund {"amount": 20}: refused by person',
    ]


@DOORS
def test_a_call_that_is_changed_in_the_state_while_the_run_waits_is_a_persons(door: Any) -> None:
    memory, where = MemoryClient(), config()
    made = create_agent(
        model(asks(asked()), "done"), [pay], checkpointer=InMemorySaver(), interrupt_before=["tools"], name="A"
    )
    agent = door(made, memory)
    before = agent.invoke(ASK, where)["messages"][-1]
    agent.update_state(where, {"messages": [AIMessage("", id=before.id, tool_calls=[asked(amount=30)])]})
    agent.invoke(None, where)
    assert memory.session.fates == ['pay {"amount": 3000}: executed as pay {"amount": 30}, edited by person']


@DOORS
def test_a_tool_that_waits_has_not_come_to_its_end(door: Any) -> None:
    memory, where = MemoryClient(), config()
    made = create_agent(model(asks(asked("check")), "done"), [check], checkpointer=InMemorySaver(), name="A")
    agent = door(made, memory)
    agent.invoke(ASK, where)
    assert memory.session.fates == ['check {"amount": 3000}: unfinished']
    agent.invoke(Command(resume="yes"), where)
    assert memory.session.fates == ['check {"amount": 3000}: executed']


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in other processes"])
@DOORS
def test_tools_that_wait_and_are_answered_one_by_one_are_recorded_once(door: Any, elsewhere: bool) -> None:
    memory, where, saved = MemoryClient(), config(), InMemorySaver()
    steps: list[Any] = [asks(asked("check"), asked("check", "c2", 7)), "done", asks(asked("check")), "again"]
    chat = model(*steps)
    agent = door(create_agent(chat, [check], checkpointer=saved, name="A"), memory)
    waiting = [one.id for one in agent.invoke(ASK, where)["__interrupt__"]]
    for place, id in enumerate(waiting):
        if elsewhere:
            run_tracker.unfinished.clear()
            agent = door(create_agent(chat, [check], checkpointer=saved, name="A"), memory)
        agent.invoke(Command(resume={id: f"yes {place}"}), where)
    lines = [
        "user: pay the plumber",
        'call: check {"amount": 3000}',
        'call: check {"amount": 7}',
        "result: checked: yes 0",
        "result: checked: yes 1",
        "assistant: done",
    ]
    assert memory.lines == lines
    (once_more,) = agent.invoke({"messages": [("user", "and again")]}, where)["__interrupt__"]  # its id came before
    if elsewhere:
        run_tracker.unfinished.clear()
    agent.invoke(Command(resume={once_more.id: "yes 2"}), where)
    more = ["user: and again", 'call: check {"amount": 3000}', "result: checked: yes 2", "assistant: again"]
    assert memory.lines == [*lines, *more]
    assert [fate is not None and fate.status for fate in told(memory)] == ["executed"] * 3


def test_the_middleware_alone_is_not_told_of_tools() -> None:
    memory = MemoryClient()
    ours = AcontextMiddleware(space="s", client=memory, strict=True)
    agent: Any = create_agent(model(asks(asked()), "done"), [pay], middleware=[ours])
    agent.invoke(ASK)
    assert memory.session.fates == ['pay {"amount": 3000}: assumed']


# -- broken JSON
def broken() -> AIMessage:
    bad: Any = {
        "name": "pay",
        "args": '{"amount": 3000}}',
        "id": "b1",
        "error": "Extra data",
        "type": "invalid_tool_call",
    }
    return AIMessage(content="", invalid_tool_calls=[bad], id="answer-1")


@DOORS
def test_a_run_that_ends_with_a_call_that_is_no_json_has_failed(door: Any) -> None:
    memory, where = MemoryClient(), config()
    agent = door(create_agent(model(broken(), "sorry"), [pay], checkpointer=InMemorySaver(), name="A"), memory)
    agent.invoke(ASK, where)
    assert memory.outcome == ("failed", "the arguments of the call of pay are no JSON: Extra data")
    agent.invoke({"messages": [("user", "and the baker?")]}, where)
    results = [line for line in memory.lines if line.startswith("error")]
    first = ["user: pay the plumber", 'call: pay {"amount": 3000}}']
    assert memory.lines == [*first, *results, "user: and the baker?", "assistant: sorry"]
    assert len(results) == (RELEASE >= (1, 4))
    assert memory.session.fates == [
        'pay {"amount": 3000}}: ' + ("answered by framework" if RELEASE >= (1, 4) else "requested")
    ]
    assert memory.outcome == ("success", "")


def test_what_the_user_said_is_kept_where_the_model_raises_behind_a_call_that_is_no_json() -> None:
    memory, where = MemoryClient(), config()
    chat = model(broken(), RuntimeError("503"))
    agent = learned(create_agent(chat, [pay], checkpointer=InMemorySaver(), name="A"), memory)
    agent.invoke(ASK, where)
    with pytest.raises(RuntimeError, match="503"):
        agent.invoke({"messages": [("user", "and the baker?")]}, where)
    assert memory.lines[-1] == "user: and the baker?"
    assert memory.outcome == ("failed", "RuntimeError: 503")


# -- graphs and chains written by hand
def by_hand(chat: Any, node: Any, **options: Any) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("ask", lambda state: {"messages": [chat.invoke(state["messages"])]})
    builder.add_node("tools", node)
    builder.add_edge(START, "ask")
    builder.add_conditional_edges("ask", tools_condition)
    builder.add_edge("tools", "ask")
    return builder.compile(**options)


@tool
def fails(amount: int) -> str:
    """Fails."""
    raise ValueError("the bank is closed")


@DOORS
def test_a_node_of_tools_in_a_graph_written_by_hand_tells_what_ran(door: Any) -> None:
    memory = MemoryClient()
    first = asks(asked(), asked("fails", "c2"), asked("steal", "c3"))
    door(by_hand(model(first, "done"), ToolNode([pay, fails], handle_tool_errors=True)), memory).invoke(ASK)
    assert memory.session.fates == [
        'pay {"amount": 3000}: executed',
        'fails {"amount": 3000}: failed',
        'steal {"amount": 3000}: ' + ("assumed" if door is handled else "answered by framework"),
    ]


def test_a_node_of_tools_can_be_given_what_answers_in_their_place() -> None:
    memory = MemoryClient()
    node = ToolNode([pay], wrap_tool_call=instead)
    learned(by_hand(model(asks(asked()), "done"), node), memory).invoke(ASK)
    assert memory.session.fates == ['pay {"amount": 3000}: answered by middleware']


@DOORS
def test_a_node_of_the_hosts_own_that_calls_tools_tells_those_that_start(door: Any) -> None:
    def work(state: Any) -> Any:
        first, second, third = state["messages"][-1].tool_calls
        return {
            "messages": [
                pay.invoke(first),  # the whole call
                ToolMessage(refund.invoke(second["args"]), tool_call_id=second["id"]),  # what is in it
                ToolMessage("read", tool_call_id=third["id"]),  # no tool of the framework's at all
            ]
        }

    memory = MemoryClient()
    first = asks(asked(), asked("refund", "c2", 20), asked("read", "c3"))
    door(by_hand(model(first, "done"), work), memory).invoke(ASK)
    assert memory.session.fates == [
        'pay {"amount": 3000}: executed',
        'refund {"amount": 20}: executed',
        'read {"amount": 3000}: assumed',
    ]


@pytest.mark.parametrize("says", ["edit", "refuse", "answer"])
@DOORS
def test_a_node_that_asks_a_person_tells_what_they_decide(door: Any, says: str) -> None:
    def review(state: Any) -> Any:
        answer = state["messages"][-1]
        word = interrupt("may I?")
        if word == "edit":
            changed = AIMessage("", id=answer.id, tool_calls=[asked(amount=30)])
            return Command(goto="tools", update={"messages": [changed]})
        status: Any = "error" if word == "refuse" else "success"
        told = ToolMessage(f"they {word}", tool_call_id="c1", status=status)
        return Command(goto="ask", update={"messages": [told]})

    memory, where = MemoryClient(), config()
    chat = model(asks(asked()), "done")
    builder = StateGraph(MessagesState)
    builder.add_node("ask", lambda state: {"messages": [chat.invoke(state["messages"])]})
    builder.add_node("review", review, destinations=("tools", "ask"))
    builder.add_node("tools", ToolNode([pay]))
    builder.add_edge(START, "ask")
    builder.add_conditional_edges("ask", lambda state: "review" if state["messages"][-1].tool_calls else END)
    builder.add_edge("tools", "ask")
    graph = door(builder.compile(checkpointer=InMemorySaver()), memory)
    graph.invoke(ASK, where)
    graph.invoke(Command(resume=says), where)
    assert memory.session.fates == [
        {
            "edit": 'pay {"amount": 3000}: executed as pay {"amount": 30}, edited by person',
            "refuse": 'pay {"amount": 3000}: refused by person',
            "answer": 'pay {"amount": 3000}: answered by person',
        }[says]
    ]


@DOORS
def test_an_agent_in_a_graph_tells_as_it_does_alone(door: Any) -> None:
    memory = MemoryClient()
    inner = create_agent(model(asks(asked()), "done"), [pay], middleware=[Hook(instead)], name="inner")
    builder = StateGraph(MessagesState).add_node("inner", inner).add_edge(START, "inner")
    door(builder.compile(), memory).invoke(ASK)
    hidden = door is handled and RELEASE < (1, 4)  # nothing inside says that it is an agent's
    fate = "assumed" if hidden else "answered by middleware"
    assert memory.session.fates == [f'pay {{"amount": 3000}}: {fate}']


def test_people_decide_about_a_learned_agent_in_a_graph_that_is_not_learned() -> None:
    memory, where = MemoryClient(), config()
    review: Any = HumanInTheLoopMiddleware(interrupt_on={"pay": True, "refund": True})
    first = asks(asked(), asked("refund", "c2", 20))
    inner = learned(create_agent(model(first, "done"), [pay, refund], middleware=[review], name="inner"), memory)
    builder = StateGraph(MessagesState).add_node("inner", inner).add_edge(START, "inner")
    graph: Any = builder.compile(checkpointer=InMemorySaver())
    graph.invoke(ASK, where)
    edit = {"type": "edit", "edited_action": {"name": "pay", "args": {"amount": 30}}}
    graph.invoke(decisions(edit, {"type": "reject", "message": "never that much"}), where)
    assert memory.session.fates == [
        'pay {"amount": 3000}: executed as pay {"amount": 30}, edited by person',
        'refund {"amount": 20}: refused by person',
    ]


def test_a_learned_agent_in_a_learned_graph_tells_once() -> None:
    memory = MemoryClient()
    first = asks(asked(), asked("steal", "c2"))
    inner = learned(create_agent(model(first, "done"), [pay], name="inner"), memory)
    builder = StateGraph(MessagesState).add_node("inner", inner).add_edge(START, "inner")
    learned(builder.compile(), memory).invoke(ASK)
    assert [fate.status for fate in told(memory) if fate is not None] == ["executed", "answered"]
    assert [len(one.fates) for one in memory.recordings if one.fates] == [1, 1]


def test_a_chain_tells_the_tools_that_it_calls() -> None:
    chat = model(asks(asked()), "done")

    def work(history: list[Any]) -> Any:
        answer = chat.invoke(history)
        return chat.invoke([*history, answer, *(pay.invoke(one) for one in answer.tool_calls)])

    memory = MemoryClient()
    learned(RunnableLambda(work), memory).invoke([HumanMessage("pay the plumber")])
    assert memory.session.fates == ['pay {"amount": 3000}: executed']
    assert memory.lines[2] == "result: paid 3000"


@DOORS
def test_equal_ids_in_one_answer_are_two_calls(door: Any) -> None:
    memory = MemoryClient()
    door(create_agent(model(asks(asked(), asked(amount=7), asked("steal")), "done"), [pay]), memory).invoke(ASK)
    executed, answered = "executed", "answered" if door is handled else "answered by framework"
    assert memory.session.fates == [
        f'pay {{"amount": 3000}}: {executed}',
        f'pay {{"amount": 7}}: {executed}',
        f'steal {{"amount": 3000}}: {answered}',
    ]
    assert {"result: paid 3000", "result: paid 7"} < set(memory.lines)
