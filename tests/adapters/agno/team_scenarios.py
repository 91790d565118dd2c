"""Everything a run of a team can come to."""

from __future__ import annotations

from typing import Any

from .host import Host, risky, weather
from .scenarios import ASK, CALL, RESULT, RISKY, SUCCESS, Drive, Scenario
from .scripted import call

TEAM_SCENARIOS: list[Scenario] = []


def scenario(
    lines: list[str], outcome: tuple[str, str] | None, *, others: Any = None, since: tuple[int, int] = (2, 4)
) -> Any:
    def add(drive: Drive) -> Drive:
        TEAM_SCENARIOS.append(Scenario(drive.__name__, drive, tuple(lines), outcome, others or {}, since=since))
        return drive

    return add


def delegated(member: str, call_id: str, task: str = "how warm?") -> Any:
    return call("delegate_task_to_member", call_id, member_id=member, task=task)


DELEGATED = 'call: delegate_task_to_member {"member_id": "m1", "task": "how warm?"}'
M1 = ("user: how warm?", CALL, RESULT, "assistant: warm")


@scenario([ASK, DELEGATED, "result: warm", "assistant: done"], SUCCESS, others={"M1": M1})
async def team(host: Host) -> None:
    member = host.agent(("weather", "m"), "warm", name="M1")
    await host.run(host.wrap(host.team([delegated("m1", "d1")], "done", members=[member])))


@scenario([ASK, DELEGATED, "result: warm", "assistant: done"], SUCCESS, others={"M1": M1})
async def team_blocking(host: Host) -> None:
    member = host.agent(("weather", "m"), "warm", name="M1")
    host.run_sync(host.wrap(host.team([delegated("m1", "d1")], "done", members=[member])))


@scenario([ASK, DELEGATED, "result: warm", "assistant: done"], SUCCESS, others={"M1": M1})
async def team_streamed(host: Host) -> None:
    member = host.agent(("weather", "m"), "warm", name="M1")
    lead = host.wrap(host.team([delegated("m1", "d1")], "done", members=[member]))
    await host.stream(lambda: lead.arun("weather in Oslo?", stream=True, stream_events=True, yield_run_output=True))


@scenario([ASK, DELEGATED, "result: warm", "assistant: done"], SUCCESS, others={"M1": M1})
async def team_streamed_blocking(host: Host) -> None:
    member = host.agent(("weather", "m"), "warm", name="M1")
    lead = host.wrap(host.team([delegated("m1", "d1")], "done", members=[member]))
    host.stream_sync(lambda: lead.run("weather in Oslo?", stream=True))


@scenario([ASK, DELEGATED, "result: warm"], SUCCESS, others={"M1": M1})
async def team_that_lets_members_answer(host: Host) -> None:
    member = host.agent(("weather", "m"), "warm", name="M1")
    await host.run(host.wrap(host.team([delegated("m1", "d1")], members=[member], respond_directly=True)))


@scenario(
    [
        ASK,
        'call: delegate_task_to_members {"task": "say"}',
        "result: Agent M1: oneAgent M2: two",
        "assistant: both",
    ],
    SUCCESS,
    others={"M1": ("user: say", "assistant: one"), "M2": ("user: say", "assistant: two")},
)
async def team_that_asks_all_members(host: Host) -> None:
    members = [host.agent("one", name="M1"), host.agent("two", name="M2")]
    asked = [call("delegate_task_to_members", "d1", task="say")]
    host.run_sync(host.wrap(host.team(asked, "both", members=members, delegate_to_all_members=True)))


@scenario(
    [
        ASK,
        DELEGATED,
        'call: delegate_task_to_member {"member_id": "m2", "task": "write"}',
        "result: warm",
        "result: a poem",
        "assistant: done",
    ],
    SUCCESS,
    others={"M1": M1, "M2": ("user: write", "assistant: a poem")},
)
async def members_at_the_same_time(host: Host) -> None:
    members = [host.agent(("weather", "m"), "warm", name="M1"), host.agent("a poem", name="M2")]
    asked = [delegated("m1", "d1"), delegated("m2", "d2", "write")]
    await host.run(host.wrap(host.team(asked, "done", members=members)))


@scenario([ASK, DELEGATED, "error: 503", "assistant: sorry"], SUCCESS, others={"M1": ("user: how warm?",)})
async def member_fails(host: Host) -> None:
    member = host.agent(RuntimeError("503"), name="M1")
    await host.run(host.wrap(host.team([delegated("m1", "d1")], "sorry", members=[member])))


@scenario([ASK], ("failed", "RuntimeError: 503"))
async def leader_fails(host: Host) -> None:
    await host.run(host.wrap(host.team(RuntimeError("503"), members=[host.agent("never", name="M1")])))


@scenario([ASK], ("failed", "RuntimeError: 503"))
async def leader_fails_streamed(host: Host) -> None:
    lead = host.wrap(host.team(RuntimeError("503"), members=[host.agent("never", name="M1")]))
    await host.stream(lambda: lead.arun("weather in Oslo?", stream=True))


@scenario([ASK, DELEGATED, "result: warm", "assistant: done"], SUCCESS, others={"M1": M1}, since=(2, 5))
async def members_by_function(host: Host) -> None:
    member = host.agent(("weather", "m"), "warm", name="M1")
    await host.run(host.wrap(host.team([delegated("m1", "d1")], "done", members=lambda: [member])))


@scenario(
    [ASK, DELEGATED, "result: one", "assistant: two", "user: and tomorrow?", "assistant: three"],
    SUCCESS,
    others={"M1": ("user: how warm?", "assistant: one")},
)
async def team_with_a_history(host: Host) -> None:
    member = host.agent("one", name="M1")
    steps = ([delegated("m1", "d1")], "two", "three")
    lead = host.wrap(host.team(*steps, members=[member], db=host.db, add_history_to_context=True))
    await host.run(lead, session_id="thread-1")
    await host.run(lead, "and tomorrow?", session_id="thread-1")
    host.stored(lead, "thread-1")


@scenario([ASK, CALL, RESULT, "assistant: done"], SUCCESS)
async def leader_with_tools_of_its_own(host: Host) -> None:
    await host.run(host.wrap(host.team(("weather", "c1"), "done", members=[], tools=[weather])))


@scenario([ASK, RISKY], ("interrupted", "risky"), since=(2, 5))
async def leader_waits_for_a_human(host: Host) -> None:
    await host.run(host.wrap(host.team(("risky", "c1"), "done", members=[], tools=[risky])))


@scenario([ASK, RISKY, "result: done Oslo", "assistant: done"], SUCCESS, since=(2, 5))
async def leader_goes_on(host: Host) -> None:
    lead = host.wrap(host.team(("risky", "c1"), "done", members=[], tools=[risky], db=host.db))
    output = await host.run(lead, session_id="thread-1")
    for requirement in output.active_requirements:
        requirement.confirm()
    await host.awaited(lambda: lead.acontinue_run(run_response=output, session_id="thread-1"))


RESOLVED = "result: Member results after human-in-the-loop resolution:\n[M1]: done Oslo it is"


@scenario(
    [ASK, DELEGATED, RESOLVED, "assistant: fin"],
    SUCCESS,
    others={"M1": ("user: how warm?", RISKY, "result: done Oslo", "assistant: done Oslo it is")},
    since=(3, 1),
)
async def member_waits_for_a_human(host: Host) -> None:
    member = host.agent(("risky", "m"), "done Oslo it is", name="M1", db=host.db)
    lead = host.wrap(host.team([delegated("m1", "d1")], "fin", members=[member], db=host.db))
    output = await host.run(lead, session_id="thread-1")
    for requirement in output.active_requirements:
        requirement.confirm()
    await host.awaited(lambda: lead.acontinue_run(run_response=output, session_id="thread-1"))


@scenario(
    [
        ASK,
        'call: delegate_task_to_member {"member_id": "inner", "task": "how warm?"}',
        "result: tepid",
        "assistant: so",
    ],
    SUCCESS,
    others={"Inner": ("user: how warm?", DELEGATED, "result: warm", "assistant: tepid"), "M1": M1},
)
async def team_in_a_team(host: Host) -> None:
    member = host.agent(("weather", "m"), "warm", name="M1")
    inner = host.team([delegated("m1", "d2")], "tepid", members=[member], name="Inner")
    await host.run(host.wrap(host.team([delegated("inner", "d1")], "so", members=[inner])))
