"""A session that is read in another format than it was recorded in, whole and page by page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins import Acontext
from acontext_plugins.formats.sequence import NO_RESULT

from .apis import APIS, refused

Item = dict[str, Any]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Acontext]:
    client = Acontext(f"sqlite:///{tmp_path}/readings.db")
    yield client
    client.close()


def kept(client: Acontext, *items: Item, format: str = "openai_responses") -> str:
    session = client.sessions.create()
    for item in items:
        client.sessions.send_message(session.id, blob=item, format=format)
    return session.id


def call(id: str) -> Item:
    return {"type": "function_call", "call_id": id, "name": "look", "arguments": "{}"}


def result(id: str, output: str = "found") -> Item:
    return {"type": "function_call_output", "call_id": id, "output": output}


def said(role: str, text: str) -> Item:
    return {"role": role, "content": text}


def test_what_a_message_without_an_item_has_lost_is_named_at_the_one_before(client: Acontext) -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "I look."}], "encrypted_content": "x"}
    id = kept(client, said("user", "list the files"), thought, said("assistant", "a.txt"))
    page = client.sessions.get_messages(id, format="anthropic")
    assert [item["content"] for item in page.items] == ["list the files", [{"type": "text", "text": "a.txt"}]]
    assert page.metas[0]["lost"] == ["thinking: the anthropic format has no place for it"]
    assert "lost" not in page.metas[1]


@pytest.mark.parametrize("target", [target for target in APIS if target != "openai_responses"])
@pytest.mark.parametrize("time_desc", [False, True])
def test_pages_are_taken_alone_and_together(client: Acontext, target: str, time_desc: bool) -> None:
    turns = [[said("user", f"{n}?"), call(f"a{n}"), call(f"b{n}"), result(f"b{n}"), result(f"a{n}")] for n in range(3)]
    id = kept(client, *(item for turn in turns for item in turn), said("assistant", "done"))
    whole = client.sessions.get_messages(id, format=target).items
    pages: list[list[Item]] = []
    cursor: str | None = None
    while not pages or cursor is not None:
        page = client.sessions.get_messages(id, format=target, limit=6, cursor=cursor, time_desc=time_desc)
        assert refused(target, page.items) == []
        assert len(page.items) <= 6
        pages.insert(0, page.items) if time_desc else pages.append(page.items)
        cursor = page.next_cursor
    assert [item for page in pages for item in page] == whole
    assert NO_RESULT not in str(whole)


def test_a_late_result_stands_behind_its_call(client: Acontext) -> None:
    id = kept(client, said("user", "go"), call("c1"), said("user", "still there?"), result("c1", "late"))
    items = client.sessions.get_messages(id, format="openai").items
    assert [item["role"] for item in items] == ["user", "assistant", "tool", "user"]
    assert items[2]["content"] == "late"


def test_results_find_their_calls_where_an_id_is_used_again(client: Acontext) -> None:
    id = kept(client, call("c"), result("c", "one"), call("c"), call("c"), result("c", "two"), result("c", "three"))
    items = client.sessions.get_messages(id, format="anthropic").items
    assert refused("anthropic", items) == []
    results = [block["content"] for item in items if item["role"] == "user" for block in item["content"]]
    assert results == ["one", "two", "three"]


def test_a_call_that_was_never_answered_says_so_and_a_result_without_its_call_is_named(client: Acontext) -> None:
    id = kept(client, said("user", "go"), result("gone"), {"type": "web_search_call", "id": "w1"}, said("user", "?"))
    page = client.sessions.get_messages(id, format="anthropic")
    assert page.items[2]["content"][0]["content"] == NO_RESULT
    assert page.metas[0]["lost"] == ["tool-result gone: the call that it answers is not among these messages"]


def test_a_session_in_its_own_format_is_given_back_as_it_came(client: Acontext) -> None:
    items = [call("c1"), said("user", ""), result("other")]
    id = kept(client, *items)
    assert client.sessions.get_messages(id, format="openai_responses").items == items
