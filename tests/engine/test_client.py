"""The two front clients: the seed's snippets with another constructor, equal signatures, clear errors."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins import Acontext, AsyncAcontext
from acontext_plugins.errors import Closed, Conflict, InvalidInput, NotFound, StoreUnavailable
from acontext_store.types import new_id
from tests import sync_client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Acontext]:
    with Acontext(f"sqlite:///{tmp_path}/a.db") as opened:
        yield opened


IPHONE: list[dict[str, Any]] = [
    {"role": "user", "content": "I need to write a landing page of iPhone 15 pro max"},
    {
        "role": "assistant",
        "content": "Sure, my plan is below:\n1. Search for the latest news about iPhone 15 pro max\n"
        "2. Init Next.js project for the landing page\n3. Deploy the landing page to the website",
    },
    {
        "role": "user",
        "content": "That sounds good. Let's first collect the message and report to me before any landing page coding.",
    },
    {
        "role": "assistant",
        "content": "Sure, I will first collect the message then report to you before any landing page coding.",
        "tool_calls": [
            {
                "id": "call_001",
                "type": "function",
                "function": {"name": "search_news", "arguments": '{"query": "iPhone news"}'},
            }
        ],
    },
]


def test_the_resources_of_both_clients_are_the_same() -> None:
    for target in sync_client.TARGETS:
        assert target.read_text() == sync_client.generated(target), "write it anew: python -m tests.sync_client"


@pytest.mark.parametrize(
    "name", ["sessions", "spaces", "blocks", "tools", "disks", "artifacts", "jobs", "outcome_sources"]
)
def test_both_clients_have_the_same_methods_with_the_same_signatures(name: str, tmp_path: Path) -> None:
    def public(resource: object) -> dict[str, str]:
        return {
            method: str(inspect.signature(function)).replace("Async", "")
            for method, function in inspect.getmembers(resource, inspect.ismethod)
            if not method.startswith("_")
        }

    with Acontext(f"sqlite:///{tmp_path}/a.db") as client:
        other = AsyncAcontext(f"sqlite:///{tmp_path}/a.db")
        assert public(getattr(client, name)) == public(getattr(other, name)) != {}
        other.connection.close()


def test_the_clients_themselves_differ_only_in_how_they_are_closed() -> None:
    def public(memory: type) -> set[str]:
        return {name for name in dir(memory) if not name.startswith("_")}

    assert public(Acontext) - {"close"} == public(AsyncAcontext) - {"aclose"}


def test_the_seeds_store_and_load_snippets_run_with_another_constructor(client: Acontext) -> None:
    session = client.sessions.create()
    for message in IPHONE[:2]:
        stored = client.sessions.send_message(session_id=session.id, blob=message, format="openai")
        assert stored.session_id == session.id
    page = client.sessions.get_messages(session.id)
    assert page.items == IPHONE[:2]
    page.items.append({"role": "user", "content": "How are you doing?"})
    assert len(page.ids) == 2
    assert not page.has_more


def test_the_seeds_observe_snippet_gives_a_task_with_the_users_words(client: Acontext) -> None:
    session = client.sessions.create()
    for message in IPHONE:
        client.sessions.send_message(session_id=session.id, blob=message, format="openai")
    assert client.sessions.flush(session.id).status == 200
    tasks = client.sessions.get_tasks(session.id)
    assert tasks.items
    first = tasks.items[0]
    assert first.order == 1
    assert first.data["task_description"] == "I need to write a landing page of iPhone 15 pro max"
    assert first.status in ("pending", "running")
    assert any("report to me before" in preference for preference in first.data["user_preferences"])
    assert "progresses" in first.data


def test_a_pydantic_message_of_the_openai_sdk_is_taken_as_it_is(client: Acontext) -> None:
    from openai.types.chat import ChatCompletionMessage

    session = client.sessions.create()
    client.sessions.store_message(session.id, blob=ChatCompletionMessage(role="assistant", content="ok"))
    (item,) = client.sessions.get_messages(session.id).items
    assert item["role"] == "assistant"
    assert item["content"] == "ok"


def test_sessions_are_listed_by_space_and_by_page(client: Acontext) -> None:
    space = client.spaces.create(name="support")
    inside = [client.sessions.create(space_id=space.id).id for _ in range(5)]
    outside = client.sessions.create().id
    page = client.sessions.list(space_id=space.id, limit=3)
    rest = client.sessions.list(space_id=space.id, limit=3, cursor=page.next_cursor)
    assert [session.id for session in [*page.items, *rest.items]] == inside
    assert page.has_more
    assert not rest.has_more
    assert [session.id for session in client.sessions.list(not_connected=True).items] == [outside]


def test_what_the_newest_sdk_says_of_sessions_is_done(client: Acontext) -> None:
    chosen = "0190c1a2-3b4c-7d5e-8f60-718293a4b5c6"
    made = client.sessions.create(
        user="ann", use_uuid=chosen, configs={"tenant": "a", "agent": {"name": "clerk", "n": 1}}
    )
    assert (made.id, made.principal) == (chosen, "ann")
    with pytest.raises(Conflict):
        client.sessions.create(use_uuid=chosen)
    with pytest.raises(InvalidInput, match="use_uuid"):
        client.sessions.create(use_uuid="nobody")
    other = client.sessions.create(user="bob", configs={"tenant": "b"})
    assert [one.id for one in client.sessions.list(filter_by_configs={"agent": {"name": "clerk"}}).items] == [chosen]
    assert [one.id for one in client.sessions.list(user="bob").items] == [other.id]
    assert client.sessions.list(user="bob", filter_by_configs={"tenant": "a"}).items == []
    blob = {"role": "user", "content": "hello"}
    assert client.sessions.store_message(chosen, blob=blob, meta={"from": "web"}).meta == {"from": "web"}
    assert client.sessions.get_messages(chosen).metas == [{"from": "web"}]


def test_connecting_configs_and_deleting(client: Acontext) -> None:
    space = client.spaces.create(configs={"team": "a"})
    session = client.sessions.create(configs={"x": 1})
    client.sessions.connect_to_space(session.id, space_id=space.id)
    client.sessions.update_configs(session.id, configs={"x": 2})
    found = client.sessions.get_configs(session.id)
    assert (found.space_id, found.configs) == (space.id, {"x": 2})
    client.spaces.update_configs(space.id, configs={"team": "b"})
    assert client.spaces.get_configs(space.id).configs == {"team": "b"}
    client.sessions.delete(session.id)
    with pytest.raises(NotFound):
        client.sessions.get_configs(session.id)


def test_a_space_is_found_by_its_name_which_is_its_alone(client: Acontext) -> None:
    space = client.spaces.create(name="support")
    assert client.spaces.get("support").id == space.id
    with pytest.raises(Conflict):
        client.spaces.create(name="support")
    with pytest.raises(NotFound):
        client.spaces.get("sales")


def test_a_skill_written_by_hand_is_found_shown_and_moved(client: Acontext) -> None:
    space = client.spaces.create()
    folder = client.blocks.create(space.id, block_type="folder", title="github")
    page = client.blocks.create(space.id, block_type="page", parent_id=folder.id, title="basic_ops")
    props = {
        "preferences": "use personal account. star but not fork",
        "tool_sops": [
            {"tool_name": "goto", "action": "goto the user given github repo url"},
            {"tool_name": "click", "action": "find login button if any, and start to login first"},
        ],
    }
    sop = client.blocks.create(
        space.id, block_type="sop", parent_id=page.id, title="star a repo on github.com", props=props
    )
    result = client.spaces.experience_search(space_id=space.id, query="please star this github repo", mode="fast")
    (cited,) = result.cited_blocks
    assert cited.block_id == sop.id
    assert cited.props["use_when"] == "star a repo on github.com"
    assert [step["tool_name"] for step in cited.props["tool_sops"]] == ["goto", "click"]
    (root,) = client.blocks.list(space.id, tree=True)
    assert root.children is not None
    assert root.children[0].children is not None
    assert root.children[0].children[0].id == sop.id
    client.blocks.move(space.id, page.id)
    assert [block.title for block in client.blocks.list(space.id)] == ["github", "basic_ops"]
    client.blocks.delete(space.id, page.id)
    assert client.spaces.experience_search(space.id, query="star a github repo").cited_blocks == []


def test_a_search_that_nothing_answers_finds_nothing(client: Acontext) -> None:
    space = client.spaces.create()
    assert client.spaces.experience_search(space.id, query="anything").cited_blocks == []
    with pytest.raises(InvalidInput, match="empty"):
        client.spaces.experience_search(space.id, query=" ")
    with pytest.raises(InvalidInput, match="limit"):
        client.spaces.experience_search(space.id, query="x", limit=0)


@pytest.mark.parametrize(
    "call",
    [
        lambda client, id: client.sessions.get_tasks(id),
        lambda client, id: client.sessions.get_messages(id),
        lambda client, id: client.sessions.flush(id),
        lambda client, id: client.sessions.delete(id),
        lambda client, id: client.sessions.send_message(id, blob={"role": "user", "content": "x"}),
        lambda client, id: client.sessions.get_learning_status(id),
        lambda client, id: client.sessions.create(space_id=id),
        lambda client, id: client.spaces.experience_search(id, query="x"),
        lambda client, id: client.spaces.get_configs(id),
        lambda client, id: client.spaces.delete(id),
        lambda client, id: client.spaces.skills(id),
        lambda client, id: client.blocks.list(id),
        lambda client, id: client.blocks.create(id, block_type="page", title="x"),
    ],
)
def test_what_is_not_there_raises_not_found(client: Acontext, call: Any) -> None:
    with pytest.raises(NotFound):
        call(client, new_id())


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        ({"content": "no role"}, "role"),
        ({"role": "wizard", "content": "x"}, "wizard"),
        ({"role": "user"}, "content"),
        ("just text", "str"),
    ],
)
def test_a_message_that_cannot_be_taken_is_named_and_nothing_is_kept(client: Acontext, blob: Any, words: str) -> None:
    session = client.sessions.create()
    with pytest.raises(InvalidInput, match=words):
        client.sessions.send_message(session.id, blob=blob)
    assert client.sessions.get_messages(session.id).items == []


async def test_the_asynchronous_client_does_the_same(tmp_path: Path) -> None:
    async with AsyncAcontext(f"sqlite:///{tmp_path}/a.db") as client:
        session = await client.sessions.create()
        await client.sessions.send_message(session.id, blob=IPHONE[0])
        assert (await client.sessions.get_messages(session.id)).items == IPHONE[:1]
        assert await client.flush(10)
        assert [task.order for task in (await client.sessions.get_tasks(session.id)).items] == [1]


def test_a_closed_client_says_so(tmp_path: Path) -> None:
    client = Acontext(f"sqlite:///{tmp_path}/a.db")
    client.close()
    client.close()
    with pytest.raises(Closed):
        client.sessions.create()


def test_opening_where_nothing_can_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreUnavailable, match="file"):
        Acontext(f"sqlite:///{tmp_path}/file/a.db")
    with pytest.raises(InvalidInput, match="sqlite:///"):
        Acontext("mysql://localhost/x")


def test_unknown_settings_are_errors_that_name_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACONTEXT_DURABLITY", "full")
    with pytest.raises(InvalidInput, match="ACONTEXT_DURABLITY"):
        Acontext(f"sqlite:///{tmp_path}/a.db")


def test_settings_come_from_the_environment_and_arguments_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACONTEXT_URL", f"sqlite:///{tmp_path}/env.db")
    monkeypatch.setenv("ACONTEXT_WORKER__LEASE", "7")
    with Acontext() as client:
        assert client.settings.worker.lease == 7
        assert (tmp_path / "env.db").exists()
    with Acontext(f"sqlite:///{tmp_path}/argument.db"):
        assert (tmp_path / "argument.db").exists()


def test_a_client_opened_before_a_fork_works_in_the_child(client: Acontext) -> None:
    session = client.sessions.create()
    pid = os.fork()
    if pid == 0:
        try:
            client.sessions.send_message(session.id, blob={"role": "user", "content": "from the child"})
            client.close()
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    client.sessions.send_message(session.id, blob={"role": "user", "content": "from the parent"})
    texts = [item["content"] for item in client.sessions.get_messages(session.id).items]
    assert texts == ["from the child", "from the parent"]


def test_a_program_that_forgets_to_close_ends_and_loses_nothing(tmp_path: Path) -> None:
    code = (
        "from acontext_plugins import Acontext\n"
        "from acontext_plugins.service import Recording, SessionRef\n"
        "from acontext_store.types import Message, Part\n"
        f"client = Acontext('sqlite:///{tmp_path}/a.db')\n"
        "for n in range(200):\n"
        "    message = Message(role='user', parts=(Part(type='text', text=str(n)),))\n"
        "    client.connection.record(Recording(SessionRef('s'), [message]))\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
    with Acontext(f"sqlite:///{tmp_path}/a.db") as client:
        (session,) = client.sessions.list().items
        assert len(client.sessions.get_messages(session.id).items) == 200


def test_messages_are_edited_for_the_reader_and_never_in_the_store(client: Acontext) -> None:
    session = client.sessions.create()
    for message in IPHONE:
        client.sessions.send_message(session.id, blob=message)
    whole = client.sessions.get_messages(session.id, with_asset_public_url=True)
    bare = [{"type": "remove_tool_call_params", "params": {"keep_recent_n_tool_calls": 0}}]
    edited = client.sessions.get_messages(session.id, edit_strategies=bare)
    assert edited.items[3]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert edited.edit_at_message_id == whole.ids[-1]
    assert edited.this_time_tokens < whole.this_time_tokens
    assert client.sessions.get_messages(session.id) == whole
    pinned = client.sessions.get_messages(
        session.id, edit_strategies=bare, pin_editing_strategies_at_message=whole.ids[2]
    )
    assert (pinned.items, pinned.edit_at_message_id) == (whole.items, whole.ids[2])
    with pytest.raises(InvalidInput, match="edit_strategies"):
        client.sessions.get_messages(session.id, edit_strategies=[{"type": "forget"}])


@pytest.mark.parametrize("time_desc", [False, True])
def test_an_edited_conversation_is_read_in_pages_without_a_gap(client: Acontext, time_desc: bool) -> None:
    session = client.sessions.create()
    for message in IPHONE * 3:
        client.sessions.send_message(session.id, blob=message)
    strategies = [{"type": "middle_out", "params": {"token_reduce_to": 150}}]
    whole = client.sessions.get_messages(session.id, edit_strategies=strategies)
    assert 1 < len(whole.items) < 12
    pages, cursor = [], None
    while True:
        page = client.sessions.get_messages(
            session.id, edit_strategies=strategies, limit=2, cursor=cursor, time_desc=time_desc
        )
        pages.append(page.items)
        cursor = page.next_cursor
        if not page.has_more:
            break
    ordered = reversed(pages) if time_desc else pages
    assert [item for page in ordered for item in page] == whole.items


def test_what_a_format_has_no_place_for_is_named_in_the_meta(client: Acontext) -> None:
    session = client.sessions.create()
    client.sessions.send_message(session.id, blob={"role": "user", "content": "hello"})
    clip = {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}
    text = {"type": "text", "text": "look"}
    client.sessions.send_message(session.id, blob={"role": "user", "content": [text, clip]})
    assert client.sessions.get_messages(session.id).metas == [{}, {}]
    plain, seen = client.sessions.get_messages(session.id, format="anthropic").metas
    assert plain == {}
    assert seen["lost"] == ["video: the anthropic format has no place for it"]


def test_tokens_progress_and_meta_of_messages(client: Acontext) -> None:
    session = client.sessions.create(disable_task_tracking=True)
    stored = client.sessions.send_message(session.id, blob=IPHONE[0])
    counts = client.sessions.get_token_counts(session.id)
    assert counts.total_tokens == client.sessions.get_messages(session.id).this_time_tokens > 0
    status = client.sessions.messages_observing_status(session.id)
    assert (status.observed, status.in_process, status.pending) == (0, 0, 1)
    client.sessions.update_message_meta(session.id, stored.id, meta={"grade": 1, "gone": None})
    assert client.sessions.get_messages(session.id).metas == [{"grade": 1}]
    assert client.sessions.get_messages(session.id).items == [IPHONE[0]]


def test_tools_are_counted_and_renamed(client: Acontext) -> None:
    space = client.spaces.create()
    page = client.blocks.create(space.id, block_type="page", title="ops")
    props = {"preferences": "", "tool_sops": [{"tool_name": "goto", "action": "go"}]}
    client.blocks.create(space.id, block_type="sop", parent_id=page.id, title="star a repo", props=props)
    assert [(tool.name, tool.sop_count) for tool in client.tools.get_tool_name()] == [("goto", 1)]
    client.tools.rename_tool_name(rename=[{"old_name": "goto", "new_name": "open"}, {"old_name": "x", "new_name": "y"}])
    assert [tool.name for tool in client.tools.get_tool_name()] == ["open"]
    for wrong in ([], [{"old_name": "a"}], [{"old_name": "a", "new_name": "b"}, {"old_name": "a", "new_name": "c"}]):
        with pytest.raises(InvalidInput):
            client.tools.rename_tool_name(rename=wrong)


def test_what_waits_for_a_person_is_confirmed_or_discarded(client: Acontext) -> None:
    space = client.spaces.create()
    page = client.blocks.create(space.id, block_type="page", title="ops")
    store = client.connection.opened().engine.store
    for title in ("star a repo", "fork a repo", "drop a repo"):
        props = {"preferences": "", "tool_sops": [{"tool_name": "goto", "action": "go"}]}
        block = client.blocks.create(space.id, block_type="sop", parent_id=page.id, title=title, props=props)
        store.set_skill_status(block.id, "pending_confirmation").result(60)
    first = client.spaces.get_unconfirmed_experiences(space.id, limit=2)
    assert [item.experience_data["data"]["use_when"] for item in first.items] == ["star a repo", "fork a repo"]
    rest = client.spaces.get_unconfirmed_experiences(space.id, limit=2, cursor=first.next_cursor)
    assert len(rest.items) == 1
    assert not rest.has_more
    newest = client.spaces.get_unconfirmed_experiences(space.id, limit=1, time_desc=True)
    assert newest.items == rest.items
    saved, dropped = first.items
    assert client.spaces.confirm_experience(space.id, saved.id, save=True) == saved
    assert client.spaces.confirm_experience(space.id, dropped.id, save=False) is None
    assert client.spaces.get_unconfirmed_experiences(space.id).items == rest.items
    assert [skill.id for skill in client.spaces.skills(space.id)] == [saved.skill_id]
    with pytest.raises(NotFound):
        client.spaces.confirm_experience(space.id, saved.id, save=True)
