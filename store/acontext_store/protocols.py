"""The storage interfaces (those of blobs: `blob_protocols`). A backend implements them and passes `testing`.

Every method returns a `Pending`: `await` it in async code, `.result()` it in a thread. The call itself only
queues the work and never blocks, so it is safe on an event loop. Writes made by one thread take effect in the
order of the calls. A write is durable when its Pending has a result; a write whose Pending raised wrote nothing.
A store belongs to one project: nothing of another project can be read, changed or even detected through it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from .blob_protocols import BlobStore, BlobWriter
from .embedding import Unembedded, VectorChanges, VectorOps
from .future import Pending as Pending
from .injections import Injection, InjectionStore
from .ledger import Cost, CostBy, ModelCall
from .source_protocols import SourceStore
from .types import (
    ApiKey,
    Appended,
    Artifact,
    ArtifactListing,
    Block,
    BlockType,
    CallFate,
    Claim,
    Disk,
    Episode,
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

__all__ = ["BlobStore", "BlobWriter", "InjectionStore", "KeyStore", "Pending", "ReadSnapshot", "SourceStore", "Store"]

T = TypeVar("T")


class ReadSnapshot(Protocol):
    """Reads of one consistent state of the store, answered at once. `Store` has methods of the same names.

    `limit` is the most items that a method returns, `after_seq` the number of a message in its session (from 1).
    """

    def session(self, session_id: str) -> Session:
        """The session of that id. Raises NotFound."""

    def messages(self, session_id: str, *, after_seq: int = 0, limit: int | None = None) -> list[StoredMessage]:
        """The session's messages behind number `after_seq`, oldest first; `limit` None = all. Raises NotFound."""

    def outcomes(self, session_id: str, *, after_seq: int = 0) -> list[Outcome]:
        """The outcomes that were said at message number `after_seq` or later, in order of arrival."""

    def tasks(self, session_id: str, *, planning: bool = False) -> list[Task]:
        """All tasks of the session; with `planning`, the planning task, too."""

    def tasks_before(self, task: Task, *, limit: int) -> list[Task]:
        """The last `limit` tasks before it in its session, oldest first; the planning task is left out."""

    def task_messages(self, task: Task, *, last: int | None = None) -> list[StoredMessage]:
        """The messages that belong to the task, oldest first; with `last`, only so many messages from the end."""

    def tasks_of_run(self, session_id: str, run_id: str) -> list[str]:
        """Ids of the tasks to which messages of this run belong."""

    def learned_from(self, task_ids: Iterable[str]) -> set[str]:
        """Ids of those of these tasks that have an episode, or whose session waits to be observed anew."""

    def resume_seq(self, session_id: str) -> int:
        """The number of the message at which the next observation of this session starts. Raises NotFound."""

    def observed_seq(self, session_id: str) -> int:
        """The number of the last message that has been observed; 0 where none has."""

    def space_by_name(self, name: str) -> Space:
        """The space of that name. Raises NotFound."""

    def frequencies(self, space_id: str, terms: Iterable[str]) -> tuple[int, dict[str, int]]:
        """How many search texts the space has, and in how many of them each term occurs."""

    def search(
        self,
        space_id: str,
        terms: Sequence[str],
        *,
        statuses: Collection[SkillStatus] | None = None,
        limit: int = 50,
    ) -> list[SearchHit]:
        """Search texts with any of the terms, best BM25 first; of skills with these statuses (None = active ones)."""

    def skills_by_id(self, skill_ids: Sequence[str], *, evidence: bool = True) -> list[Skill]:
        """The skills in the order asked for, unknown ids left out. Without `evidence` that field stays empty."""

    def placements(self, space_id: str, session_id: str, anchors: Collection[str] | None = None) -> list[Injection]:
        """Injections of the session that placed skills of the space at these anchors (None = any), oldest first."""

    def vectors(
        self, space_id: str, *, model: str, dimensions: int, after: int = 0, limit: int = 1000
    ) -> VectorChanges:
        """Vectors of `model` with `dimensions` numbers each (the items of a vector), in the order of writing.

        `after` is the position up to which the caller has read: the `stamp` of its last `VectorChanges`. About `limit`
        rows are returned; all rows of a skill come together. Raises NotFound for the space.
        """

    def embedded_skills(self, space_id: str, *, model: str, dimensions: int) -> set[str]:
        """Ids of the skills that have vectors of `model`, with `dimensions` items each."""


@runtime_checkable
class Store(InjectionStore, SourceStore, Protocol):
    """Conversations, tasks, skills and due work of one project.

    A `Page` holds `limit` items at most (1 to 200, messages any number); `cursor` is the `next_cursor` of the page
    before, and `time_desc` gives the newest first. A limit below 1 or above that, or a cursor that no page has given,
    raises InvalidInput. A message's `seq` is its number in its session, from 1. `quiet`, `max_wait`, `learn_after`,
    `lease` and `retry_in` are seconds; `buffer` is a number of messages; `sort` is a position among siblings, from 0.
    """

    project_id: str

    # -- sessions
    def create_session(self, session: Session) -> Pending[Session]:
        """Keep a new session. Raises NotFound for a space, Conflict for an id or a principal's key that is taken."""

    def session(self, session_id: str) -> Pending[Session]:
        """The session of that id. Raises NotFound."""

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
        """Sessions by time of creation. `not_connected` wins over `space_id`.

        `filter_by_configs` selects sessions whose configs contain it (see `containment`); {} is no filter.
        Raises InvalidInput.
        """

    def update_session(
        self, session_id: str, *, configs: Json | None = None, space_id: str | None = None
    ) -> Pending[Session]:
        """Replace the configs, the space, or both. Raises NotFound for either id.

        A space learns from what the session does after it was connected, and not from what it did before.
        """

    def delete_session(self, session_id: str) -> Pending[None]:
        """Delete the session with its messages, tasks, outcomes, episodes, due work and own disk. Raises NotFound.

        Skills that were learned from it stay; the evidence that names it goes.
        """

    # -- messages
    def append(
        self,
        session_id: str,
        messages: Sequence[Message] = (),
        outcomes: Sequence[Outcome] = (),
        fates: Sequence[CallFate] = (),
        *,
        ensure: Session | None = None,
        quiet: float = 0.0,
        max_wait: float = 0.0,
        buffer: int = 0,
    ) -> Pending[Appended]:
        """Keep messages, outcomes and fates in order and make the session's observe work due, or do none of it.
        A fate is kept beside the newest message that holds a call of its `call_id`, in place of what was told of that
        call before; where no message holds one, it waits for the next that does (and has `fates_told`).
        Ids that are kept already are ignored, so a caller may safely repeat itself. `ensure` creates the session
        where its id is unknown, and gives it its space where it has none; without `ensure` an unknown session raises
        NotFound. The session refers from now on to the blobs that its messages name (`Part.asset`, `native`).

        The observe work is due after `quiet` seconds without another append, at the latest `max_wait` seconds after
        the first. With a `buffer`, it is due at once when that number of messages waits and no worker observes them;
        in a session with `disable_task_tracking` it is never due.
        """

    def replace(
        self,
        session: Session,
        messages: Sequence[Message],
        outcomes: Sequence[Outcome] = (),
        fates: Sequence[CallFate] = (),
        *,
        quiet: float = 0.0,
        max_wait: float = 0.0,
        buffer: int = 0,
    ) -> Pending[Appended]:
        """Replace an imported conversation by this one; where both are equal, change nothing. Safe to repeat.

        Where its messages, the imported outcome, its principal or its space differ, the session is left as if only
        this conversation had ever been imported: it is observed anew (`quiet`, `max_wait` and `buffer` as in
        `append`), and what was learned from it has to be learned again (the learn work of the spaces is due `max_wait`
        seconds from now). Messages that are the same keep the meta that they were given.
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
        """Messages behind number `after_seq`, always oldest first. Raises NotFound.

        `limit` None = all messages. `time_desc` takes the newest `limit` messages; its cursor goes on to older ones.
        """

    def message(self, session_id: str, message_id: str) -> Pending[StoredMessage]:
        """The message of that id, if it is one of the session. Raises NotFound for either id."""

    def update_message(self, session_id: str, message_id: str, *, meta: Json) -> Pending[StoredMessage]:
        """Change the meta of a message: given names replace what is there, names given as None are removed.

        Raises NotFound for either id.
        """

    def observing_status(self, session_id: str) -> Pending[ObservingStatus]:
        """How many messages have been observed, are being observed now, or wait. Raises NotFound."""

    def outcomes(self, session_id: str, *, after_seq: int = 0) -> Pending[list[Outcome]]:
        """What was said about the session's runs at message number `after_seq` or later, in order of arrival."""

    # -- tasks
    def tasks(
        self, session_id: str, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False
    ) -> Pending[Page[Task]]:
        """Tasks by their order in the session; the planning task is left out. Raises NotFound."""

    def task(self, task_id: str) -> Pending[Task]:
        """The task of that id. Raises NotFound."""

    def resume_seq(self, session_id: str) -> Pending[int]:
        """The number of the message at which the next observation of this session starts. Raises NotFound."""

    def apply_tasks(self, claim: Claim, ops: TaskOps, *, learn_after: float = 0.0, buffer: int = 0) -> Pending[None]:
        """One transaction, fenced by the claim: tasks, links, the space's learn work, release of the lane.

        Tasks with a final status in a session that has a space make the space's learn work due `learn_after`
        seconds from now. The lane comes due again at once if messages were left or arrived meanwhile. With a `buffer`,
        messages that only arrived meanwhile wait as their append said, unless they reach that number of messages.
        Raises LeaseLost, and InvalidInput for a link to a task or a message that the session does not have.
        """

    def undigested(self, space_id: str, *, limit: int = 1000) -> Pending[list[Task]]:
        """Finished tasks of the space's sessions that no learner has looked at yet, oldest first."""

    def learning_status(self, session_id: str) -> Pending[LearningStatus]:
        """How many finished tasks of the session were learned from, and how many wait; 0 without a space.

        Raises NotFound.
        """

    # -- spaces and blocks
    def create_space(self, space: Space) -> Pending[Space]:
        """Keep a new space. Raises Conflict for an id or name that is taken."""

    def space(self, space_id: str) -> Pending[Space]:
        """The space of that id. Raises NotFound."""

    def space_by_name(self, name: str, *, create: bool = False) -> Pending[Space]:
        """The space of that name; made if there is none and `create` is set, else NotFound. Safe in a race."""

    def spaces(self, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False) -> Pending[Page[Space]]:
        """Spaces by time of creation."""

    def update_space(self, space_id: str, *, configs: Json) -> Pending[Space]:
        """Replace the configs of the space. Raises NotFound."""

    def delete_space(self, space_id: str) -> Pending[None]:
        """Delete the space with its blocks, skills, episodes, search texts and due work. Raises NotFound.

        Its sessions stay, without a space.
        """

    def blocks(
        self, space_id: str, *, parent_id: str | None = None, type: BlockType | None = None, tree: bool = False
    ) -> Pending[list[Block]]:
        """Children of `parent_id` (None = the root), by type, then sort. `tree` fills `children` all the way down.

        A skill's block has `props` {use_when, preferences, tool_sops, ...} of its newest version.
        """

    def block(self, space_id: str, block_id: str) -> Pending[Block]:
        """The block, without its children. Raises NotFound for either id."""

    def create_block(self, block: Block) -> Pending[Block]:
        """Keep a new block at the end of its siblings. Raises NotFound for the space or the parent.

        The root and folders hold folders and pages, a page holds text and sop; anything else raises InvalidInput.
        A block of type sop makes an active skill of origin "human" (its title is its `use_when`).
        """

    def update_block(
        self, space_id: str, block_id: str, *, title: str | None = None, props: Json | None = None
    ) -> Pending[Block]:
        """Change the title, the props or both. Raises NotFound, and InvalidInput for props that a skill cannot have.

        A skill gets a new version of origin "human", so that automation leaves it alone from now on.
        """

    def move_block(
        self, space_id: str, block_id: str, *, parent_id: str | None = None, sort: int | None = None
    ) -> Pending[Block]:
        """Move the block under `parent_id` (None = root), to position `sort` among its siblings (None = the end).

        Positions beyond the last are the last. Raises NotFound, and InvalidInput where it cannot be (under itself).
        """

    def sort_block(self, space_id: str, block_id: str, sort: int) -> Pending[Block]:
        """Move the block to position `sort` among its siblings, which are numbered 0, 1, 2 ... Raises NotFound."""

    def delete_block(self, space_id: str, block_id: str) -> Pending[None]:
        """Delete the block and all below it; its siblings close the gap. Raises NotFound."""

    # -- skills
    def skills(self, space_id: str, *, statuses: Collection[SkillStatus] | None = None) -> Pending[list[Skill]]:
        """Skills at their newest version, oldest first; `statuses` None = all of them. Raises NotFound."""

    def proposals(self, space_id: str) -> Pending[list[Proposal]]:
        """What was learned and waits for a person, oldest first. Raises NotFound."""

    def proposed_skills(self, space_id: str) -> Pending[list[Skill]]:
        """All skills as they would be if every proposal was confirmed; a learner builds on them. Raises NotFound."""

    def confirm(self, space_id: str, proposal_id: str, *, data: Json | None = None) -> Pending[Skill]:
        """Make a proposal the active version of its skill, as it is or with `data` (the props of a skill's block).

        `proposal_id` may be the id of the skill, too: it means the proposal that waits for that skill now. Skills that
        the proposal supersedes are retired. A skill that a person has changed is not changed by automation any more.
        Raises NotFound where no such proposal waits, and InvalidInput for `data` that no skill can have.
        """

    def reject(self, space_id: str, proposal_id: str) -> Pending[Skill]:
        """Discard a proposal. A skill that has no active version is retired; another keeps it. Raises NotFound.

        Automation proposes neither the same content for this skill again, nor another skill that teaches the same.
        """

    def skill(self, skill_id: str) -> Pending[Skill]:
        """The skill at its newest version. Raises NotFound."""

    def skills_by_id(self, skill_ids: Sequence[str], *, evidence: bool = True) -> Pending[list[Skill]]:
        """Skills in the order asked for, unknown ids left out. Without `evidence` that field stays empty: quicker."""

    def skill_versions(self, skill_id: str) -> Pending[list[SkillVersion]]:
        """All versions of the skill, oldest first; none changes or goes while the skill exists. Raises NotFound."""

    def set_skill_status(self, skill_id: str, status: SkillStatus, *, reason: str = "") -> Pending[Skill]:
        """Write a new version with the same content and another status: a person's decision. Raises NotFound."""

    def tool_names(self) -> Pending[list[ToolName]]:
        """Tools that the active skills of all spaces call, by name."""

    def rename_tools(
        self, names: Mapping[str, str], *, episode: Callable[[Json], Json], text: Callable[[str], str]
    ) -> Pending[int]:
        """Rename tools (old name -> new name) in skills, episodes and search texts; the number of skills changed.

        `episode` renames in the body of an episode, `text` in a search text. A renamed skill has a new version with
        the same origin.
        """

    def episodes(self, space_id: str) -> Pending[list[Episode]]:
        """All episodes of the space, oldest first."""

    def apply_skills(self, claim: Claim, ops: SkillOps, *, confirm: bool = False) -> Pending[int]:
        """One transaction, fenced by the claim: episodes, versions, evidence, search texts, release of the lane.

        An edit whose content and status equal the newest version writes nothing but its search texts and
        evidence where they differ. In a space with confirmation (`configs["confirm"]`, or `confirm` where the configs
        do not say), a version that would become active waits for a person: a new skill as "pending_confirmation", a
        new version of an active skill as a proposal beside it. Skills that it would supersede stay active meanwhile.
        The result is the number of versions written. Raises LeaseLost.
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
        """Search texts with any of the terms, best BM25 first; of skills with these statuses (None = active ones).

        `limit` is the most texts (items) returned. Terms are what `acontext_store.tokenizer.words` makes.
        """

    def read_snapshot(self, question: Callable[[ReadSnapshot], T]) -> Pending[T]:
        """The result of `question`, which is given one consistent state of the store: for reads that build on others.

        `question` runs on a thread of the store, so it must be quick and wait for nothing. An exception that it raises
        is the exception of the result.
        """

    # -- vectors
    def embed_with(self, model: str, dimensions: int | None = None) -> Pending[bool]:
        """Embed this project's skills with `model` from now on; True where it was another model before.

        `dimensions` is the number of items of a vector, None where it is not known yet. Active skills without vectors
        of that model (and size) are to be embedded, and their spaces are due for `embed` work. A project for which
        this was never called has no embed work.
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

    # -- the ledger
    def log_call(self, call: ModelCall) -> Pending[None]:
        """Keep the row of a model call, once. It stays when its space or its session is deleted."""

    def calls(self, *, space_id: str | None = None, limit: int = 100) -> Pending[list[ModelCall]]:
        """Model calls, newest first; `space_id` None = those of the whole project."""

    def costs(
        self,
        *,
        by: Collection[CostBy] = (),
        space_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Pending[list[Cost]]:
        """Sums over the model calls from `since` on and before `until` (RFC 3339), one for each value of `by`.

        `by` names columns of `Cost`; the sums are sorted by their values. The list is empty where there were no calls.
        Raises InvalidInput for another name.
        """

    # -- disks
    def create_disk(self, disk: Disk) -> Pending[Disk]:
        """Keep a new disk. Raises Conflict for an id that is taken, NotFound for the session that it belongs to."""

    def disk(self, disk_id: str) -> Pending[Disk]:
        """The disk of that id. Raises NotFound."""

    def disk_of_session(self, session_id: str) -> Pending[Disk]:
        """The session's own disk, made on first use. Safe in a race. Raises NotFound for the session."""

    def disks(self, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False) -> Pending[Page[Disk]]:
        """Disks by time of creation."""

    def delete_disk(self, disk_id: str) -> Pending[None]:
        """Delete the disk with its files. Raises NotFound."""

    def put_artifact(self, artifact: Artifact, *, if_sha256: str | None = None) -> Pending[Artifact]:
        """Keep a file in place of the one with its path and name, whose `created_at` stays. Its blob must be there.

        A reader sees the old file or the new one, nothing between. Raises NotFound for the disk, and Conflict
        where the bytes of the old file do not have the hash `if_sha256`.
        """

    def artifact(self, disk_id: str, path: str, filename: str) -> Pending[Artifact]:
        """The file of that path and name. Raises NotFound for the disk, or the file."""

    def update_artifact(self, disk_id: str, path: str, filename: str, *, meta: Json) -> Pending[Artifact]:
        """Replace the meta of a file. Raises NotFound."""

    def delete_artifact(self, disk_id: str, path: str, filename: str) -> Pending[None]:
        """Delete a file. Raises NotFound for the disk, or the file."""

    def list_artifacts(self, disk_id: str, path: str = "/") -> Pending[ArtifactListing]:
        """Files and folders directly in the folder `path`; empty where there is no such folder. Raises NotFound."""

    def artifacts(
        self, disk_id: str, *, under: str = "/", limit: int = 200, cursor: str | None = None
    ) -> Pending[Page[Artifact]]:
        """Files in the folder `under` and below it, by path and name; `limit` is 1 to 1000 files. Raises NotFound."""

    # -- what the blobs are kept for
    def unused_blobs(self, *, limit: int = 1000) -> Pending[list[str]]:
        """Hashes of blobs to which no row refers any more, and for which `forget_blobs` was not called yet."""

    def forget_blobs(self, hashes: Collection[str]) -> Pending[None]:
        """Stop naming these blobs as unused: they have been deleted."""

    def used_blobs(self, hashes: Collection[str]) -> Pending[set[str]]:
        """Hashes of those of these blobs that a file or a message refers to."""

    # -- work
    def schedule_now(self, kind: LaneKind, key: str, *, at: float | None = None) -> Pending[None]:
        """Make a lane due, at the latest at `at` (Unix time in seconds; None = now). A dead lane is alive again."""

    def claim(self, owner: str, *, kinds: Collection[LaneKind], lease: float, limit: int = 1) -> Pending[list[Claim]]:
        """Lease at most `limit` due lanes for `lease` seconds. A lane has one owner at a time, over all processes."""

    def heartbeat(self, claim: Claim, *, lease: float) -> Pending[None]:
        """Extend a claim to `lease` seconds from now. Raises LeaseLost."""

    def release(
        self,
        claim: Claim,
        *,
        error: str | None = None,
        retry_in: float | None = None,
        dead: bool = False,
        outage: bool = False,
    ) -> Pending[None]:
        """Give a claimed lane back. With an `error`, it is due again after `retry_in` seconds, or `dead`.

        An error counts as an attempt; with `outage`, where something that the work needs did not answer, as an outage.
        Raises LeaseLost.
        """

    def retry(self, *, space_id: str | None = None, session_id: str | None = None) -> Pending[int]:
        """Make all lanes due now that failed or had an outage, dead or not, with no attempts counted.

        Of the project, of a space with its sessions, or of one session. The result is the number of lanes.
        Raises NotFound.
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
        """Lanes of due work, dead ones (`dead=True`), or both (None); of a space and its sessions, or of one session.

        `limit` None = all lanes (items).
        """

    def stats(self) -> Pending[StoreStats]:
        """How much the project holds."""

    def flush(self) -> Pending[None]:
        """Wait until all writes that were queued before this call are durable, or have failed."""

    def close(self) -> None:
        """Finish what is queued, then let go of files. Later calls raise Closed. Safe to call twice."""


@runtime_checkable
class KeyStore(Protocol):
    """API keys of all projects. Only hashes are kept. Calls block for a moment: make them in a thread."""

    def add(self, key: ApiKey) -> ApiKey:
        """Keep a new key. Raises InvalidInput for a project that cannot have that name."""

    def find(self, hash: str) -> ApiKey | None:
        """The key with that hash, revoked or not."""

    def all(self, *, project_id: str | None = None) -> list[ApiKey]:
        """Keys, oldest first; `project_id` None = those of all projects."""

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key: requests with it are refused from now on. Raises NotFound."""
