"""What a store promises about sessions, messages and outcomes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ..errors import Conflict, InvalidInput, NotFound
from ..protocols import Store
from ..types import Episode, Json, Message, Part, Role, Session, SkillOps
from .factories import (
    a_session,
    a_space,
    a_task,
    an_edit,
    an_outcome,
    claimed,
    done,
    each,
    learned,
    observed,
    said,
    talk,
    texts,
)


class SessionContract:
    """Sessions are created, listed in pages, changed and deleted."""

    def test_a_session_is_given_back_as_it_was_made(self, store: Store) -> None:
        space_id = a_space(store)
        session = a_session(
            space_id=space_id,
            key="thread 7",
            principal="ann",
            agent="clerk",
            disable_task_tracking=True,
            configs={"colour": ["red", None]},
        )
        assert done(store.create_session(session)) == session
        assert done(store.session("s1")) == session

    def test_an_unknown_session_is_not_found(self, store: Store) -> None:
        for pending in each(
            store.session("nobody"),
            store.messages("nobody"),
            store.outcomes("nobody"),
            store.tasks("nobody"),
            store.resume_seq("nobody"),
            store.learning_status("nobody"),
            store.append("nobody", [said("hello")]),
            store.update_session("nobody", configs={}),
            store.delete_session("nobody"),
        ):
            with pytest.raises(NotFound):
                done(pending)

    def test_an_id_or_a_key_is_taken_once(self, store: Store) -> None:
        done(store.create_session(a_session("s1", key="thread")))
        with pytest.raises(Conflict):
            done(store.create_session(a_session("s1")))
        with pytest.raises(Conflict):
            done(store.create_session(a_session("s2", key="thread")))
        with pytest.raises(Conflict):
            done(store.append("s3", [said("hello")], ensure=a_session("s3", key="thread")))
        assert [session.id for session in done(store.sessions()).items] == ["s1"]

    def test_a_session_needs_a_space_that_exists_and_its_own_project(self, store: Store) -> None:
        with pytest.raises(NotFound):
            done(store.create_session(a_session(space_id="nowhere")))
        with pytest.raises(NotFound):
            done(store.append("s1", ensure=a_session(space_id="nowhere")))
        with pytest.raises(InvalidInput):
            done(store.create_session(a_session(project_id="other")))
        assert done(store.sessions()).items == []

    @pytest.mark.parametrize("time_desc", [False, True])
    def test_pages_show_each_session_once_in_order(self, store: Store, time_desc: bool) -> None:
        made = [a_session(f"s{n}", created_at=f"2026-01-01T00:00:0{n // 3}.000000Z") for n in range(10)]
        for session in reversed(made):
            done(store.create_session(session))
        seen: list[Session] = []
        cursor: str | None = None
        while True:
            page = done(store.sessions(limit=3, cursor=cursor, time_desc=time_desc))
            seen += page.items
            assert page.has_more == (page.next_cursor is not None)
            if not page.has_more:
                break
            cursor = page.next_cursor
        assert seen == (made[::-1] if time_desc else made)

    def test_sessions_are_found_by_space_or_by_key(self, store: Store) -> None:
        space_id = a_space(store)
        done(store.create_session(a_session("s1", space_id=space_id)))
        done(store.create_session(a_session("s2", key="thread")))
        assert [s.id for s in done(store.sessions(space_id=space_id)).items] == ["s1"]
        assert [s.id for s in done(store.sessions(key="thread")).items] == ["s2"]
        assert [s.id for s in done(store.sessions(not_connected=True, space_id=space_id)).items] == ["s2"]
        assert done(store.sessions(space_id="nowhere")).items == []

    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            ({"tenant": "a"}, ["s1", "s2"]),
            ({"tenant": "A"}, []),
            ({"tenant": "a", "agent": {"name": "clerk"}}, ["s1"]),
            ({"agent": {}}, ["s1", "s3"]),
            ({"agent": {"tools": ["search"]}}, ["s1"]),
            ({"agent": {"tools": ["book", "book", "search"]}}, ["s1"]),
            ({"agent": {"tools": "search"}}, []),
            ({"agent": {"tools": [{"x": 1}]}}, []),
            ({"agent": [{"name": "clerk"}]}, ["s4"]),
            ({"level": 1}, ["s2"]),
            ({"level": 1.0}, ["s2"]),
            ({"level": True}, ["s3"]),
            ({"level": "1"}, ["s4"]),
            ({"level": None}, ["s1"]),
            ({"nothing": None}, []),
            ({'é "x"': "\U0001f600"}, ["s3"]),
            ({}, ["s1", "s2", "s3", "s4", "s5"]),
            (None, ["s1", "s2", "s3", "s4", "s5"]),
        ],
    )
    def test_sessions_are_found_by_what_their_configs_contain(
        self, store: Store, asked: Json | None, found: list[str]
    ) -> None:
        for id, configs in (
            ("s1", {"tenant": "a", "level": None, "agent": {"name": "clerk", "tools": ["search", "book"]}}),
            ("s2", {"tenant": "a", "level": 1, "note": '"agent":{'}),
            ("s3", {"tenant": "ab", "level": True, "agent": {"name": "clark"}, 'é "x"': "\U0001f600"}),
            ("s4", {"level": "1", "agent": [{"name": "clerk", "age": 3}, "x"]}),
            ("s5", None),
        ):
            done(store.create_session(a_session(id, configs=configs)))
        assert [s.id for s in done(store.sessions(filter_by_configs=asked)).items] == found

    @pytest.mark.parametrize("time_desc", [False, True])
    def test_pages_of_a_filter_are_as_full_as_any(self, store: Store, time_desc: bool) -> None:
        """They go on where the last one ended, and there is more only where more of it is there."""
        for n in range(20):
            done(store.create_session(a_session(f"s{n:02}", principal="ab"[n % 2], configs={"third": n % 3})))
        wanted = [f"s{n:02}" for n in range(20) if n % 3 == 0 and n % 2 == 0]
        seen: list[list[str]] = []
        cursor: str | None = None
        while not seen or cursor is not None:
            page = done(
                store.sessions(
                    filter_by_configs={"third": 0}, principal="a", limit=2, cursor=cursor, time_desc=time_desc
                )
            )
            seen.append([session.id for session in page.items])
            cursor = page.next_cursor
            assert page.has_more == (cursor is not None)
        assert [len(page) for page in seen] == [2, 2]
        assert [id for page_ids in seen for id in page_ids] == (wanted[::-1] if time_desc else wanted)

    def test_a_filter_sees_configs_as_they_are_now(self, store: Store) -> None:
        done(store.create_session(a_session(configs={"tenant": "a"})))
        done(store.update_session("s1", configs={"tenant": "b"}))
        assert done(store.sessions(filter_by_configs={"tenant": "a"})).items == []
        assert [s.id for s in done(store.sessions(filter_by_configs={"tenant": "b"})).items] == ["s1"]

    def test_a_filter_that_json_cannot_say_is_refused(self, store: Store) -> None:
        deep: Json = {}
        for _ in range(150):
            deep = {"a": deep}
        wrong: list[Any] = [["a"], "a", {"a": object()}, {"a": float("nan")}, deep]
        for filter_by_configs in wrong:
            with pytest.raises(InvalidInput, match="filter_by_configs"):
                done(store.sessions(filter_by_configs=filter_by_configs))

    @pytest.mark.parametrize("limit", [0, -1, 201])
    def test_a_page_has_1_to_200_items(self, store: Store, limit: int) -> None:
        for pending in each(store.sessions(limit=limit), store.spaces(limit=limit)):
            with pytest.raises(InvalidInput, match="1 to 200"):
                done(pending)

    @pytest.mark.parametrize("cursor", ["", "%%%", "bm90aGluZw", "fHw", "ß", "AAAA", "/w", "fA" * 400])
    def test_a_malformed_cursor_is_refused(self, store: Store, cursor: str) -> None:
        done(store.create_session(a_session()))
        for pending in each(
            store.sessions(cursor=cursor),
            store.spaces(cursor=cursor),
            store.tasks("s1", cursor=cursor),
            store.messages("s1", cursor=cursor),
        ):
            with pytest.raises(InvalidInput, match="cursor"):
                done(pending)

    def test_configs_are_replaced_and_a_space_connected(self, store: Store) -> None:
        space_id = a_space(store)
        done(store.create_session(a_session(configs={"a": 1})))
        assert done(store.update_session("s1", configs={"b": 2})).configs == {"b": 2}
        session = done(store.update_session("s1", space_id=space_id))
        assert (session.space_id, session.configs) == (space_id, {"b": 2})
        with pytest.raises(NotFound):
            done(store.update_session("s1", space_id="nowhere"))
        assert done(store.session("s1")) == session

    def test_a_deleted_session_takes_its_traces_but_not_the_skills(self, store: Store) -> None:
        space_id = a_space(store)
        talk(store, space_id=space_id)
        observed(store, [a_task()])
        learned(store, space_id, an_edit(sessions=("s1", "s0")), digested=("t1",))
        done(store.append("s1", [said("more")], [an_outcome()]))
        done(store.delete_session("s1"))
        with pytest.raises(NotFound):
            done(store.session("s1"))
        with pytest.raises(NotFound):
            done(store.task("t1"))
        (skill,) = done(store.skills(space_id))
        assert [e.session_id for e in skill.evidence] == ["s0"]
        assert [e.session_id for v in done(store.skill_versions("k1")) for e in v.evidence] == ["s0"]
        assert done(store.lanes()) == []
        talk(store, "s1")
        assert [m.seq for m in done(store.messages("s1")).items] == [1, 2]
        assert done(store.outcomes("s1")) == []

    def test_a_deleted_session_takes_its_episodes(self, store: Store) -> None:
        space_id = a_space(store)
        for session_id in ("s1", "s2"):
            talk(store, session_id, space_id=space_id)
            observed(store, [a_task(f"{session_id}-t", session_id=session_id)], session_id=session_id)
        done(store.schedule_now("learn", space_id))
        episodes = tuple(
            Episode(task_id=f"{id}-t", session_id=id, space_id=space_id, body={"of": id}) for id in ("s1", "s2")
        )
        done(store.apply_skills(claimed(store, "learn", space_id), SkillOps(space_id=space_id, episodes=episodes)))
        done(store.delete_session("s1"))
        assert [episode.body for episode in done(store.episodes(space_id))] == [{"of": "s2"}]


class MessageContract:
    """Messages keep their order, their ids and their content, and are kept once."""

    def test_messages_keep_their_order_and_their_number(self, store: Store) -> None:
        done(store.create_session(a_session()))
        first = done(store.append("s1", [said("one"), said("two")]))
        assert (first.new, first.last_seq) == (2, 2)
        assert done(store.append("s1", [said("three")])).last_seq == 3
        kept = done(store.messages("s1")).items
        assert [(message.seq, message.text) for message in kept] == [(1, "one"), (2, "two"), (3, "three")]
        assert [message.parent_id for message in kept] == [None, kept[0].id, kept[1].id]
        assert all(m.session_task_process_status == "pending" and m.task_id is None for m in kept)

    def test_a_repeated_turn_is_kept_once(self, store: Store) -> None:
        turn = [said("book a table"), said("for two")]
        done(store.append("s1", turn, ensure=a_session()))
        again = done(store.append("s1", [*turn, said("tonight")], ensure=a_session()))
        assert (again.new, again.last_seq) == (1, 3)
        assert again.message_ids[:2] == tuple(message.id for message in turn)
        assert texts(store, "s1") == ["book a table", "for two", "tonight"]

    @pytest.mark.parametrize(("role", "other"), [("user", "assistant"), ("assistant", "user")])
    def test_an_id_is_taken_by_a_turn_that_is_over(self, store: Store, role: Role, other: Role) -> None:
        done(store.create_session(a_session("s1")))
        message = said("ok", role=role, id="m1")
        done(store.append("s1", [message, message.model_copy(update={"id_if_taken": "m2"})]))
        assert texts(store, "s1") == ["ok"], "the same one, which nobody has answered"
        done(store.append("s1", [said("more", role=other)]))
        again = message.model_copy(update={"id_if_taken": "m3"})
        kept = done(store.append("s1", [message, again]))
        assert (kept.new, kept.message_ids) == (1, ("m1", "m3"))
        assert done(store.append("s1", [again])).new == 0, "said once more, it is known"
        assert texts(store, "s1") == ["ok", "more", "ok"]

    def test_what_a_session_says_already_is_not_said_again_under_other_ids(self, store: Store) -> None:
        def shown(*texts: str) -> list[Message]:
            sides: tuple[Role, Role] = ("user", "assistant")
            return [
                said(text, role=sides[at % 2]).model_copy(update={"if_unsaid": True}) for at, text in enumerate(texts)
            ]

        kept = done(store.append("s1", [said("one"), said("two", role="assistant")], ensure=a_session())).message_ids
        again = done(store.append("s1", [*shown("one", "two"), said("three")]))
        assert (again.new, again.message_ids[:2]) == (1, kept)
        ends = done(store.append("s1", [*shown("three", "four"), said("five")]))
        assert (ends.new, ends.message_ids[0]) == (2, again.message_ids[2])
        middle = done(store.append("s1", [said("six"), *shown("one", "two"), *shown("seven")]))
        assert middle.new == 4, "one and two go on with seven here, which they never did"
        assert texts(store, "s1") == ["one", "two", "three", "four", "five", "six", "one", "two", "seven"]
        assert done(store.append("s1", [*shown("three", "four"), said("eight")])).new == 1
        assert done(store.append("s1", shown("one", "other"))).new == 2

    def test_an_id_twice_in_one_append_is_kept_once(self, store: Store) -> None:
        turn = said("hello")
        appended = done(store.append("s1", [turn, turn], ensure=a_session()))
        assert (appended.new, appended.last_seq) == (1, 1)

    def test_the_same_id_may_stand_in_two_sessions(self, store: Store) -> None:
        turn = said("hello")
        for session_id in ("s1", "s2"):
            assert done(store.append(session_id, [turn], ensure=a_session(session_id))).new == 1
        assert texts(store, "s1") == texts(store, "s2") == ["hello"]

    def test_a_session_without_a_space_joins_that_of_ensure(self, store: Store) -> None:
        first, second = (done(store.space_by_name(name, create=True)).id for name in ("first", "second"))
        done(store.append("s1", [said("hello")], ensure=a_session()))
        for space_id in (first, second):
            done(store.append("s1", [said("again")], ensure=a_session(space_id=space_id)))
            assert done(store.session("s1")).space_id == first
        with pytest.raises(NotFound):
            done(store.append("s2", [said("hello")], ensure=a_session("s2", space_id="nowhere")))

    def test_ensure_makes_the_session_once(self, store: Store) -> None:
        done(store.append("s1", [said("hello")], ensure=a_session(agent="first")))
        done(store.append("s1", [said("again")], ensure=a_session(agent="second")))
        assert done(store.session("s1")).agent == "first"
        with pytest.raises(InvalidInput):
            done(store.append("s2", [said("hello")], ensure=a_session("s3")))

    def test_an_append_is_kept_whole_or_not_at_all(self, store: Store) -> None:
        done(store.create_session(a_session()))
        good, bad = said("good"), said("bad").model_copy(update={"native": {"it": object()}})
        before = store.append("s1", [said("before")])
        failing = store.append("s1", [good, bad], [an_outcome()])
        alone = store.append("s1", [bad])
        after = store.append("s1", [said("after")])
        for pending in (failing, alone):
            with pytest.raises(InvalidInput):
                done(pending)
        assert (done(before).last_seq, done(after).last_seq) == (1, 2)
        assert texts(store, "s1") == ["before", "after"]
        assert done(store.outcomes("s1")) == []
        assert done(store.append("s1", [good])).new == 1

    def test_a_session_whose_first_append_fails_is_not_made(self, store: Store) -> None:
        bad = said("bad").model_copy(update={"native": {"it": object()}})
        with pytest.raises(InvalidInput):
            done(store.append("s1", [said("good"), bad], ensure=a_session()))
        assert done(store.sessions()).items == []
        assert done(store.append("s1", [said("good")], ensure=a_session())).last_seq == 1

    def test_messages_come_back_as_they_were(self, store: Store) -> None:
        message = Message(
            role="assistant",
            parts=(
                Part(type="text", text="nul \0, emoji 🙂, zwj 👩\u200d💻, rtl ‏א, ünï"),
                Part(type="text", text=""),
                Part(type="tool-call", meta={"id": "c1", "name": "search", "arguments": '{"q": 1}'}),
                Part(type="tool-result", text="found", meta={"tool_call_id": "c1", "is_error": False}),
                Part(type="image", meta={"url": "https://x.test/a.png"}),
                Part(type="file", asset="ab" * 32, filename="a b.pdf"),
                Part(type="thinking", text="hm", meta={}),
            ),
            format="anthropic",
            native={"deep": [{"nested": [1, 2.5, None, True]}], "empty": {}, "text": "a pair \U0001f600"},
            meta={"name": "ann"},
            run_id="r1",
        )
        done(store.append("s1", [message], ensure=a_session()))
        (kept,) = done(store.messages("s1")).items
        assert kept.model_dump(include=set(Message.model_fields)) == message.model_dump()

    def test_half_a_surrogate_pair_is_replaced_wherever_it_stands(self, store: Store) -> None:
        odd = Part.model_construct(
            type="text", text="half \ud83d", meta={"k\udc00": ["\ud83d\ude00"]}, asset=None, filename=None
        )
        message = said("x").model_copy(update={"id": "m\ud83d", "parts": (odd,), "native": {"\ud83d": ("\udc00",)}})
        session = a_session(key="talk \ud83d", principal="ann\0\udc00", configs={"\ud83d": "\udc00"})
        done(store.create_session(session))
        assert done(store.append("s1", [message, said("fine")])).message_ids[0] == "m\ufffd"
        kept = done(store.message("s1", "m\ud83d"))
        assert (kept.text, kept.parts[0].meta, kept.native) == (
            "half \ufffd",
            {"k\ufffd": ["😀"]},
            {"\ufffd": ["\ufffd"]},
        )
        (found,) = done(store.sessions(key="talk \ud83d", principal="ann\ufffd\udc00")).items
        assert (found.key, found.principal, found.configs) == ("talk \ufffd", "ann\ufffd\ufffd", {"\ufffd": "\ufffd"})
        assert done(store.space_by_name("shop \ud83d", create=True)).name == "shop \ufffd"
        assert done(store.space_by_name("shop \udc00")).name == "shop \ufffd"

    def test_a_key_belongs_to_a_user(self, store: Store) -> None:
        for number, principal in enumerate((None, "ann", "bob")):
            done(store.create_session(a_session(f"s{number}", key="1", principal=principal)))
            with pytest.raises(Conflict):
                done(store.create_session(a_session("again", key="1", principal=principal)))
        assert {session.id for session in done(store.sessions(key="1")).items} == {"s0", "s1", "s2"}

    def test_a_very_long_message_is_kept(self, store: Store) -> None:
        done(store.append("s1", [said("long " * 400_000)], ensure=a_session()))
        assert len(texts(store, "s1")[0]) == 2_000_000

    def test_writes_of_one_thread_take_effect_in_order(self, store: Store) -> None:
        done(store.create_session(a_session()))
        pending = [store.append("s1", [said(str(n))]) for n in range(600)]
        assert [done(one).last_seq for one in pending] == list(range(1, 601))
        assert texts(store, "s1") == [str(n) for n in range(600)]

    def test_what_was_written_is_read_at_once(self, store: Store) -> None:
        done(store.create_session(a_session()))
        for n in range(50):
            done(store.append("s1", [said(str(n))]))
            assert texts(store, "s1", limit=1, time_desc=True) == [str(n)]

    def test_a_pending_can_be_awaited(self, store: Store) -> None:
        async def talk_at_once() -> list[int]:
            await store.create_session(a_session())
            appended = await asyncio.gather(*(store.append("s1", [said(str(n))]) for n in range(40)))
            with pytest.raises(NotFound):
                await store.session("nobody")
            return sorted(one.last_seq for one in appended)

        assert asyncio.run(talk_at_once()) == list(range(1, 41))

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, "123456789"),
            ({"limit": 3}, "123"),
            ({"limit": 3, "time_desc": True}, "789"),
            ({"after_seq": 6}, "789"),
            ({"after_seq": 6, "limit": 2}, "78"),
            ({"after_seq": 6, "limit": 2, "time_desc": True}, "89"),
            ({"after_seq": 9}, ""),
            ({"limit": 500}, "123456789"),
        ],
    )
    def test_messages_are_read_oldest_first(self, store: Store, options: dict[str, Any], expected: str) -> None:
        done(store.append("s1", [said(str(n)) for n in range(1, 10)], ensure=a_session()))
        page = done(store.messages("s1", **options))
        assert "".join(message.text for message in page.items) == expected
        assert page.has_more == (len(expected) == options.get("limit"))

    @pytest.mark.parametrize("time_desc", [False, True])
    def test_pages_of_messages_show_each_once(self, store: Store, time_desc: bool) -> None:
        done(store.append("s1", [said(str(n)) for n in range(1, 9)], ensure=a_session()))
        pages: list[str] = []
        cursor: str | None = None
        while True:
            page = done(store.messages("s1", limit=3, cursor=cursor, time_desc=time_desc, after_seq=1))
            pages.append("".join(message.text for message in page.items))
            if not page.has_more:
                break
            cursor = page.next_cursor
        assert pages == (["678", "345", "2"] if time_desc else ["234", "567", "8"])

    def test_a_page_of_messages_has_at_least_one(self, store: Store) -> None:
        done(store.create_session(a_session()))
        with pytest.raises(InvalidInput):
            done(store.messages("s1", limit=0))

    def test_outcomes_keep_their_order_and_their_place(self, store: Store) -> None:
        talk(store, count=2)
        first, second = an_outcome("failed", reason="no \0 table"), an_outcome("success", run_id="r1")
        done(store.append("s1", [said("well")], [first]))
        done(store.append("s1", [], [first, second]))
        kept = done(store.outcomes("s1"))
        assert [(o.id, o.status, o.reason, o.run_id) for o in kept] == [
            (first.id, "failed", "no \0 table", None),
            (second.id, "success", "", "r1"),
        ]
        assert [o.after_seq for o in kept] == [3, 3]
        done(store.append("s1", [said("bye")], [an_outcome("cancelled")]))
        assert [o.status for o in done(store.outcomes("s1", after_seq=4))] == ["cancelled"]
