"""What every `Service` promises, embedded or over HTTP: inherit, give the fixture, and all must be green.

class TestMyService(ServiceContract):
    @pytest.fixture
    async def service(self): '''A service over an empty database, whose background work goes on by itself.'''
"""

from __future__ import annotations

import io
import json
import uuid
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from acontext_store.errors import Conflict, InvalidInput, NotFound
from acontext_store.types import CallFate, Json, Message, Outcome, Part, new_id

from ..files.service import FileUpload
from ..formats import to_message
from ..service import RecallQuery, Recording, Service, SessionRef, ShownTurns

__all__ = ["ServiceContract"]

_SOP: Json = {"preferences": "be quick", "tool_sops": [{"tool_name": "goto", "action": "go to github.com"}]}


def said(text: str, **fields: Any) -> Message:
    return Message(role="user", parts=(Part(type="text", text=text),), **fields)


async def a_skill(service: Service, space_id: str, title: str = "star a repo on github") -> str:
    page = await service.create_block(space_id, block_type="page", title="ops")
    made = await service.create_block(space_id, block_type="sop", parent_id=page.id, title=title, props=_SOP)
    return made.id


_REQUEST = "refund my broken lamp please"


def _called(name: str, arguments: Json, result: Json) -> list[Message]:
    id = new_id()
    call = Part(type="tool-call", meta={"id": id, "name": name, "arguments": json.dumps(arguments)})
    answer = Part(type="tool-result", text=json.dumps(result), meta={"tool_call_id": id})
    return [Message(role="assistant", parts=(call,)), Message(role="tool", parts=(answer,))]


async def taught(service: Service, space: str, *, number: int = 1, by: str = "") -> str:
    """The id of a session that taught a space, by name, how to refund: a reported run in which an error was fixed."""
    order = f"A-{number}"
    messages = [
        said(f"I am ann{number}@example.com, please refund my broken cups of order {order}"),
        *_called("find_order", {"email": f"ann{number}@example.com"}, {"order_id": order}),
        *_called("issue_refund", {"order_id": order, "amount": "24.50"}, {"error": "amount must be an integer"}),
        *_called("issue_refund", {"order_id": order, "amount": 2450}, {"status": "ok"}),
    ]
    outcome = Outcome(status="success", source="report", by=by)
    session = SessionRef(key=f"lesson {number} of {space}", space=space)
    kept = await service.record_durably(Recording(session, messages, [outcome]))
    assert await service.flush(60)
    return kept.session_id


class ServiceContract:
    """What every `Service` promises, whether it is in this process or behind HTTP."""

    @pytest.fixture
    async def service(self) -> Service:
        """A service over an empty database, whose background work goes on by itself."""
        raise NotImplementedError("give this fixture")

    async def test_it_answers(self, service: Service) -> None:
        assert await service.ping() == "pong"
        assert service.project_id

    # -- sessions
    async def test_a_session_is_given_back_as_it_was_made(self, service: Service) -> None:
        space = await service.create_space(name="ops")
        made = await service.create_session(
            space_id=space.id, key="thread 7", principal="ann", disable_task_tracking=True, configs={"a": [None, "é"]}
        )
        assert (made.space_id, made.key, made.principal, made.disable_task_tracking) == (
            space.id,
            "thread 7",
            "ann",
            True,
        )
        assert await service.session(made.id) == made
        assert (await service.sessions()).items == [made]
        assert (await service.sessions(principal="bob")).items == []
        with pytest.raises(Conflict):
            await service.create_session(key="thread 7")

    async def test_a_session_has_the_id_that_was_chosen_for_it(self, service: Service) -> None:
        chosen = str(uuid.uuid4())
        assert (await service.create_session(use_uuid=chosen.upper(), principal="ann")).id == chosen
        await service.append(chosen, [said("hello")])
        for taken in (chosen, chosen.upper()):
            with pytest.raises(Conflict, match=chosen):
                await service.create_session(use_uuid=taken)
        assert [session.id for session in (await service.sessions()).items] == [chosen]
        await service.delete_session(chosen)
        assert (await service.create_session(use_uuid=chosen)).id == chosen
        assert (await service.messages(chosen)).items == []
        wrong: list[Any] = ["", "thread 7", chosen[:-1], "{" + chosen + "}", 7]
        for value in wrong:
            with pytest.raises(InvalidInput, match="use_uuid"):
                await service.create_session(use_uuid=value)
        with pytest.raises(InvalidInput, match="not both"):
            await service.create_session(use_uuid=new_id(), key="thread 7")

    async def test_sessions_are_found_by_what_their_configs_contain(self, service: Service) -> None:
        made = []
        for n in range(12):
            configs: Json = {"tenant": f"t&{n % 3}", "a": {"é": [n, 0]}}
            made.append((await service.create_session(principal="ab"[n % 2], configs=configs)).id)
        bare = await service.create_session()
        found: list[str] = []
        cursor: str | None = None
        while not found or cursor is not None:
            page = await service.sessions(filter_by_configs={"tenant": "t&1"}, limit=3, cursor=cursor)
            found += [session.id for session in page.items]
            cursor = page.next_cursor
        assert found == made[1::3]
        both = await service.sessions(filter_by_configs={"tenant": "t&1"}, principal="a", time_desc=True)
        assert [session.id for session in both.items] == [made[10], made[4]]
        deep = await service.sessions(filter_by_configs={"a": {"é": [7]}, "tenant": "t&1"})
        assert [session.id for session in deep.items] == [made[7]]
        assert (await service.sessions(filter_by_configs={"tenant": "T&1"})).items == []
        assert len((await service.sessions(filter_by_configs={})).items) == 13
        await service.update_session(bare.id, configs={"tenant": "late"})
        assert [one.id for one in (await service.sessions(filter_by_configs={"tenant": "late"})).items] == [bare.id]
        wrong: list[Any] = [["tenant"], "tenant", {"a": object()}]
        for value in wrong:
            with pytest.raises(InvalidInput, match="filter_by_configs"):
                await service.sessions(filter_by_configs=value)

    async def test_an_id_that_nothing_has_is_not_found_whatever_it_holds(self, service: Service) -> None:
        """Here and over HTTP, where it might become another address."""
        session, space = await service.create_session(), await service.create_space()
        for end in ("?x=1", "#x", "/configs", "/../" + session.id, "%2F", "%00", " ", "\n", "é", "/"):
            for wrong in (
                service.delete_session(session.id + end),
                service.conversation(session.id + end),
                service.update_message(session.id, "m" + end, meta={}),
                service.delete_space(space.id + end),
                service.delete_block(space.id, space.id + end),
                service.delete_disk(session.id + end),
            ):
                with pytest.raises(NotFound, match=r"^no (session|message|space|block|disk) "):
                    await wrong
        for id in ("", ".", "..", "nobody"):
            for wrong in (service.delete_session(id), service.message(session.id, id), service.delete_space(id)):
                with pytest.raises(NotFound) as caught:
                    await wrong
                assert caught.value.id == id
        assert await service.session(session.id) == session
        assert await service.space(space.id) == space

    async def test_a_message_may_have_any_id(self, service: Service) -> None:
        session = await service.create_session()
        ids = ["run 1/step 2", "what?", "a#b", "100%", "%2F", "é😀", "a/../b", "messages"]
        await service.append(session.id, [said(id, id=id) for id in ids])
        for id in ids:
            assert (await service.update_message(session.id, id, meta={"seen": id})).meta == {"seen": id}
            assert (await service.message(session.id, id)).text == id

    async def test_sessions_come_in_pages(self, service: Service) -> None:
        ids = [(await service.create_session()).id for _ in range(5)]
        for time_desc in (False, True):
            found: list[str] = []
            cursor: str | None = None
            while True:
                page = await service.sessions(limit=2, cursor=cursor, time_desc=time_desc)
                found += [item.id for item in page.items]
                cursor = page.next_cursor
                if not page.has_more:
                    break
            assert found == (ids[::-1] if time_desc else ids)
        with pytest.raises(InvalidInput):
            await service.sessions(cursor="nonsense")
        with pytest.raises(InvalidInput):
            await service.sessions(limit=0)

    async def test_a_session_is_changed_and_deleted(self, service: Service) -> None:
        session, space = await service.create_session(), await service.create_space()
        assert (await service.update_session(session.id, configs={"b": 1})).configs == {"b": 1}
        assert (await service.update_session(session.id, space_id=space.id)).space_id == space.id
        await service.delete_session(session.id)
        for wrong in (service.session(session.id), service.messages(session.id), service.tasks(session.id)):
            with pytest.raises(NotFound) as caught:
                await wrong
            assert (caught.value.kind, caught.value.id) == ("session", session.id)

    # -- messages
    async def test_messages_lose_nothing_on_the_way(self, service: Service) -> None:
        session = await service.create_session()
        native = {"role": "assistant", "content": None, "odd": [1, None, {"é": "😀"}]}
        sent = [
            said("hello", meta={"source": "web"}, run_id="r1"),
            Message(
                role="assistant",
                parts=(
                    Part(type="thinking", text="hm"),
                    Part(type="tool-call", meta={"id": "c1", "name": "search", "arguments": "{}"}),
                ),
                native=native,
            ),
            Message(role="tool", parts=(Part(type="tool-result", text="x" * 300_000, meta={"tool_call_id": "c1"}),)),
        ]
        done = await service.append(session.id, sent, [Outcome(status="success", source="report", run_id="r1")])
        assert (done.new, done.last_seq, done.message_ids) == (3, 3, tuple(message.id for message in sent))
        kept = (await service.messages(session.id)).items
        one = await service.message(session.id, sent[1].id)

        def as_sent(message: Message) -> Message:  # a worker may be observing it while it is read
            return Message(**message.model_dump(include=set(Message.model_fields)))

        assert [as_sent(message) for message in kept] == sent
        assert [message.seq for message in kept] == [1, 2, 3]
        assert (as_sent(one), one.seq) == (sent[1], 2)

    async def test_what_is_sent_twice_is_kept_once(self, service: Service) -> None:
        session = await service.create_session()
        message, outcome = said("once"), Outcome(status="failed", source="user")
        for new in (1, 0):
            assert (await service.append(session.id, [message], [outcome])).new == new
        recording = Recording(session=SessionRef(key="t1", space="ops"), messages=[said("again", id="m1")])
        for new in (1, 0):
            assert (await service.record_durably(recording)).new == new
        assert (await service.space_by_name("ops")).name == "ops"

    async def test_what_is_recorded_is_there_after_a_flush(self, service: Service) -> None:
        for number in range(20):
            service.record(Recording(session=SessionRef(key="t1"), messages=lambda number=number: [said(str(number))]))  # type: ignore[misc]
        assert await service.flush(60)
        (session,) = (await service.sessions()).items
        assert [message.text for message in (await service.messages(session.id)).items] == [str(n) for n in range(20)]

    async def test_what_became_of_calls_is_told_and_its_secrets_are_not(self, service: Service) -> None:
        asked = {"id": "c1", "name": "pay", "arguments": '{"amount": 3000}'}
        call = Message(role="assistant", parts=(Part(type="tool-call", meta=asked),), fates_told=True)
        secret = "sk-proj-aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY"
        fate = CallFate(
            call_id="c1",
            status="executed",
            edited_by="person",
            arguments={"amount": 30, "api_key": secret},
            reason=secret,
        )
        kept = await service.record_durably(Recording(SessionRef(key="calls"), [call], fates=[fate]))
        (found,) = await service.calls(kept.session_id)
        assert (found.tool, found.arguments, found.fate, found.assumed) == ("pay", {"amount": 3000}, "executed", False)
        assert (found.edited_by, (found.ran_arguments or {})["amount"]) == ("person", 30)
        assert secret not in found.model_dump_json()
        (message,) = (await service.messages(kept.session_id)).items
        assert [(one.call_id, one.status) for one in message.fates] == [("c1", "executed")]
        await service.append(kept.session_id, (), (), [CallFate(call_id="c1", status="failed")])
        assert [one.fate for one in await service.calls(kept.session_id)] == ["failed"]

    async def test_conversations_are_read_in_formats_and_edited(self, service: Service) -> None:
        session = await service.create_session()
        blobs: list[Json] = [
            {"role": "user", "content": "find x"},
            {
                "role": "assistant",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q":1}'}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "found " * 50},
        ]
        for blob in blobs:
            await service.append(session.id, [to_message(blob)])
        whole = await service.conversation(session.id)
        assert whole.items == blobs
        assert whole.this_time_tokens == (await service.token_counts(session.id)).total_tokens > 50
        strategies = [{"type": "remove_tool_result", "params": {"keep_recent_n_tool_results": 0}}]
        edited = await service.conversation(session.id, edit_strategies=strategies)
        assert (edited.items[2]["content"], edited.edit_at_message_id) == ("Done", whole.ids[-1])
        pinned = await service.conversation(session.id, edit_strategies=strategies, pin_at=whole.ids[1])
        assert pinned.items == whole.items
        newest = await service.conversation(session.id, limit=1, time_desc=True)
        assert (newest.ids, newest.has_more) == (whole.ids[2:], True)
        assert "find x" in json.dumps((await service.conversation(session.id, format="anthropic")).items)
        with pytest.raises(InvalidInput, match="edit_strategies"):
            await service.conversation(session.id, edit_strategies=[{"type": "forget"}])

    async def test_the_meta_of_a_message_can_be_changed(self, service: Service) -> None:
        session, message = await service.create_session(), said("x", meta={"a": 1, "b": 2})
        await service.append(session.id, [message])
        changed = await service.update_message(session.id, message.id, meta={"a": None, "c": 3})
        assert changed.meta == {"b": 2, "c": 3}
        with pytest.raises(NotFound):
            await service.update_message(session.id, "nothing", meta={})

    async def test_bytes_are_uploaded_before_a_message_names_them(self, service: Service) -> None:
        session = await service.create_session()
        blob = await service.upload(io.BytesIO(b"picture"))
        assert blob.size == 7
        part = Part(type="image", asset=blob.sha256, filename="a.png", meta={"media_type": "image/png"})
        await service.append(session.id, [Message(role="user", parts=(part,))])
        assert (await service.messages(session.id)).items[0].parts == (part,)
        lost = Part(type="image", asset="0" * 64)
        with pytest.raises(NotFound):
            await service.append(session.id, [Message(role="user", parts=(lost,))])

    # -- tasks
    async def test_a_session_is_observed(self, service: Service) -> None:
        session = await service.create_session(space_id=(await service.create_space()).id)
        await service.append(session.id, [said("Please archive the project apollo.")])
        assert (await service.flush_session(session.id)).status == 200
        (task,) = (await service.tasks(session.id)).items
        assert "apollo" in task.data["task_description"]
        status = await service.observing_status(session.id)
        assert (status.observed, status.in_process, status.pending) == (1, 0, 0)
        learned = await service.learning_status(session.id)
        assert learned.space_digested_count == 0

    # -- spaces, blocks, skills
    async def test_spaces_and_blocks(self, service: Service) -> None:
        space = await service.create_space(name="ops", configs={"x": 1})
        assert await service.space(space.id) == space == await service.space_by_name("ops")
        assert await service.space_by_name("new", create=True) == await service.space_by_name("new")
        with pytest.raises(NotFound):
            await service.space_by_name("missing")
        with pytest.raises(Conflict):
            await service.create_space(name="ops")
        assert (await service.update_space(space.id, configs={})).configs == {}
        folder = await service.create_block(space.id, block_type="folder", title="f")
        skill_id = await a_skill(service, space.id)
        skill = await service.block(space.id, skill_id)
        moved = await service.move_block(space.id, str(skill.parent_id), parent_id=folder.id)
        assert moved.parent_id == folder.id
        (tree,) = await service.blocks(space.id, tree=True)
        assert tree.children
        assert tree.children[0].children
        assert tree.children[0].children[0].id == skill_id
        assert await service.blocks(space.id, block_type="page") == []
        assert (await service.update_block(space.id, folder.id, title="g")).title == "g"
        assert (await service.sort_block(space.id, folder.id, 5)).sort == 0
        with pytest.raises(InvalidInput):
            await service.move_block(space.id, folder.id, parent_id=moved.id)
        await service.delete_block(space.id, folder.id)
        assert await service.blocks(space.id) == []
        await service.delete_space(space.id)
        with pytest.raises(NotFound):
            await service.space(space.id)

    async def test_skills_are_found_recalled_and_have_a_history(self, service: Service) -> None:
        space = await service.create_space(name="ops")
        skill_id = await a_skill(service, space.id)
        (skill,) = await service.skills(space.id)
        assert (skill.id, skill.status, skill.origin) == (skill_id, "active", "human")
        assert await service.skills(space.id, statuses=["candidate"]) == []
        assert [version.version for version in await service.skill_versions(skill_id)] == [1]
        found = await service.experience_search(space.id, query="star the repo acontext on github")
        assert [item.block_id for item in found.cited_blocks] == [skill_id]
        walked = await service.experience_search(
            space.id, query="star the repo acontext on github", mode="agentic", semantic_threshold=0.7, max_iterations=2
        )
        assert [item.block_id for item in walked.cited_blocks] == [skill_id]
        assert "goto" in (walked.final_answer or "")
        recalled = await service.recall(RecallQuery(space="ops", text="star the repo on github"))
        assert [one.id for one in recalled.skills] == [skill_id]
        assert "goto" in recalled.text
        assert len(recalled.scores) == 1
        without = await service.recall(RecallQuery(space="ops", text="star the repo on github", tools=["other"]))
        assert (without.text, without.skills) == ("", ())
        assert (await service.recall(RecallQuery(space="nowhere", text="x"))).skills == ()
        pages = await service.find_blocks(space.id, query="ops", types=["page"])
        assert [item.title for item in pages] == ["ops"]
        with pytest.raises(InvalidInput):
            await service.experience_search(space.id, query=" ")

    async def test_what_a_conversation_was_shown_stays_until_it_is_gone(self, service: Service) -> None:
        space = await service.create_space(name="ops")
        skill_id = await a_skill(service, space.id)
        asked = RecallQuery(space="ops", text="star the repo on github", session_key="talk", deadline=30)
        first = await service.recall(replace(asked, shown=ShownTurns(("t1",), opens=True)))
        assert [block.anchor for block in first.blocks] == [""]
        later = replace(asked, text="thank you", shown=ShownTurns(("t1", "t2")))
        again = await service.recall(later)
        assert (again.blocks, [one.id for one in again.skills]) == (first.blocks, [skill_id])
        assert (await service.recall(replace(later, session_key="another"))).blocks == ()
        await service.delete_block(space.id, skill_id)
        assert (await service.recall(later)).blocks == ()

    async def test_tools_are_counted_and_renamed(self, service: Service) -> None:
        space = await service.create_space()
        await a_skill(service, space.id)
        assert await service.rename_tools({"goto": "open", "unknown": "x"}) == 1
        assert [(tool.name, tool.sop_count) for tool in await service.tool_names()] == [("open", 1)]

    async def test_what_is_learned_in_a_space_that_asks_waits_for_a_person(self, service: Service) -> None:
        space = await service.create_space(name="careful", configs={"confirm": True})
        session_id = await taught(service, "careful")
        assert await service.skills(space.id, statuses=["active"]) == []
        assert (await service.recall(RecallQuery(space="careful", text=_REQUEST))).skills == ()
        assert (await service.experience_search(space.id, query=_REQUEST)).cited_blocks == []
        assert [page.children for page in await service.blocks(space.id, tree=True)] == [[]]
        status = await service.learning_status(session_id)
        assert (status.waiting_count, status.not_space_digested_count, status.space_digested_count) == (1, 0, 0)
        (waiting,) = (await service.confirmations(space.id)).items
        assert waiting.replaces is None
        data = waiting.experience_data["data"]
        assert [step["tool_name"] for step in data["tool_sops"]] == ["find_order", "issue_refund"]
        kept = await service.confirm(space.id, waiting.id, save=True)
        assert kept is not None
        assert kept.skill_id == waiting.skill_id
        assert [skill.id for skill in await service.skills(space.id, statuses=["active"])] == [waiting.skill_id]
        assert (await service.recall(RecallQuery(space="careful", text=_REQUEST))).skills
        assert (await service.learning_status(session_id)).space_digested_count == 1

    async def test_what_waits_can_be_changed_first(self, service: Service) -> None:
        space = await service.create_space(name="careful", configs={"confirm": True})
        await taught(service, "careful")
        (waiting,) = (await service.confirmations(space.id)).items
        for wrong in ({"type": "text", "data": {}}, {"type": "sop"}, {"data": {"tool_sops": 7}}, {"data": {"x": 1}}):
            with pytest.raises(InvalidInput):
                await service.confirm(space.id, waiting.id, save=True, experience_data=wrong)
        with pytest.raises(InvalidInput):
            await service.confirm(space.id, waiting.id, save=False, experience_data={"data": {}})
        changed: Json = {"type": "sop", "data": {"preferences": "ask before money moves"}}
        kept = await service.confirm(space.id, waiting.id, save=True, experience_data=changed)
        assert kept is not None
        assert kept.experience_data["data"]["preferences"] == "ask before money moves"
        (skill,) = await service.skills(space.id, statuses=["active"])
        assert (skill.origin, skill.body.preferences) == ("human", "ask before money moves")
        assert [step.tool_name for step in skill.body.tool_sops] == ["find_order", "issue_refund"]

    async def test_what_is_rejected_does_not_come_back(self, service: Service) -> None:
        space = await service.create_space(name="careful", configs={"confirm": True})
        await taught(service, "careful")
        (waiting,) = (await service.confirmations(space.id)).items
        assert await service.confirm(space.id, waiting.id, save=False) is None
        with pytest.raises(NotFound):
            await service.confirm(space.id, waiting.id, save=True)
        await service.update_space(space.id, configs={})
        for number in (2, 3):
            await taught(service, "careful", number=number)
        assert (await service.confirmations(space.id)).items == []
        assert await service.skills(space.id, statuses=["active"]) == []

    async def test_the_switch_of_a_space_is_true_or_false(self, service: Service) -> None:
        with pytest.raises(InvalidInput, match="confirm"):
            await service.create_space(configs={"confirm": "yes"})

    async def test_jobs_are_listed_and_retried(self, service: Service) -> None:
        space = await service.create_space()
        session = await service.create_session(space_id=space.id)
        await service.append(session.id, [said("Please archive the project apollo.")])
        await service.flush(60)
        assert await service.jobs() == await service.jobs(dead=True) == []
        assert await service.retry_jobs() == 0
        assert await service.retry_jobs(space_id=space.id, session_id=session.id) == 0
        for wrong in (service.retry_jobs(space_id=new_id()), service.retry_jobs(session_id=new_id())):
            with pytest.raises(NotFound):
                await wrong
        with pytest.raises(InvalidInput):
            await service.jobs(limit=0)

    async def test_what_models_have_taken_is_nothing_where_none_was_asked(self, service: Service) -> None:
        space = await service.create_space(configs={"budget": {"daily_tokens": 1000, "daily_cost": 0}})
        assert await service.costs() == []
        found = await service.costs(
            by=["space", "job", "model", "day"],
            space_id=space.id,
            since="2026-01-31",
            until="2099-01-31T12:00:00+01:00",
        )
        assert found == []
        wrong: Any = ["nonsense"]
        for given in ({"since": "yesterday"}, {"until": "2026-13-01"}, {"by": wrong}):
            with pytest.raises(InvalidInput):
                await service.costs(**given)

    async def test_the_budget_of_a_space_is_numbers(self, service: Service) -> None:
        for wrong in ({"daily_tokens": "many"}, {"tokens": 1}, 7):
            with pytest.raises(InvalidInput, match="budget"):
                await service.create_space(configs={"budget": wrong})
        space = await service.create_space()
        with pytest.raises(InvalidInput, match="daily_cost"):
            await service.update_space(space.id, configs={"budget": {"daily_cost": -1}})

    async def test_nothing_waits_for_a_person_who_has_nothing_to_confirm(self, service: Service) -> None:
        space = await service.create_space()
        assert (await service.confirmations(space.id)).items == []
        with pytest.raises(NotFound):
            await service.confirm(space.id, new_id(), save=True)

    # -- sources of outcomes
    async def test_a_source_of_outcomes_is_registered_and_listed(self, service: Service) -> None:
        assert await service.outcome_sources() == []
        made = await service.register_outcome_source("unit tests/ci?", strength=0.25, note="every night")
        assert (made.name, made.strength, made.note, made.outcomes) == ("unit tests/ci?", 0.25, "every night", 0)
        session = await service.create_session()
        await service.append(session.id, [said("hi")], [Outcome(status="success", source="report", by="ann")])
        await service.append(session.id, [], [Outcome(status="success", source="report", by=made.name)])
        found = await service.outcome_sources()
        assert [(one.name, one.strength, one.outcomes) for one in found] == [("ann", None, 1), (made.name, 0.25, 1)]
        changed = await service.register_outcome_source(made.name, strength=1)
        assert (changed.strength, changed.note) == (1.0, "every night")

    async def test_a_source_of_outcomes_has_a_name_and_a_strength_that_can_be(self, service: Service) -> None:
        for name in ("", "  ", "x" * 65, "a\nb"):
            for wrong in (service.register_outcome_source(name), service.revoke_outcome_source(name)):
                with pytest.raises(InvalidInput, match="source of outcomes"):
                    await wrong
        for strength in (-0.1, 1.5):
            with pytest.raises(InvalidInput, match="strength"):
                await service.register_outcome_source("ci", strength=strength)
        with pytest.raises(NotFound, match="nobody"):
            await service.revoke_outcome_source("nobody")

    async def test_a_revoked_source_of_outcomes_takes_its_lessons_with_it(self, service: Service) -> None:
        first = await taught(service, "shop", by="unit-tests")
        second = await taught(service, "shop", number=2, by="ann")
        space = await service.space_by_name("shop")
        (before,) = await service.skills(space.id)
        found = await service.revoke_outcome_source("unit-tests")
        assert [(one.session_id, one.before, one.after) for one in found.tasks] == [(first, "success", "running")]
        # the amount that two had agreed on is one speaker's only
        assert [(one.skill_id, one.fate, one.after) for one in found.skills] == [(before.id, "changed", "active")]
        assert (found.settled, found.waits_for) == (True, None)
        found = await service.revoke_outcome_source("ann", timeout=60)
        assert [(one.session_id, one.now_by) for one in found.tasks] == [(second, "")]
        assert [(one.fate, one.before, one.after) for one in found.skills] == [("retired", "active", "retired")]
        assert await service.revoke_outcome_source("ann") == found
        assert await service.skills(space.id, statuses=["active"]) == []
        await service.append(first, [], [Outcome(status="failed", source="report", by="ann")])
        await service.flush(60)
        assert [task.status for task in (await service.tasks(first)).items] == ["running"]

    # -- files
    async def test_files_are_kept_read_searched_and_deleted(self, service: Service) -> None:
        disk = await service.create_disk()
        assert (await service.disks()).items == [disk]
        upload = FileUpload("todo.md", b"# Plan\nship it", "text/markdown")
        made = await service.upsert_artifact(disk.id, file=upload, file_path="/notes/", meta={"a": 1})
        assert (made.path, made.filename, made.size, made.meta["a"]) == ("/notes/", "todo.md", 14, 1)
        got = await service.artifact(disk.id, "/notes/todo.md", with_public_url=True)
        assert got.content is not None
        assert got.content.raw == "# Plan\nship it"
        assert got.public_url
        assert (await service.list_artifacts(disk.id)).directories == ["notes"]
        assert len(await service.grep_artifacts(disk.id, query="ship")) == 1
        assert len(await service.glob_artifacts(disk.id, query="**/*.md")) == 1
        changed = await service.update_artifact(disk.id, "/notes/todo.md", meta={"b": 2})
        assert "a" not in changed.meta
        download = await service.download_artifact(disk.id, "/notes/todo.md")
        spans = ((2, 6, b"Plan"), (0, 0, b""), (9, None, b"ip it"), (9, 99, b"ip it"), (99, None, b""))
        for start, end, expected in spans:
            assert b"".join(download.read(start, end)) == expected, (start, end)
        linked = await service.open_link(dict(parse_qsl(urlsplit(got.public_url).query)))
        assert (linked.filename, linked.size, linked.sha256) == ("todo.md", 14, made.sha256)
        assert b"".join(linked.read(0, None)) == b"# Plan\nship it"
        await service.delete_artifact(disk.id, "/notes/todo.md")
        with pytest.raises(NotFound):
            await service.artifact(disk.id, "/notes/todo.md")
        with pytest.raises(InvalidInput):
            await service.upsert_artifact(disk.id, file=upload, file_path="/../")
        await service.delete_disk(disk.id)
        assert (await service.disks()).items == []
