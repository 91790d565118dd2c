"""The storage interfaces, on one page. A backend implements these and passes the contracts in `testing.py`.

Every method returns a `Pending`: `await` it in async code, `.result()` it in a thread. The call itself only
queues the work and never blocks, so it is safe on an event loop. Writes made by one thread take effect in the
order of the calls. A write is durable when its Pending has a result; a write whose Pending raised wrote nothing.
A store belongs to one project: nothing of another project can be read, changed or even detected through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast, runtime_checkable
from weakref import WeakKeyDictionary, ref

from .types import (
    ApiKey,
    Appended,
    Block,
    BlockType,
    Claim,
    Episode,
    Injection,
    Json,
    Lane,
    LaneKind,
    LearningStatus,
    Message,
    ObservingStatus,
    Outcome,
    Page,
    SearchHit,
    Session,
    Skill,
    SkillOps,
    SkillStatus,
    SkillVersion,
    Space,
    StoredMessage,
    StoreStats,
    Task,
    TaskOps,
    ToolName,
)

log = logging.getLogger("acontext")

T = TypeVar("T")


class Pending(Generic[T]):
    """A result that is on its way: `await pending` on an event loop, `pending.result()` in a thread.

    A future for many small writes: made and settled in about 2 us, where `concurrent.futures.Future` (which brings a
    lock and a condition of its own for each) takes 12.
    """

    __slots__ = ("_callbacks", "_error", "_state", "_value")

    def __init__(self) -> None:
        self._state = _WAITING
        self._value: T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Pending[T]], object]] | None = None

    # -- who waits
    def done(self) -> bool:
        """Whether it has a result, has failed, or was cancelled."""
        return self._state >= _DONE

    def running(self) -> bool:
        """Whether work on it has begun and not ended."""
        return self._state == _RUNNING

    def cancelled(self) -> bool:
        return self._state == _CANCELLED

    def result(self, timeout: float | None = None) -> T:
        """Wait for it. Raises what the work raised, TimeoutError after `timeout` seconds, CancelledError."""
        error = self.exception(timeout)
        if error is not None:
            raise error
        return cast(T, self._value)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for it, and tell what it raised; None where it has a result."""
        if self._state < _DONE:
            event = threading.Event()
            self.add_done_callback(lambda _: event.set())
            if not event.wait(timeout):
                raise TimeoutError
        if self._state == _CANCELLED:
            raise CancelledError
        return self._error

    def add_done_callback(self, callback: Callable[[Pending[T]], object]) -> None:
        """Call it when done: on the thread that settles it, or at once where it is done already."""
        with _settling:
            if self._state < _DONE:
                if self._callbacks is None:
                    self._callbacks = [callback]
                else:
                    self._callbacks.append(callback)
                return
        callback(self)

    def cancel(self) -> bool:
        """Take it back, if work on it has not begun."""
        with _settling:
            if self._state != _WAITING:
                return self._state == _CANCELLED
            self._state = _CANCELLED
        self._call()
        return True

    def __await__(self) -> Generator[Any, None, T]:
        if self._state < _DONE:
            loop = asyncio.get_running_loop()
            waiter: asyncio.Future[None] = loop.create_future()
            inbox = _Inbox.of(loop)
            self.add_done_callback(lambda _: inbox.post(waiter))
            try:
                yield from waiter
            except asyncio.CancelledError:
                self.cancel()
                raise
        return self.result()

    # -- who works
    def set_running_or_notify_cancel(self) -> bool:
        """Work begins; False where it was cancelled, so that there is none."""
        with _settling:
            if self._state == _CANCELLED:
                return False
            self._state = _RUNNING
            return True

    def set_result(self, value: T) -> None:
        self._value = value
        self._settle()

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        self._settle()

    def _settle(self) -> None:
        with _settling:
            if self._state >= _DONE:
                raise RuntimeError("this is settled already")
            self._state = _DONE
        self._call()

    def _call(self) -> None:
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            try:
                callback(self)
            except Exception:
                log.exception("a callback of a pending result failed")


_WAITING, _RUNNING, _DONE, _CANCELLED = 0, 1, 2, 3
#: Guards every change of state: held for a few instructions, so one lock serves all.
_settling = threading.Lock()


def _after_fork() -> None:
    global _settling
    _settling = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


class _Inbox:
    """Wakes the waiters of one event loop: one call into the loop for all that are ready, not one each.

    `call_soon_threadsafe` writes to a socket, which is most of what a group commit of many small writes costs.
    """

    _all: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, _Inbox]] = WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = ref(loop)
        self._ready: deque[asyncio.Future[None]] = deque()
        self._called = False

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Inbox:
        inbox = cls._all.get(loop)
        if inbox is None:
            inbox = cls._all[loop] = _Inbox(loop)
        return inbox

    def post(self, waiter: asyncio.Future[None]) -> None:
        """From any thread."""
        self._ready.append(waiter)
        loop = self._loop()
        if not self._called and loop is not None:
            self._called = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._called = False  # before the first is taken: what is posted from here on calls again
        while self._ready:
            waiter = self._ready.popleft()
            if not waiter.done():
                waiter.set_result(None)


class Moment(Protocol):
    """One moment of a store: what is asked of it comes from one snapshot, at once. See the same names in `Store`."""

    def space_by_name(self, name: str) -> Space: ...

    def frequencies(self, space_id: str, terms: Iterable[str]) -> tuple[int, dict[str, int]]: ...

    def search(
        self,
        space_id: str,
        terms: Sequence[str],
        *,
        statuses: Collection[SkillStatus] | None = None,
        limit: int = 50,
    ) -> list[SearchHit]: ...

    def skills_by_id(self, skill_ids: Sequence[str], *, evidence: bool = True) -> list[Skill]: ...


@runtime_checkable
class Store(Protocol):
    """Conversations, tasks, skills and due work of one project."""

    project_id: str

    # -- sessions
    def create_session(self, session: Session) -> Pending[Session]:
        """Keep it. Raises NotFound for an unknown space, Conflict for an id or key that is taken."""

    def session(self, session_id: str) -> Pending[Session]:
        """Raises NotFound."""

    def sessions(
        self,
        *,
        space_id: str | None = None,
        not_connected: bool = False,
        key: str | None = None,
        principal: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
        time_desc: bool = False,
    ) -> Pending[Page[Session]]:
        """By time of creation. `not_connected` wins over `space_id`. Raises InvalidInput for a bad cursor or limit."""

    def update_session(
        self, session_id: str, *, configs: Json | None = None, space_id: str | None = None
    ) -> Pending[Session]:
        """Replace what is given. Raises NotFound for either id. Connecting does not learn retroactively."""

    def delete_session(self, session_id: str) -> Pending[None]:
        """With its messages, tasks, outcomes, episodes and due work. Skills stay; evidence of it goes."""

    # -- messages
    def append(
        self,
        session_id: str,
        messages: Sequence[Message] = (),
        outcomes: Sequence[Outcome] = (),
        *,
        ensure: Session | None = None,
        quiet: float = 0.0,
        max_wait: float = 0.0,
    ) -> Pending[Appended]:
        """Keep messages and outcomes in order and make the session's observe work due, or do none of it.

        Ids that are kept already are ignored, so a caller may safely repeat itself. `ensure` creates the session
        where its id is unknown; without it an unknown session raises NotFound. The observe work is due after
        `quiet` seconds without another append, at the latest `max_wait` seconds after the first; not at all
        where the session has `disable_task_tracking`.
        """

    def messages(
        self,
        session_id: str,
        *,
        after_seq: int = 0,
        limit: int | None = None,
        cursor: str | None = None,
        time_desc: bool = False,
    ) -> Pending[Page[StoredMessage]]:
        """Oldest first, always. `time_desc` takes the newest `limit` of them; its cursor goes on to older ones."""

    def message(self, session_id: str, message_id: str) -> Pending[StoredMessage]:
        """Raises NotFound for either id."""

    def update_message(self, session_id: str, message_id: str, *, meta: Json) -> Pending[StoredMessage]:
        """Change its meta: given names replace what is there, names given as None are removed. Raises NotFound."""

    def observing_status(self, session_id: str) -> Pending[ObservingStatus]:
        """How many messages have been observed, are being observed now, or wait. Raises NotFound."""

    def outcomes(self, session_id: str, *, after_seq: int = 0) -> Pending[list[Outcome]]:
        """What has been said about the session's runs, in order of arrival (`after_seq` >= the one given)."""

    # -- tasks
    def tasks(
        self, session_id: str, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False
    ) -> Pending[Page[Task]]:
        """By order in the session; the planning task is left out. Raises NotFound."""

    def task(self, task_id: str) -> Pending[Task]:
        """Raises NotFound."""

    def resume_seq(self, session_id: str) -> Pending[int]:
        """Where the next observation of this session starts reading."""

    def apply_tasks(self, claim: Claim, ops: TaskOps, *, learn_after: float = 0.0) -> Pending[None]:
        """One transaction, fenced by the claim: tasks, links, the space's learn work, release of the lane.

        Tasks with a final status in a session that has a space make the space's learn work due `learn_after`
        seconds from now. The lane comes due again at once if messages arrived meanwhile. Raises LeaseLost.
        """

    def undigested(self, space_id: str, *, limit: int = 1000) -> Pending[list[Task]]:
        """Finished tasks of the space's sessions that no learner has looked at yet, oldest first."""

    def learning_status(self, session_id: str) -> Pending[LearningStatus]:
        """Counts over finished tasks. Both 0 for a session without a space. Raises NotFound."""

    # -- spaces and blocks
    def create_space(self, space: Space) -> Pending[Space]:
        """Raises Conflict for an id or name that is taken."""

    def space(self, space_id: str) -> Pending[Space]:
        """Raises NotFound."""

    def space_by_name(self, name: str, *, create: bool = False) -> Pending[Space]:
        """The space of that name; made if there is none and `create` is set, else NotFound. Safe in a race."""

    def spaces(
        self, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False
    ) -> Pending[Page[Space]]: ...

    def update_space(self, space_id: str, *, configs: Json) -> Pending[Space]: ...

    def delete_space(self, space_id: str) -> Pending[None]:
        """With its blocks, skills, episodes, search texts and due work. Its sessions stay, unconnected."""

    def blocks(
        self, space_id: str, *, parent_id: str | None = None, type: BlockType | None = None, tree: bool = False
    ) -> Pending[list[Block]]:
        """Children of `parent_id` (None = the root), by type, then sort. `tree` fills `children` all the way down.

        A skill's block has `props` {use_when, preferences, tool_sops, ...} of its newest version.
        """

    def block(self, space_id: str, block_id: str) -> Pending[Block]: ...

    def create_block(self, block: Block) -> Pending[Block]:
        """At the end of its siblings. Root: folder, page. Folder: folder, page. Page: text, sop. Else InvalidInput.

        A block of type sop makes an active skill of origin "human" (its title is its `use_when`).
        """

    def update_block(
        self, space_id: str, block_id: str, *, title: str | None = None, props: Json | None = None
    ) -> Pending[Block]:
        """For a skill: a new version of origin "human", so automation leaves it alone from now on."""

    def move_block(
        self, space_id: str, block_id: str, *, parent_id: str | None = None, sort: int | None = None
    ) -> Pending[Block]:
        """Under `parent_id` (None = root), at place `sort` (clamped; None = the end). Never under itself."""

    def sort_block(self, space_id: str, block_id: str, sort: int) -> Pending[Block]:
        """Reorder among its siblings; they are renumbered 0, 1, 2 ..."""

    def delete_block(self, space_id: str, block_id: str) -> Pending[None]:
        """With all below it; siblings close the gap."""

    # -- skills
    def skills(self, space_id: str, *, statuses: Collection[SkillStatus] | None = None) -> Pending[list[Skill]]:
        """At their newest version, oldest first. None = all. Raises NotFound for an unknown space."""

    def skill(self, skill_id: str) -> Pending[Skill]: ...

    def skills_by_id(self, skill_ids: Sequence[str], *, evidence: bool = True) -> Pending[list[Skill]]:
        """In the order asked for; unknown ids are left out. Without `evidence` that field stays empty: quicker."""

    def skill_versions(self, skill_id: str) -> Pending[list[SkillVersion]]:
        """Oldest first; none is ever changed or removed while the skill exists."""

    def set_skill_status(self, skill_id: str, status: SkillStatus, *, reason: str = "") -> Pending[Skill]:
        """A person's decision: a new version with the same content."""

    def tool_names(self) -> Pending[list[ToolName]]:
        """Tools that the active skills of all spaces call, by name."""

    def rename_tools(
        self, names: Mapping[str, str], *, episode: Callable[[Json], Json], text: Callable[[str], str]
    ) -> Pending[int]:
        """Old name -> new name, in every skill and in what lessons left; the number of skills changed.

        `episode` renames in the body of an episode, `text` in a search text. A renamed skill has a new version, but
        stays whose it was.
        """

    def episodes(self, space_id: str) -> Pending[list[Episode]]:
        """All of the space, oldest first."""

    def apply_skills(self, claim: Claim, ops: SkillOps) -> Pending[int]:
        """One transaction, fenced by the claim: episodes, versions, evidence, search texts, release of the lane.

        An edit whose content and status equal the newest version writes nothing but its search texts and
        evidence where they differ. The result is the number of versions written. Raises LeaseLost.
        """

    def frequencies(self, space_id: str, terms: Iterable[str]) -> Pending[tuple[int, dict[str, int]]]:
        """How many search texts the space has, and in how many of them each term occurs."""

    def search(
        self,
        space_id: str,
        terms: Sequence[str],
        *,
        statuses: Collection[SkillStatus] | None = None,
        limit: int = 50,
    ) -> Pending[list[SearchHit]]:
        """Texts with any of the terms, best BM25 first; of skills with these statuses (None = active ones).

        Terms are what `acontext_store.words.words` makes.
        """

    def together(self, question: Callable[[Moment], T]) -> Pending[T]:
        """What `question` makes of one moment of the store: for reads that build on each other.

        It runs on a thread of the store, so it must be quick and wait for nothing; what it raises, the result raises.
        """

    def log_injection(self, injection: Injection) -> Pending[None]: ...

    def injections(self, space_id: str, *, limit: int = 100) -> Pending[list[Injection]]:
        """Newest first."""

    # -- work
    def make_due(self, kind: LaneKind, key: str, *, at: float | None = None) -> Pending[None]:
        """At the latest at that Unix time (None = now). A dead lane comes alive again."""

    def claim(self, owner: str, *, kinds: Collection[LaneKind], lease: float, limit: int = 1) -> Pending[list[Claim]]:
        """Lease due lanes for `lease` seconds. One lane has one owner at a time, over all processes."""

    def heartbeat(self, claim: Claim, *, lease: float) -> Pending[None]:
        """Keep it for `lease` seconds from now. Raises LeaseLost."""

    def release(
        self, claim: Claim, *, error: str | None = None, retry_in: float | None = None, dead: bool = False
    ) -> Pending[None]:
        """Give it back. With `error`: attempts + 1 and due again after `retry_in`, or `dead`. Raises LeaseLost."""

    def next_due(self, *, kinds: Collection[LaneKind]) -> Pending[float | None]:
        """The Unix time at which the next lane of these kinds can be claimed; None = there is none."""

    def lanes(self, *, dead: bool | None = None) -> Pending[list[Lane]]:
        """Due work, or (`dead=True`) what has failed for good."""

    def stats(self) -> Pending[StoreStats]: ...

    def flush(self) -> Pending[None]:
        """Done when all that was queued before it is durable, or has failed."""

    def close(self) -> None:
        """Finish what is queued, then let go of files. Later calls raise Closed. Safe to call twice."""


@runtime_checkable
class KeyStore(Protocol):
    """API keys of all projects. Only hashes are kept. Calls block for a moment: make them in a thread."""

    def add(self, key: ApiKey) -> ApiKey: ...

    def find(self, hash: str) -> ApiKey | None:
        """The key with that hash, revoked or not."""

    def keys(self, *, project_id: str | None = None) -> list[ApiKey]:
        """Oldest first; None = those of all projects."""

    def revoke(self, key_id: str) -> ApiKey:
        """It opens nothing from now on. Raises NotFound."""


@runtime_checkable
class BlobStore(Protocol):
    """Bytes by their SHA-256 (lower-case hex). Putting the same bytes twice keeps them once."""

    def put(self, data: bytes) -> str:
        """Keep them, atomically and durably, and return their hash. Raises StoreUnavailable."""

    def get(self, sha256: str) -> bytes:
        """Raises NotFound; never returns bytes that do not have that hash."""

    def exists(self, sha256: str) -> bool: ...

    def delete(self, sha256: str) -> None:
        """Nothing happens where it is unknown."""
