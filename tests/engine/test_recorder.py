"""The recorder: callers only enqueue, order is kept, nothing is stored twice, memory is bounded."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.errors import Closed, NotFound, StoreUnavailable
from acontext_plugins.service import Recording, SessionRef
from acontext_plugins.settings import RecorderSettings
from acontext_store.protocols import Pending, Store
from acontext_store.types import Appended, CallFate, Message, Outcome, Part, StoredMessage, new_id, stable_id

from ..examples import examples
from .conftest import OpenEngine


def said(text: str, *, id: str | None = None) -> Message:
    return Message(id=id or new_id(), role="user", parts=(Part(type="text", text=text),))


def stored(embedded: EmbeddedEngine, key: str) -> list[StoredMessage]:
    session_id = stable_id(embedded.engine.store.project_id, "session", key)
    return embedded.engine.store.messages(session_id).result().items


def test_what_is_recorded_is_there_after_a_flush_in_order(embedded: EmbeddedEngine) -> None:
    for number in range(500):
        embedded.engine.record(Recording(SessionRef("s"), [said(str(number))]))
    assert embedded.engine.recorder.flush(10)
    assert [message.text for message in stored(embedded, "s")] == [str(number) for number in range(500)]
    assert [message.seq for message in stored(embedded, "s")] == list(range(1, 501))


def test_a_message_id_is_kept_once_however_often_it_is_recorded(embedded: EmbeddedEngine) -> None:
    turn = said("book a table for two", id="turn-1")
    for _ in range(3):
        embedded.engine.record(Recording(SessionRef("s"), [turn]))
    embedded.engine.recorder.flush()
    assert [message.id for message in stored(embedded, "s")] == ["turn-1"]


def test_all_of_a_run_is_one_write_and_each_fate_is_that_of_the_call_it_was_told_of(
    embedded: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(id: str, name: str) -> Message:
        part = Part(type="tool-call", meta={"id": id, "name": name, "arguments": "{}"})
        return Message(role="assistant", parts=(part,), fates_told=True)

    store, written = embedded.engine.store, list[int]()
    append = store.append

    def note(session_id: str, messages: Sequence[Message] = (), *given: Any, **named: Any) -> Any:
        written.append(len(messages))
        return append(session_id, messages, *given, **named)

    monkeypatch.setattr(store, "append", note)
    record, ref = embedded.engine.record, SessionRef("s")
    record(Recording(ref, [said("go on")]))
    record(Recording(ref, [call("call_1", "find")]))
    record(Recording(ref, fates=(CallFate(call_id="call_1", status="executed"),)))
    record(Recording(ref, [call("call_2", "pay")]))
    record(Recording(ref, fates=(CallFate(call_id="call_2", status="refused"),)))
    record(Recording(ref, [call("call_1", "find again")]))  # the host gives ids out anew
    record(Recording(ref, fates=(CallFate(call_id="call_1", status="failed"),)))
    record(Recording(ref, [said("and on")], outcomes=(Outcome(status="success", source="framework"),)))
    assert embedded.engine.recorder.flush(10)
    assert written == [3, 2]
    told = {name: fate.status for m in stored(embedded, "s") for name, fate in zip(_names(m), m.fates, strict=True)}
    assert told == {"find": "executed", "pay": "refused", "find again": "failed"}


def _names(message: StoredMessage) -> list[str]:
    return [str((part.meta or {})["name"]) for part in message.tool_calls]


def test_what_the_garbage_collector_closes_in_the_middle_of_a_recording_is_recorded_too(
    embedded: EmbeddedEngine,
) -> None:
    class Interrupting(int):
        """A size, the counting of which is when a stream happens to be collected."""

        def __radd__(self, other: int) -> int:
            if not done:
                done.append(True)
                embedded.engine.record(Recording(SessionRef("s"), [said("of the stream")]))
            return int(other) + int(self)

    done: list[bool] = []
    embedded.engine.record(Recording(SessionRef("s"), [said("of the host")], size=Interrupting(1)))
    assert done
    assert embedded.engine.recorder.flush(10)
    assert sorted(message.text for message in stored(embedded, "s")) == ["of the host", "of the stream"]


def test_many_threads_record_into_one_session_and_each_keeps_its_order(embedded: EmbeddedEngine) -> None:
    def record(name: str) -> None:
        for number in range(100):
            embedded.engine.record(Recording(SessionRef("s"), [said(f"{name} {number}")]))

    threads = [threading.Thread(target=record, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    embedded.engine.recorder.flush()
    texts = [message.text for message in stored(embedded, "s")]
    assert len(texts) == 400
    for name in "abcd":
        assert [text for text in texts if text.startswith(name)] == [f"{name} {number}" for number in range(100)]


def test_messages_may_be_made_on_the_recorders_thread(embedded: EmbeddedEngine) -> None:
    makers: list[str] = []

    def make() -> list[Message]:
        makers.append(threading.current_thread().name)
        return [said("made later")]

    embedded.engine.record(Recording(SessionRef("s"), make))
    embedded.engine.recorder.flush()
    assert makers == ["acontext-recorder"]
    assert [message.text for message in stored(embedded, "s")] == ["made later"]


def test_a_maker_that_raises_loses_only_its_own_recording(
    embedded: EmbeddedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    def make() -> list[Message]:
        raise ValueError("no such field")

    with caplog.at_level(logging.WARNING, "acontext"):
        embedded.engine.record(Recording(SessionRef("s"), make))
        embedded.engine.record(Recording(SessionRef("s"), [said("fine")]))
        embedded.engine.recorder.flush()
    assert [message.text for message in stored(embedded, "s")] == ["fine"]
    assert embedded.engine.recorder.stats.failed == 1
    assert "no such field" in caplog.text


def test_past_its_bound_it_drops_counts_and_logs_and_never_blocks(
    open_engine: OpenEngine, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    embedded = open_engine(recorder=RecorderSettings(max_pending=10))
    embedded.engine.record(Recording(SessionRef("s"), [said("first")]))
    embedded.engine.recorder.flush()
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with caplog.at_level(logging.WARNING, "acontext"):
        for number in range(50):
            embedded.engine.record(Recording(SessionRef("s"), [said(str(number))]))
    other.execute("ROLLBACK")
    other.close()
    assert embedded.engine.recorder.flush(30)
    assert embedded.engine.recorder.stats.dropped == 40
    assert "dropped" in caplog.text
    assert [message.text for message in stored(embedded, "s")] == ["first", *[str(number) for number in range(10)]]


def test_what_is_recorded_while_the_database_is_locked_is_kept_when_it_is_free(
    embedded: EmbeddedEngine, database: Path
) -> None:
    embedded.engine.record(Recording(SessionRef("s"), [said("before")]))
    embedded.engine.recorder.flush()
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(20):
        embedded.engine.record(Recording(SessionRef("s"), [said(str(number))]))
    assert not embedded.engine.recorder.flush(0.2)
    assert embedded.engine.recorder.pending > 0
    other.execute("ROLLBACK")
    other.close()
    assert embedded.engine.recorder.flush(30)
    assert [message.text for message in stored(embedded, "s")] == ["before", *[str(number) for number in range(20)]]
    assert embedded.engine.recorder.pending == 0


def test_secrets_are_scrubbed_before_the_disk(embedded: EmbeddedEngine, database: Path) -> None:
    secret = "gh" + "p_" + "a1B2c3D4" * 4 + "e5F6"
    embedded.engine.record(Recording(SessionRef("s"), [said(f"use {secret} for the push")]))
    embedded.engine.record(
        Recording(SessionRef("s"), outcomes=[Outcome(status="failed", source="framework", reason=f"denied: {secret}")])
    )
    embedded.engine.recorder.flush()
    embedded.close()
    for file in database.parent.iterdir():
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file
    assert b"for the push" in database.read_bytes()


def test_long_texts_go_to_the_blob_store_and_come_back_whole(embedded: EmbeddedEngine) -> None:
    text = "result line\n" * 400_000
    result = Message(role="tool", parts=(Part(type="tool-result", text=text, meta={"tool_call_id": "c1"}),))
    embedded.engine.record(Recording(SessionRef("s"), [result]))
    embedded.engine.recorder.flush()
    (row,) = stored(embedded, "s")
    assert row.parts[0].asset is not None
    assert len(row.parts[0].text or "") < 10_000
    page = embedded.loop.run(embedded.engine.messages(row.session_id))
    assert page.items[0].parts[0].text == text


def test_appending_to_an_unknown_session_raises_not_found(embedded: EmbeddedEngine) -> None:
    with pytest.raises(NotFound, match=r"session"):
        embedded.engine.recorder.append(new_id(), [said("hello")]).result(10)


def test_a_session_that_was_deleted_is_made_again_by_the_next_recording(embedded: EmbeddedEngine) -> None:
    embedded.engine.record(Recording(SessionRef("s", space="support"), [said("one")]))
    embedded.engine.recorder.flush()
    embedded.engine.store.delete_session(stored(embedded, "s")[0].session_id).result()
    embedded.engine.record(Recording(SessionRef("s", space="support"), [said("two")]))
    embedded.engine.recorder.flush()
    assert [message.text for message in stored(embedded, "s")] == ["two"]


def test_a_session_without_a_space_joins_the_space_of_its_first_recording(embedded: EmbeddedEngine) -> None:
    session = embedded.loop.run(embedded.engine.create_session())
    embedded.engine.record(Recording(SessionRef(session.id, space="support"), [said("one")]))
    embedded.engine.recorder.flush()
    space = embedded.engine.store.space_by_name("support").result()
    assert embedded.engine.store.session(session.id).result().space_id == space.id


def test_after_closing_it_refuses_and_says_so(embedded: EmbeddedEngine) -> None:
    embedded.engine.recorder.close()
    embedded.engine.record(Recording(SessionRef("s"), [said("too late")]))
    assert embedded.engine.recorder.stats.dropped == 1
    with pytest.raises(Closed):
        embedded.engine.recorder.append("s", [said("too late")]).result(1)


def test_closing_writes_what_is_enqueued(open_engine: OpenEngine) -> None:
    embedded = open_engine()
    for number in range(300):
        embedded.engine.record(Recording(SessionRef("s"), [said(str(number))]))
    embedded.close()
    assert len(stored(open_engine(), "s")) == 300


def test_a_forked_child_neither_hangs_nor_writes_through_its_parents_recorder(embedded: EmbeddedEngine) -> None:
    embedded.engine.record(Recording(SessionRef("s"), [said("parent")]))
    embedded.engine.recorder.flush()
    pid = os.fork()
    if pid == 0:
        try:
            embedded.engine.record(Recording(SessionRef("s"), [said("child")]))
            refused = embedded.engine.recorder.append("s", [said("child")]).exception(1)
            os._exit(0 if isinstance(refused, Closed) else 3)
        except BaseException:
            os._exit(4)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert [message.text for message in stored(embedded, "s")] == ["parent"]


class Refusing:
    """A store whose first appends of a kind fail, as a database does that is locked for too long."""

    def __init__(self, store: Store, failures: int) -> None:
        self._store = store
        self.failures = failures
        self.project_id = store.project_id

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def append(self, *arguments: object, **options: object) -> Pending[Appended]:
        if self.failures > 0:
            self.failures -= 1
            refused: Pending[Appended] = Pending()
            refused.set_exception(StoreUnavailable("database is locked"))
            return refused
        return self._store.append(*arguments, **options)  # type: ignore[arg-type]


@given(
    sessions=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=60),
    failures=st.integers(0, 6),
)
@examples(20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_is_kept_whichever_appends_are_refused_for_a_while(
    embedded: EmbeddedEngine, sessions: list[tuple[str, bool]], failures: int
) -> None:
    recorder = embedded.engine.recorder
    store = embedded.engine.store
    prefix = new_id()
    recorder._store = Refusing(store, failures)  # type: ignore[assignment]
    try:
        for number, (name, ends) in enumerate(sessions):
            outcomes = [Outcome(status="success", source="framework", run_id=str(number))] if ends else []
            recorder.record(Recording(SessionRef(f"{prefix}-{name}"), [said(str(number))], outcomes))
        assert recorder.flush(30)
    finally:
        recorder._store = store
    for name in {name for name, _ in sessions}:
        expected = [str(number) for number, (other, _) in enumerate(sessions) if other == name]
        assert [message.text for message in stored(embedded, f"{prefix}-{name}")] == expected
        session_id = stable_id(store.project_id, "session", f"{prefix}-{name}")
        for outcome in store.outcomes(session_id).result():
            assert expected[outcome.after_seq - 1] == outcome.run_id
