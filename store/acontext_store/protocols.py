"""The storage interfaces, on one page. A backend implements these and passes the contracts in `testing`.

Every method returns a `Pending`: `await` it in async code, `.result()` it in a thread. The call itself only
queues the work and never blocks, so it is safe on an event loop. Writes made by one thread take effect in the
order of the calls. A write is durable when its Pending has a result; a write whose Pending raised wrote nothing.
A store belongs to one project: nothing of another project can be read, changed or even detected through it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from .embedding import Unembedded, VectorChanges, VectorOps
from .future import Pending as Pending
from .ledger import Cost, CostBy, ModelCall
from .types import (
    ApiKey,
    Appended,
    Artifact,
    ArtifactListing,
    Blob,
    Block,
    BlockType,
    Claim,
    Disk,
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
    Proposal,
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

__all__ = ["BlobStore", "BlobWriter", "KeyStore", "Pending", "ReadSnapshot", "Store"]

T = TypeVar("T")


class ReadSnapshot(Protocol):
    """One moment of a store: what is asked of it comes from one snapshot, at once. See the same names in `Store`."""

    def session(self, session_id: str) -> Session: ...

    def messages(self, session_id: str, *, after_seq: int = 0, limit: int | None = None) -> list[StoredMessage]: ...

    def outcomes(self, session_id: str, *, after_seq: int = 0) -> list[Outcome]: ...

    def tasks(self, session_id: str, *, planning: bool = False) -> list[Task]:
        """All of them; with `planning`, the planning task, too."""

    def tasks_before(self, task: Task, *, limit: int) -> list[Task]:
        """The last `limit` tasks before it in its session, oldest first; the planning task is left out."""

    def task_messages(self, task: Task, *, last: int | None = None) -> list[StoredMessage]:
        """The messages that belong to it, oldest first; the `last` of them."""

    def tasks_of_run(self, session_id: str, run_id: str) -> list[str]:
        """The tasks that messages of this run belong to: their ids."""

    def learned_from(self, task_ids: Iterable[str]) -> set[str]:
        """Those of these tasks that have an episode, in whatever space."""

    def resume_seq(self, session_id: str) -> int: ...

    def observed_seq(self, session_id: str) -> int:
        """The last message that has been observed."""

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

    def vectors(
        self, space_id: str, *, model: str, dimensions: int, after: int = 0, limit: int = 1000
    ) -> VectorChanges:
        """Vectors of that model and size that were written after the stamp `after`, in the order of writing.

        About `limit` rows; all rows of a skill come together. Raises NotFound for the space.
        """

    def embedded_skills(self, space_id: str, *, model: str, dimensions: int) -> set[str]:
        """Ids of the skills that have such vectors."""


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
        filter_by_configs: Json | None = None,
        limit: int = 20,
        cursor: str | None = None,
        time_desc: bool = False,
    ) -> Pending[Page[Session]]:
        """By time of creation. `not_connected` wins over `space_id`. Raises InvalidInput for a bad cursor or limit.

        `filter_by_configs` = those whose configs contain it (see `containment`); {} is no filter. Raises InvalidInput.
        """

    def update_session(
        self, session_id: str, *, configs: Json | None = None, space_id: str | None = None
    ) -> Pending[Session]:
        """Replace what is given. Raises NotFound for either id. Connecting does not learn retroactively."""

    def delete_session(self, session_id: str) -> Pending[None]:
        """With its messages, tasks, outcomes, episodes, due work and own disk. Skills stay; evidence of it goes."""

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
        buffer: int = 0,
    ) -> Pending[Appended]:
        """Keep messages and outcomes in order and make the session's observe work due, or do none of it.

        Ids that are kept already are ignored, so a caller may safely repeat itself. `ensure` creates the session
        where its id is unknown, and gives it its space where it has none; without `ensure` an unknown session raises
        NotFound. The session refers from now on to the blobs that its messages name (`Part.asset`, `native`). The
        observe work is due after
        `quiet` seconds without another append, at the latest `max_wait` seconds after the first, and with `buffer` at
        once when so many messages wait that nobody observes yet; not at all where the session has
        `disable_task_tracking`.
        """

    def replace(
        self,
        session: Session,
        messages: Sequence[Message],
        outcomes: Sequence[Outcome] = (),
        *,
        quiet: float = 0.0,
        max_wait: float = 0.0,
        buffer: int = 0,
    ) -> Pending[Appended]:
        """Have an imported conversation be exactly this, or change nothing where it is: a repeated import is safe.

        Where its messages, the imported outcome, its principal or its space differ, all of it is as if only this had
        ever been imported: it is observed anew, and what was learned from it has to be learned again (the spaces'
        learn work is due `max_wait` seconds from now). Messages that are the same keep what their meta was given.
        Raises Conflict where the session belongs to another space, or has messages of other runs than these.
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

    def apply_tasks(self, claim: Claim, ops: TaskOps, *, learn_after: float = 0.0, buffer: int = 0) -> Pending[None]:
        """One transaction, fenced by the claim: tasks, links, the space's learn work, release of the lane.

        Tasks with a final status in a session that has a space make the space's learn work due `learn_after`
        seconds from now. The lane comes due again at once if messages were left or arrived meanwhile; with `buffer`,
        what only arrived meanwhile waits as its append said, unless it is so many. Raises LeaseLost, and InvalidInput
        for a link to a task or a message that the session does not have.
        """

    def undigested(self, space_id: str, *, limit: int = 1000) -> Pending[list[Task]]:
        """Finished tasks of the space's sessions that no learner has looked at yet, oldest first."""

    def learning_status(self, session_id: str) -> Pending[LearningStatus]:
        """Counts over finished tasks. All 0 for a session without a space. Raises NotFound."""

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

    def proposals(self, space_id: str) -> Pending[list[Proposal]]:
        """What was learned and waits for a person, oldest first. Raises NotFound."""

    def proposed_skills(self, space_id: str) -> Pending[list[Skill]]:
        """All skills, as they would be if all that waits was confirmed: what a learner builds on. Raises NotFound."""

    def confirm(self, space_id: str, proposal_id: str, *, data: Json | None = None) -> Pending[Skill]:
        """Use it from now on, as it is or as a person has changed it (`data` as the props of a skill's block).

        `proposal_id` may be that of its skill, too: whatever waits there now. Skills whose place it takes are
        retired. What a person has changed is theirs from then on. Raises NotFound for what does not wait, InvalidInput.
        """

    def reject(self, space_id: str, proposal_id: str) -> Pending[Skill]:
        """A new skill is retired for good; of a known one, only these words are. Raises NotFound.

        Automation does not bring it back: neither these words there, nor another skill that teaches the same.
        """

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

    def apply_skills(self, claim: Claim, ops: SkillOps, *, confirm: bool = False) -> Pending[int]:
        """One transaction, fenced by the claim: episodes, versions, evidence, search texts, release of the lane.

        An edit whose content and status equal the newest version writes nothing but its search texts and
        evidence where they differ. In a space that asks (`configs["confirm"]`, or `confirm` where that says nothing),
        what would become active waits for a person: a new skill as "pending_confirmation", a new version as a
        proposal beside the active one, and a skill whose place it would take stays active, too. The result is the
        number of versions written. Raises LeaseLost.
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

        Terms are what `acontext_store.tokenizer.words` makes.
        """

    def read_snapshot(self, question: Callable[[ReadSnapshot], T]) -> Pending[T]:
        """What `question` makes of one moment of the store: for reads that build on each other.

        It runs on a thread of the store, so it must be quick and wait for nothing; what it raises, the result raises.
        """

    # -- vectors
    def embed_with(self, model: str, dimensions: int | None = None) -> Pending[bool]:
        """This project's skills are embedded by that model from now on; whether that is news.

        Active skills without vectors of it (of that size, where it is known) are to be done, and their spaces are due
        for `embed` work. Until this is called, and for projects that never do, no embed work comes up at all.
        """

    def embedder(self) -> Pending[tuple[str, int | None] | None]:
        """The model that embeds this project's skills, and the size of its vectors as far as it is known."""

    def unembedded(self, space_id: str, *, limit: int = 64) -> Pending[list[Unembedded]]:
        """Active skills of the space whose vectors are missing or older than their texts."""

    def apply_vectors(self, claim: Claim, ops: VectorOps) -> Pending[None]:
        """One transaction, fenced by the claim: the skills' vectors in place of those they had, release of the lane.

        Skills that changed after they were read stay to be done; those that are not active any more get none. Where
        the vectors have another size than before, all skills with the old size are to be done. Vectors of a model
        that does not embed this project any more are not written. Raises LeaseLost.
        """

    def log_injection(self, injection: Injection) -> Pending[None]: ...

    def injections(self, space_id: str, *, limit: int = 100) -> Pending[list[Injection]]:
        """Newest first."""

    # -- the ledger
    def log_call(self, call: ModelCall) -> Pending[None]:
        """Keep it, once. It stays when its space or its session goes."""

    def calls(self, *, space_id: str | None = None, limit: int = 100) -> Pending[list[ModelCall]]:
        """Newest first; None = those of the whole project."""

    def costs(
        self,
        *,
        by: Collection[CostBy] = (),
        space_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Pending[list[Cost]]:
        """Sums of the calls of that time (from `since` on, before `until`), one for each value of what `by` names.

        In the order of these values. Nothing where there were no calls. Raises InvalidInput for another name.
        """

    # -- disks
    def create_disk(self, disk: Disk) -> Pending[Disk]:
        """Raises Conflict for an id that is taken, NotFound for the session that it shall belong to."""

    def disk(self, disk_id: str) -> Pending[Disk]:
        """Raises NotFound."""

    def disk_of_session(self, session_id: str) -> Pending[Disk]:
        """The session's own disk, made on first use. Safe in a race. Raises NotFound for the session."""

    def disks(self, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False) -> Pending[Page[Disk]]:
        """By time of creation."""

    def delete_disk(self, disk_id: str) -> Pending[None]:
        """With its files."""

    def put_artifact(self, artifact: Artifact, *, if_sha256: str | None = None) -> Pending[Artifact]:
        """Keep it in place of the one with its path and name, whose `created_at` stays. Its blob must be there.

        All or nothing: whoever reads meets the old file or the new one. Raises NotFound for the disk, and Conflict
        where the file's bytes should be those of `if_sha256` and are not.
        """

    def artifact(self, disk_id: str, path: str, filename: str) -> Pending[Artifact]:
        """Raises NotFound for the disk, or the file."""

    def update_artifact(self, disk_id: str, path: str, filename: str, *, meta: Json) -> Pending[Artifact]:
        """Replace its meta."""

    def delete_artifact(self, disk_id: str, path: str, filename: str) -> Pending[None]: ...

    def list_artifacts(self, disk_id: str, path: str = "/") -> Pending[ArtifactListing]:
        """What stands directly in that folder; nothing, where there is no such folder."""

    def artifacts(
        self, disk_id: str, *, under: str = "/", limit: int = 200, cursor: str | None = None
    ) -> Pending[Page[Artifact]]:
        """All files in that folder and below it, by path and name. `limit` is 1 to 1000."""

    # -- what the blobs are kept for
    def unused_blobs(self, *, limit: int = 1000) -> Pending[list[str]]:
        """Hashes of blobs whose last reference has gone: those for which `forget_blobs` has not been called yet."""

    def forget_blobs(self, hashes: Collection[str]) -> Pending[None]:
        """They have been deleted: no longer name them as unused."""

    def used_blobs(self, hashes: Collection[str]) -> Pending[set[str]]:
        """Those of them that a file or a message refers to."""

    # -- work
    def schedule_now(self, kind: LaneKind, key: str, *, at: float | None = None) -> Pending[None]:
        """At the latest at that Unix time (None = now). A dead lane comes alive again."""

    def claim(self, owner: str, *, kinds: Collection[LaneKind], lease: float, limit: int = 1) -> Pending[list[Claim]]:
        """Lease due lanes for `lease` seconds. One lane has one owner at a time, over all processes."""

    def heartbeat(self, claim: Claim, *, lease: float) -> Pending[None]:
        """Keep it for `lease` seconds from now. Raises LeaseLost."""

    def release(
        self,
        claim: Claim,
        *,
        error: str | None = None,
        retry_in: float | None = None,
        dead: bool = False,
        outage: bool = False,
    ) -> Pending[None]:
        """Give it back. With `error`: due again after `retry_in`, or `dead`. Raises LeaseLost.

        An error counts as an attempt, or as an outage where something that the work needs was away.
        """

    def retry(self, *, space_id: str | None = None, session_id: str | None = None) -> Pending[int]:
        """Make due now all that failed or could not be tried, dead or not, as if for the first time.

        Of everything, of what a space learns from and in, or of one session. The number of lanes. Raises NotFound.
        """

    def next_due(self, *, kinds: Collection[LaneKind]) -> Pending[float | None]:
        """The Unix time at which the next lane of these kinds can be claimed; None = there is none."""

    def lanes(
        self,
        *,
        dead: bool | None = None,
        space_id: str | None = None,
        session_id: str | None = None,
        limit: int | None = None,
    ) -> Pending[list[Lane]]:
        """Due work, or (`dead=True`) what has failed for good; of a space and its sessions, or of one session."""

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

    def all(self, *, project_id: str | None = None) -> list[ApiKey]:
        """Oldest first; None = those of all projects."""

    def revoke(self, key_id: str) -> ApiKey:
        """It opens nothing from now on. Raises NotFound."""


class BlobWriter(Protocol):
    """A blob on its way in, piece by piece, in constant memory. Leave its `with` without `commit`, and nothing is kept.

    Raises StoreUnavailable where the bytes cannot be written.
    """

    def __enter__(self) -> BlobWriter: ...

    def __exit__(self, *error: object) -> None: ...

    def write(self, data: bytes) -> None: ...

    def commit(self) -> Blob:
        """Keep what was written, atomically and durably."""


@runtime_checkable
class BlobStore(Protocol):
    """Bytes by their SHA-256 (lower-case hex). Putting the same bytes twice keeps them once.

    A blob stays while something refers to it, and those references are rows of the Store. The bytes come first, then
    the row; when the last row goes, the blob may go. So that this never hits bytes that somebody has just put again and
    not yet referred to, who deletes does as follows: take a moment a good while ago (longer than anybody waits
    between bytes and row), *then* ask the Store what is unused, then `delete(..., untouched_since=moment)`. To put
    bytes makes them new again, and deleting looks at their age and deletes as one step. So a blob that goes was put
    before that moment; whoever put it has its row by now, or has given up.
    """

    def put(self, data: bytes) -> str:
        """Keep them, atomically and durably, and return their hash. Raises StoreUnavailable."""

    def write(self) -> BlobWriter:
        """Keep bytes that are too many for memory."""

    def get(self, sha256: str) -> bytes:
        """Raises NotFound; never returns bytes that do not have that hash."""

    def read(self, sha256: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `end` (None = the last), in pieces. Raises NotFound at once.

        Read whole, bytes that do not have that hash raise StoreUnavailable after the last piece.
        """

    def size(self, sha256: str) -> int:
        """Raises NotFound."""

    def exists(self, sha256: str) -> bool: ...

    def delete(self, sha256: str, *, untouched_since: float | None = None) -> bool:
        """Whether it is gone now: with `untouched_since` (Unix seconds), it stays if it was put after that."""

    def sweep(self, used: Callable[[Sequence[str]], Collection[str]], *, untouched_since: float) -> int:
        """Delete what was put before that moment and `used` does not name, and what unfinished uploads left behind.

        How many blobs went.
        """
