"""Recorder: from the agent's hands to the disk. Callers only enqueue; one thread redacts, sorts and writes."""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from cachetools import FIFOCache

from acontext_store.backoff import Backoff
from acontext_store.errors import AcontextError, Closed, NotFound, StoreReplaced, StoreUnavailable
from acontext_store.forks import CLIENTS, at_fork, renewed_in_child
from acontext_store.protocols import BlobStore, Pending, Store
from acontext_store.records import session_id_of, valid
from acontext_store.types import (
    NATIVE_ASSET,
    Appended,
    CallFate,
    Json,
    Message,
    Outcome,
    Part,
    Session,
    is_uuid,
)

from ..concurrency.background import cpu_turn
from ..concurrency.limited_log import LimitedLog
from ..service import Recording, SessionRef
from ..settings import DebounceWindow, ObserveSettings, RecorderSettings
from .redaction.redactor import Scrubber, fates_without_secrets
from .session_ids import chosen_session_id, masked_name

log = logging.getLogger("acontext")

_BATCH = 256
_KNOWN_SESSIONS = 10_000
_PREVIEW = 4_096
#: Between tries of what the database refuses for now.
_BACKOFF = Backoff(0.05, 2.0)
#: Characters that are prepared on the caller's own thread.
_SMALL = 4_096


@dataclass(slots=True)
class RecorderStats:
    """Counts since the recorder was made."""

    recorded: int = 0
    dropped: int = 0
    failed: int = 0
    redacted: int = 0
    retries: int = 0


class _Prepared(NamedTuple):
    """A recording as it is written. The session is there where it may have to be made."""

    session: Session | None
    session_id: str
    messages: Sequence[Message]
    outcomes: Sequence[Outcome]
    fates: Sequence[CallFate]


@dataclass(slots=True)
class _QueuedRecording:
    """One recording, and the write that comes of it."""

    ref: SessionRef | str
    messages: Sequence[Message] | Callable[[], Sequence[Message]]
    outcomes: Sequence[Outcome]
    fates: Sequence[CallFate]
    size: int
    waiter: Pending[Appended] | None = None
    #: It is all that the session is to say, not what comes next in it.
    whole: bool = False
    prepared: _Prepared | None = None

    @property
    def session(self) -> str | tuple[str, str | None]:
        return self.ref if isinstance(self.ref, str) else (self.ref.key, self.ref.principal)


@dataclass(slots=True)
class _Group:
    """Recordings of one session that are written together, in order, or not at all."""

    entries: list[_QueuedRecording]
    write: Pending[Appended] | None = None
    #: Behind them, and not to be written with them.
    left: list[_QueuedRecording] = field(default_factory=list)
    #: Whether its session was made again, after somebody had deleted it.
    is_made_again: bool = False

    def takes(self, entry: _QueuedRecording) -> bool:
        """Whether `entry` can be written with these: outcomes stand behind their messages, so they end a group."""
        last = self.entries[-1]
        return not last.outcomes and last.waiter is None and entry.waiter is None

    def leave_calls_told_of(self) -> None:
        """A fate is the newest call's of its id: a call with the id of one that has been told of comes after that."""
        told: set[str] = set()
        for at, entry in enumerate(self.entries):
            if entry.prepared is None:
                continue
            if told and not told.isdisjoint(_call_ids(entry.prepared.messages)):
                self.left = self.entries[at:] + self.left
                del self.entries[at:]
                return
            told.update(fate.call_id for fate in entry.prepared.fates)

    def unprepare(self) -> None:
        for entry in (*self.entries, *self.left):
            entry.prepared = None

    @property
    def is_held_up(self) -> bool:
        """Whether the database cannot be written; that it was deleted or replaced is said by the store."""
        error = None if self.write is None else self.write.exception()
        return isinstance(error, StoreUnavailable) and not isinstance(error, StoreReplaced)

    def fail(self, error: Exception) -> None:
        self.write = Pending()
        self.write.set_exception(error)


def _call_ids(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        for part in message.tool_calls:
            yield str((part.meta or {}).get("id") or "")


def _wave(entries: list[_QueuedRecording]) -> tuple[list[_Group], list[_QueuedRecording]]:
    """At most one group a session, and what has to wait for it."""
    groups: dict[str | tuple[str, str | None], _Group] = {}
    closed: set[str | tuple[str, str | None]] = set()
    rest: list[_QueuedRecording] = []
    for entry in entries:
        group = groups.get(entry.session)
        if group is None:
            groups[entry.session] = _Group([entry])
        elif entry.session not in closed and group.takes(entry):
            group.entries.append(entry)
        else:
            closed.add(entry.session)
            rest.append(entry)
    return list(groups.values()), rest


class Recorder:
    """The one way by which conversations reach the store.

    Order is kept. A repeated message id is kept once. While the database cannot be written, recordings wait in
    memory up to a bound; past the bound they are dropped, counted, and logged once a minute: the agent never waits.
    """

    def __init__(
        self,
        store: Store,
        blobs: BlobStore,
        scrubber: Scrubber,
        *,
        settings: RecorderSettings | None = None,
        observe: DebounceWindow | None = None,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._scrubber = scrubber
        self._settings = settings or RecorderSettings()
        self._observe = observe or ObserveSettings().patience(model=False)
        #: Called on the recorder's thread after each write: wakes who observes in this process.
        self.wake: Callable[[], None] = lambda: None
        self.stats = RecorderStats()
        self._queue: queue.SimpleQueue[_QueuedRecording | threading.Event | None] = queue.SimpleQueue()
        #: Again and again from one thread: a stream that the garbage collector closes in here records, too.
        self._lock = renewed_in_child(self, "_lock", threading.RLock)
        self._pending = 0
        self._pending_bytes = 0
        #: Sessions that are there, by key and principal.
        self._known: FIFOCache[tuple[str, str | None], str] = FIFOCache(_KNOWN_SESSIONS)
        self._spaces: dict[str, str] = {}
        self._log = LimitedLog(log)
        self._hurry = threading.Event()
        self._closing = False
        self._deadline: float | None = None
        at_fork(CLIENTS, after_in_child=self._after_fork)
        self._thread = threading.Thread(target=self._work, name="acontext-recorder", daemon=True)
        self._thread.start()

    def _after_fork(self) -> None:
        self._closing = True  # its thread is the parent's

    # -- callers
    def record(self, recording: Recording) -> None:
        """Enqueue it: microseconds, never blocks, never raises."""
        size = recording.size
        with self._lock:
            full = (
                self._closing
                or self._pending >= self._settings.max_pending
                or (self._pending_bytes + size > self._settings.max_bytes and self._pending > 0)
            )
            if not full:
                self._pending += 1
                self._pending_bytes += size
        if full:
            self.stats.dropped += 1
            self._log.warning(
                "dropped", "acontext: a recording was dropped: %s", "closed" if self._closing else "the queue is full"
            )
            return
        self._queue.put(
            _QueuedRecording(recording.session, recording.messages, recording.outcomes, recording.fates, size)
        )

    def append(
        self,
        session: SessionRef | str,
        messages: Sequence[Message] = (),
        outcomes: Sequence[Outcome] = (),
        fates: Sequence[CallFate] = (),
        *,
        whole: bool = False,
    ) -> Pending[Appended]:
        """The same, and tell when it is durable. `session` = the id of one that exists, or a reference.

        `whole`: an imported conversation, which replaces what was imported under this reference (`Store.replace`).
        The result raises NotFound for an unknown id, StoreUnavailable where the database cannot be written, and
        Conflict for a whole one whose session is another's.
        """
        if self._closing:
            waiter: Pending[Appended] = Pending()
            waiter.set_exception(Closed("this client is closed, or was opened before os.fork(): open one here"))
            return waiter
        size = 0
        for message in messages:
            for part in message.parts:
                size += len(part.text or "") + 512
        if isinstance(session, str) and self._pending == 0 and size <= _SMALL:
            # nothing is ahead of it: two thread switches less than by way of the queue
            entry = _QueuedRecording(session, messages, outcomes, fates, size)
            prepared = self._prepare(entry, None, session)
            self.stats.recorded += len(messages)
            return self._append(prepared)
        waiter = Pending()
        with self._lock:
            self._pending += 1
            self._pending_bytes += size
        self._queue.put(_QueuedRecording(session, messages, outcomes, fates, size, waiter, whole))
        self._hurry.set()
        return waiter

    @property
    def pending(self) -> int:
        """Recordings that are not durable yet."""
        return self._pending

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was enqueued before is durable (or has failed); False when time ran out first."""
        if not self._thread.is_alive():
            return self._pending == 0
        done = threading.Event()
        self._queue.put(done)
        self._hurry.set()
        return done.wait(timeout)

    def close(self) -> None:
        """Write what is enqueued, for at most `close_timeout` seconds, then stop. Safe to call twice."""
        if self._closing:
            return
        self._deadline = time.monotonic() + self._settings.close_timeout
        self._closing = True
        self._queue.put(None)
        self._hurry.set()
        self._thread.join(self._settings.close_timeout + 5)

    # -- the thread
    def _work(self) -> None:
        stop = False
        while not stop:
            entries: list[_QueuedRecording] = []
            events: list[threading.Event] = []
            item = self._queue.get()
            if self._settings.linger and self._queue.qsize() < _BATCH:
                # an agent that has just recorded something is busy: it goes on to its next call, which takes longer
                self._hurry.wait(self._settings.linger)
                self._hurry.clear()
            while True:
                if item is None:
                    stop = True
                elif isinstance(item, threading.Event):
                    events.append(item)
                    break
                else:
                    entries.append(item)
                if stop or len(entries) >= _BATCH:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            try:
                self._write(entries)
            except Exception:
                log.exception("acontext: the recorder failed unexpectedly; %d recordings are lost", len(entries))
                self._forget(entries, Closed("the recorder failed"))
            for event in events:
                event.set()

    def _write(self, entries: list[_QueuedRecording]) -> None:
        """Write them all. Of one session nothing is begun before what came earlier is kept (or has failed)."""
        rest = entries
        while rest:
            wave, rest = _wave(rest)
            self._write_wave(wave)
            rest = [entry for group in wave for entry in group.left] + rest
        if entries:
            self.wake()

    def _write_wave(self, wave: list[_Group]) -> None:
        """What the database refuses for now is tried again until it can be written."""
        tries = 0
        while wave:
            for group in wave:
                self._submit(group)
            wave = [group for group in wave if not self._settled(group)]
            if not wave:
                return
            if self._deadline is not None and time.monotonic() > self._deadline:
                for group in wave:
                    self._forget(group.entries, StoreUnavailable("the database could not be written before closing"))
                return
            self.stats.retries += 1
            if any(group.is_held_up for group in wave):
                self._log.warning(
                    "retry", "acontext: the database cannot be written now; %d recordings wait in memory", self._pending
                )
            time.sleep(_BACKOFF.pause(tries))
            tries += 1

    def _submit(self, group: _Group) -> None:
        for entry in list(group.entries):
            try:
                if entry.prepared is None:
                    found = self._resolve(entry.ref, whole=entry.whole)
                    with cpu_turn():
                        entry.prepared = self._prepare(entry, *found)
            except StoreUnavailable as error:
                group.fail(error)
                return
            except Exception as error:
                group.entries.remove(entry)
                self._forget([entry], error)
        group.leave_calls_told_of()
        prepared = [entry.prepared for entry in group.entries if entry.prepared is not None]
        if not prepared:
            group.write = None
            return
        together = _Prepared(
            next((one.session for one in prepared if one.session is not None), None),
            prepared[0].session_id,
            [message for one in prepared for message in one.messages],
            [outcome for one in prepared for outcome in one.outcomes],
            [fate for one in prepared for fate in one.fates],
        )
        try:
            group.write = self._append(together, whole=group.entries[0].whole)
        except Exception as error:
            group.fail(error)

    def _settled(self, group: _Group) -> bool:
        """Wait for the write. False where it is to be tried again."""
        if group.write is None:
            return True
        error = group.write.exception()
        if error is None:
            appended = group.write.result()
            for entry in group.entries:
                self._done(entry, appended)
            return True
        if isinstance(error, StoreReplaced):
            self._forget_database(group)
        if isinstance(error, StoreUnavailable) and group.entries[0].waiter is None:
            return False
        if isinstance(error, NotFound) and self._forgot(group):
            return False
        if len(group.entries) > 1:  # one of them cannot be taken: not the others' fault
            for entry in group.entries:
                self._write_wave([_Group([entry])])
            return True
        self._forget(group.entries, error)
        return True

    def _forget_database(self, group: _Group) -> None:
        """What is known of it, and what is made ready for it, is not so of the one that is there now."""
        group.is_made_again = False
        self._known.clear()
        self._spaces.clear()
        group.unprepare()

    def _forgot(self, group: _Group) -> bool:
        """A session, or a space, that was known here has been deleted: make it again, once."""
        ref = group.entries[0].ref
        if isinstance(ref, str) or group.is_made_again:
            return False
        group.is_made_again = True
        self._known.pop((ref.key, ref.principal), None)
        self._spaces.clear()
        group.unprepare()
        return True

    def _append(self, entry: _Prepared, *, whole: bool = False) -> Pending[Appended]:
        session, session_id, messages, outcomes, fates = entry
        quiet, max_wait, buffer = self._observe.quiet, self._observe.max_wait, self._observe.buffer
        if whole and session is not None:
            return self._store.replace(
                session, messages, outcomes, fates, quiet=quiet, max_wait=max_wait, buffer=buffer
            )
        return self._store.append(
            session_id, messages, outcomes, fates, ensure=session, quiet=quiet, max_wait=max_wait, buffer=buffer
        )

    def _done(self, entry: _QueuedRecording, appended: Appended) -> None:
        self._count_out(entry)
        self.stats.recorded += len(entry.prepared.messages) if entry.prepared else 0
        if entry.waiter is not None and entry.waiter.set_running_or_notify_cancel():
            entry.waiter.set_result(appended)

    def _forget(self, entries: Iterable[_QueuedRecording], error: BaseException) -> None:
        for entry in entries:
            self._count_out(entry)
            if entry.waiter is not None:
                if entry.waiter.set_running_or_notify_cancel():
                    entry.waiter.set_exception(error)
            else:
                self.stats.failed += 1
                self._log.warning("failed", "acontext: a recording could not be kept: %s", error)

    def _count_out(self, entry: _QueuedRecording) -> None:
        with self._lock:
            self._pending -= 1
            self._pending_bytes -= entry.size

    # -- from a recording to rows
    def _prepare(self, entry: _QueuedRecording, session: Session | None, session_id: str) -> _Prepared:
        messages = entry.messages() if callable(entry.messages) else entry.messages
        messages, outcomes, redacted = self._scrubber.redact(session_id, messages, entry.outcomes)
        self.stats.redacted += redacted
        fates = fates_without_secrets(self._scrubber, session_id, entry.fates)
        return _Prepared(session, session_id, [self._outsource(message) for message in messages], outcomes, fates)

    def _resolve(self, ref: SessionRef | str, *, whole: bool) -> tuple[Session | None, str]:
        """The session's id, and the session itself where it may have to be made, or is to be as it says (`whole`)."""
        if isinstance(ref, str):
            return None, ref
        name = ref.key, ref.principal
        if name in self._known and not whole:
            return None, self._known[name]
        # an imported conversation is one by its id, whoever is said to speak in it
        session_id = session_id_of(self._store.project_id, ref.key) if whole else self._id_of(ref)
        space_id = self._space_id(ref.space) if ref.space else None
        key, principal, agent, configs = self._clean(session_id, ref)
        session = Session(
            id=session_id,
            project_id=self._store.project_id,
            space_id=space_id,
            key=key,
            principal=principal,
            agent=agent,
            disable_task_tracking=not ref.track_tasks,
            configs=configs,
        )
        self._known[name] = session_id
        return session, session_id

    def _id_of(self, ref: SessionRef) -> str:
        if ref.principal is None:
            return session_id_of(self._store.project_id, ref.key)
        return chosen_session_id(
            self._store.project_id, ref.key, ref.principal, lambda session_id: self._store.session(session_id).result()
        )

    def _clean(self, session_id: str, ref: SessionRef) -> tuple[str, str | None, str | None, Json | None]:
        """Key, principal, agent and configs without secrets. A key that was one is told apart by the session's id,
        a principal by its hash."""
        texts = (ref.key, ref.principal, ref.agent)
        parts = tuple(Part(type="text", text=text or "") for text in texts)
        (message,), _, masked = self._scrubber.redact(
            session_id, [Message(role="system", parts=parts, meta=ref.configs or {})], ()
        )
        if not masked:
            return ref.key, ref.principal, ref.agent, ref.configs
        key, principal, agent = (part.text for part in message.parts)
        if key != ref.key:
            key = f"{key} {session_id[:8]}"
        configs = message.meta if ref.configs is not None else None
        principal = ref.principal and masked_name(ref.principal, principal or "")
        return str(key), principal, agent or ref.agent, configs

    def _space_id(self, space: str) -> str:
        if space not in self._spaces:
            found = self._store.space(space) if is_uuid(space) else self._store.space_by_name(space, create=True)
            self._spaces[space] = found.result().id
        return self._spaces[space]

    def _outsource(self, message: Message) -> Message:
        """Move texts that are too long for the database to the blob store; their beginning stays."""
        limit = self._settings.inline_bytes
        changes: dict[str, object] = {}
        # a character is at most 4 bytes: most messages are seen to be short without encoding them
        for part in message.parts:
            if part.text is not None and len(part.text) * 4 > limit:
                changes["parts"] = tuple(self._shorten(part) for part in message.parts)
                break
        if message.native is not None and (changes or _rough_size(message.native) > limit):
            data = json.dumps(valid(message.native)).encode()
            if len(data) > limit:
                changes["native"] = {NATIVE_ASSET: self._blobs.put(data)}
        return message.model_copy(update=changes) if changes else message

    def _shorten(self, part: Part) -> Part:
        if part.text is None or part.asset is not None:
            return part
        data = valid(part.text).encode()
        if len(data) <= self._settings.inline_bytes:
            return part
        return part.model_copy(update={"text": part.text[:_PREVIEW], "asset": self._blobs.put(data)})


M = TypeVar("M", bound=Message)


def is_outsourced(message: Message) -> bool:
    """Whether some of it is in the blob store."""
    for part in message.parts:
        if part.asset is not None and part.text is not None:
            return True
    return message.native is not None and set(message.native) == {NATIVE_ASSET}


def restore(message: M, blobs: BlobStore) -> M:
    """A message with its long texts fetched back from the blob store. Raises NotFound where one is gone."""
    changes: dict[str, object] = {}
    if any(part.asset is not None and part.text is not None for part in message.parts):
        changes["parts"] = tuple(
            part.model_copy(update={"text": blobs.get(part.asset).decode(), "asset": None})
            if part.asset is not None and part.text is not None
            else part
            for part in message.parts
        )
    if message.native is not None and set(message.native) == {NATIVE_ASSET}:
        changes["native"] = json.loads(blobs.get(message.native[NATIVE_ASSET]))
    return message.model_copy(update=changes) if changes else message


def _rough_size(value: object) -> int:
    """Characters in all strings below `value`, without recursion."""
    total, rest = 0, [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, dict):
            rest.extend(item.values())
        elif isinstance(item, list | tuple):
            rest.extend(item)
    return total


__all__ = [
    "AcontextError",
    "Recorder",
    "RecorderStats",
    "Scrubber",
    "is_outsourced",
    "restore",
]
