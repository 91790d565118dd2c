"""Service: the one interface behind both clients. The embedded engine implements it, and so does the remote client.

Methods raise only exceptions of `acontext_plugins.errors`. `record` alone is not async: an agent waits for it, so it
only enqueues, never blocks and never raises.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, Protocol, runtime_checkable

from pydantic import Field

from acontext_store.errors import InvalidInput
from acontext_store.ledger import Cost, CostBy
from acontext_store.outcome_sources import NamedSource, Revocation
from acontext_store.records import ValidTexts
from acontext_store.types import (
    Appended,
    Blob,
    Block,
    BlockType,
    CallFate,
    FateStatus,
    Json,
    LaneKind,
    LearningStatus,
    Message,
    ObservingStatus,
    Outcome,
    Page,
    Record,
    Session,
    Skill,
    SkillStatus,
    SkillVersion,
    Space,
    StoredMessage,
    Task,
    ToolName,
    is_uuid,
)

from .files.service import FileService, PublicUrl
from .inject.recall import InjectAs as _InjectAs
from .inject.recall import Recall, RecallQuery, ShownTurns, SkillsBlock

__all__ = [
    "Confirmation",
    "FlagResult",
    "FlushResult",
    "InjectAs",
    "Job",
    "JobStatus",
    "MessagesPage",
    "Recall",
    "RecallQuery",
    "Recording",
    "SearchItem",
    "Service",
    "SessionRef",
    "ShownTurns",
    "SkillsBlock",
    "SpaceSearchResult",
    "TokenCounts",
]


#: Where skills go: behind the agent's instructions, into turns of the user, or a line of each behind the instructions.
InjectAs = _InjectAs


@dataclass(frozen=True, slots=True)
class SessionRef(ValidTexts):
    """A session by the host's own name for it, and its user: one key with two principals is two sessions.

    The engine makes the session, and the space, on first use.
    """

    #: The host's key (thread id, conversation id), or the id of a session that exists already.
    key: str
    #: Name or id of the space to learn into; None = record only.
    space: str | None = None
    principal: str | None = None
    agent: str | None = None
    #: A sub-agent's conversation: kept, but not a task of its own.
    track_tasks: bool = True
    configs: Json | None = None

    _texts = ("key", "space", "principal", "agent", "configs")


@dataclass(frozen=True, slots=True)
class Recording:
    """Messages, outcomes and fates of calls of a session, on their way to the recorder.

    `messages` may be a function that returns them: it runs on the recorder's thread, so that the agent does not
    wait for the conversion. The function must not read objects that the host may change meanwhile.
    """

    session: SessionRef
    messages: Sequence[Message] | Callable[[], Sequence[Message]] = ()
    outcomes: Sequence[Outcome] = ()
    #: What became of calls in these messages, or in earlier ones of the session.
    fates: Sequence[CallFate] = ()
    #: A rough size in bytes, for the bound on memory.
    size: int = 512


class CallInfo(Record):
    """A tool call that a model asked for, and what became of it."""

    call_id: str
    message_id: str
    #: As the model asked for it.
    tool: str
    arguments: Json
    fate: FateStatus
    #: Whether nobody tells the fate: it is assumed from the result.
    assumed: bool
    #: Whether the tool says, or the framework, that it did not work.
    failed: bool
    #: Who refused it or answered in the tool's place; who changed it before it ran; and their words.
    by: str = ""
    edited_by: str = ""
    reason: str = ""
    #: What ran, where it is not what was asked for.
    ran_tool: str | None = None
    ran_arguments: Json | None = None


class SearchItem(Record):
    """One block that a search cites."""

    block_id: str
    title: str
    type: BlockType
    props: Json
    distance: float | None = None


class SpaceSearchResult(Record):
    """The result of a search; an empty list where no block fits."""

    cited_blocks: list[SearchItem]
    #: The answer of an agentic search in words; [1] is the first of the cited blocks.
    final_answer: str | None = None
    #: Why a fast search answered instead of an agentic one; None where it did not.
    fallback: str | None = None


class FlushResult(Record):
    """`status` is 200 when the session's tasks are up to date; else `errmsg` says why not."""

    status: int = 200
    errmsg: str = ""


class FlagResult(Record):
    """The result of a change; `status` is 200 where it was made."""

    status: int = 200
    errmsg: str = ""
    #: How many skills are different now.
    changed: int = 0


def renames(given: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """`[{"old_name": ..., "new_name": ...}]` as old -> new. Raises InvalidInput that names the entry."""
    found: dict[str, str] = {}
    for number, entry in enumerate(given):
        old, new = entry.get("old_name"), entry.get("new_name")
        if not isinstance(old, str) or not isinstance(new, str) or not old or not new:
            raise InvalidInput(f"rename[{number}]: expected an old_name and a new_name, found {dict(entry)!r}"[:200])
        if found.get(old, new) != new:
            raise InvalidInput(f"rename[{number}]: {old!r} is renamed twice; give each old name once")
        found[old] = new
    return found


def chosen_id(use_uuid: str | None, key: str | None) -> str | None:
    """The id that a new session is to have, where one was chosen. Raises InvalidInput for what cannot be one."""
    if use_uuid is None:
        return None
    if not isinstance(use_uuid, str) or not is_uuid(use_uuid):
        raise InvalidInput(f"use_uuid: expected a UUID in 36 characters, found {use_uuid!r:.80}")
    if key is not None:
        raise InvalidInput("give use_uuid or key, not both: where a session has a key, its id is made from that")
    return use_uuid.lower()


class MessagesPage(Record):
    """Messages of a session, oldest first, in the format asked for; `ids` stand in the same order."""

    items: list[Any]
    ids: list[str]
    has_more: bool = False
    next_cursor: str | None = None
    #: The number of tokens of the items, as `acontext_plugins.editing` counts them.
    this_time_tokens: int = 0
    #: The last message that edit strategies saw; give it as `pin_at` next time, and the beginning stays the same.
    edit_at_message_id: str | None = None
    #: Links to the files that messages name, by hash, where they were asked for.
    public_urls: dict[str, PublicUrl] | None = None
    #: The meta of each item's message, and under "lost" what the format has no place for.
    metas: list[Json] = Field(default_factory=list)


class TokenCounts(Record):
    """The number of tokens that all messages of a session have."""

    total_tokens: int


class Confirmation(Record):
    """A skill, or a new version of one, that waits until a person confirms it; and what it would replace."""

    #: The id of exactly this content: once the content has changed, this id confirms nothing.
    id: str
    space_id: str
    #: The waiting skill, or the skill of which this would be a new version.
    skill_id: str
    task_id: str | None = None
    #: `{"type": "sop", "data": {"use_when", "preferences", "tool_sops"}}`; "data" has "pitfalls", "variables" and
    #: "trace" too, where there are any.
    experience_data: Json
    #: The version that is used meanwhile, and what it says; None where it is new.
    replaces: Json | None = None
    #: Skills that this skill supersedes: they are retired when it is confirmed.
    supersedes: list[str] = Field(default_factory=list)
    reason: str = ""
    created_at: str
    updated_at: str


#: Of background work: waiting, being done, failed and to be tried again, given up, or done.
JobStatus = Literal["due", "running", "failing", "dead", "done"]


class Job(Record):
    """Background work on a session (observe) or on a space (learn, embed)."""

    kind: LaneKind
    status: JobStatus
    session_id: str | None = None
    space_id: str | None = None
    #: How often the job failed since it was last done.
    attempts: int = 0
    #: How often a model or another service that the job needs did not answer.
    outages: int = 0
    #: Why the job failed, in one line; "" where it did not.
    reason: str = ""
    #: A remark about how the job was last done: that rules stood in for a model, for instance.
    note: str = ""
    due_at: str | None = None
    failing_since: str | None = None
    dead_at: str | None = None


@runtime_checkable
class Service(FileService, Protocol):
    """Everything that the clients, the adapters, the server and the CLI ask for, in one project.

    Lists come in pages: `limit` is the most items of a page, `cursor` the `next_cursor` of the page before;
    `time_desc` gives the newest first. A cursor or a limit that cannot be raises InvalidInput; an id that the project
    does not have raises NotFound (`jobs` and `costs` give an empty list). `sort` is a position among siblings, from 0.
    """

    @property
    def project_id(self) -> str:
        """The name of the project. Nothing of another project can be read or changed here."""

    # -- for agents
    def record(self, recording: Recording) -> None:
        """Enqueue a recording for the recorder. Takes microseconds; never blocks and never raises."""

    async def record_durably(self, recording: Recording) -> Appended:
        """Record, and return when the recording is durable.

        Messages whose ids are kept already are ignored, so a caller may safely repeat the call. Raises InvalidInput.
        """

    async def recall(self, query: RecallQuery) -> Recall:
        """The skills that fit `query`, and the text that enters the prompt; empty where no skill fits."""

    async def flush(self, timeout: float | None = None) -> bool:
        """Wait until all recordings so far are durable, observed and learned from.

        True when they are; False when `timeout` seconds (None = no limit) ran out first.
        """

    async def ping(self) -> str:
        """ "pong", when the database answers. Raises StoreUnavailable."""

    # -- sessions
    async def create_session(
        self,
        *,
        space_id: str | None = None,
        key: str | None = None,
        principal: str | None = None,
        disable_task_tracking: bool = False,
        configs: Json | None = None,
        use_uuid: str | None = None,
    ) -> Session:
        """Create a session, with the id `use_uuid` where that is given. Raises Conflict for a taken id or key."""

    async def session(self, session_id: str) -> Session:
        """The session of that id."""

    async def sessions(
        self,
        *,
        space_id: str | None = None,
        not_connected: bool = False,
        principal: str | None = None,
        filter_by_configs: Json | None = None,
        limit: int = 20,
        cursor: str | None = None,
        time_desc: bool = False,
    ) -> Page[Session]:
        """Sessions by time of creation: those of `principal`, and those whose configs contain `filter_by_configs`."""

    async def update_session(
        self, session_id: str, *, configs: Json | None = None, space_id: str | None = None
    ) -> Session:
        """Replace the configs of a session, connect it to a space, or both."""

    async def delete_session(self, session_id: str) -> None:
        """Delete a session with its messages and tasks; the skills that were learned from it stay."""

    async def append(
        self,
        session_id: str,
        messages: Sequence[Message],
        outcomes: Sequence[Outcome] = (),
        fates: Sequence[CallFate] = (),
    ) -> Appended:
        """Keep messages, outcomes and fates of calls in order, durably, or none of them.

        Ids of messages and outcomes that are kept already are ignored; a fate takes the place of what was told of the
        same call before.
        """

    async def messages(
        self,
        session_id: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        time_desc: bool = False,
    ) -> Page[StoredMessage]:
        """Messages of a session, always oldest first; `limit` None = all items. `time_desc` takes the newest ones."""

    async def upload(self, source: BinaryIO) -> Blob:
        """Keep the bytes of a file that a message will name (`Part.asset`), in constant memory."""

    async def message(self, session_id: str, message_id: str) -> StoredMessage:
        """One message of a session."""

    async def update_message(self, session_id: str, message_id: str, *, meta: Json) -> StoredMessage:
        """Change the meta of a message: given names replace what is there, names given as None are removed."""

    async def conversation(
        self,
        session_id: str,
        *,
        format: str = "openai",
        limit: int | None = None,
        cursor: str | None = None,
        time_desc: bool = False,
        edit_strategies: Sequence[Json] | None = None,
        pin_at: str | None = None,
        with_public_urls: bool | None = None,
    ) -> MessagesPage:
        """The messages as items of a format, ready to be sent to a model; `limit` None = all items.

        `with_public_urls` None = only where there is a server that others can reach. `edit_strategies` edit the whole
        conversation, and pages are cut from the result; the stored messages never change. With `pin_at`, the id of a
        message, they leave later messages alone. Raises InvalidInput for a format or a strategy that does not exist.
        """

    async def token_counts(self, session_id: str) -> TokenCounts:
        """How many tokens all messages of a session have."""

    async def observing_status(self, session_id: str) -> ObservingStatus:
        """How many messages of a session have been observed, are being observed now, or wait."""

    async def tasks(
        self, session_id: str, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False
    ) -> Page[Task]:
        """The tasks of a session by their order, as far as it has been observed."""

    async def flush_session(self, session_id: str) -> FlushResult:
        """Observe all messages that a session has now, and return when its tasks are up to date."""

    async def calls(self, session_id: str) -> list[CallInfo]:
        """The tool calls of a session in order, each with what became of it. Raises NotFound."""

    async def learning_status(self, session_id: str) -> LearningStatus:
        """How many finished tasks of a session have been learned from, and how many wait."""

    # -- spaces
    async def create_space(self, *, name: str | None = None, configs: Json | None = None) -> Space:
        """Create a space. Raises Conflict for a name that is taken."""

    async def space(self, space_id: str) -> Space:
        """The space of that id."""

    async def space_by_name(self, name: str, *, create: bool = False) -> Space:
        """The space of that name; with `create`, it is created where there is none. Raises NotFound otherwise."""

    async def spaces(self, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False) -> Page[Space]:
        """Spaces by time of creation."""

    async def update_space(self, space_id: str, *, configs: Json) -> Space:
        """Replace the configs of a space."""

    async def delete_space(self, space_id: str) -> None:
        """Delete a space with its skills; its sessions stay."""

    async def experience_search(
        self,
        space_id: str,
        *,
        query: str,
        limit: int = 10,
        mode: Literal["fast", "agentic"] = "fast",
        semantic_threshold: float | None = None,
        max_iterations: int | None = None,
    ) -> SpaceSearchResult:
        """Skills that fit `query`, best first; with mode "agentic" also their neighbours in the tree, and an answer.

        `semantic_threshold` is the cosine distance (0 to 2) above which a vector does not count;
        `max_iterations` the number of turns that a model has in an agentic search. None = as in the settings.
        """

    async def find_blocks(
        self, space_id: str, *, query: str, types: Collection[BlockType], limit: int = 10
    ) -> list[SearchItem]:
        """Blocks of these types that fit the words of `query`, best first."""

    async def confirmations(
        self, space_id: str, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False
    ) -> Page[Confirmation]:
        """Skills, and new versions of skills, that wait until a person confirms them."""

    async def confirm(
        self, space_id: str, confirmation_id: str, *, save: bool, experience_data: Json | None = None
    ) -> Confirmation | None:
        """Confirm a waiting skill (`save`), which is used from now on and returned; or discard it for good.

        `confirmation_id` is the id of the confirmation, or of its skill: then it means the confirmation that waits for
        that skill now. `experience_data`, in the form of `Confirmation.experience_data`, is saved instead; fields that
        it lacks stay as they were. Raises NotFound where no such confirmation waits, InvalidInput for the data.
        """

    async def jobs(
        self,
        *,
        dead: bool | None = None,
        space_id: str | None = None,
        session_id: str | None = None,
        limit: int = 200,
    ) -> list[Job]:
        """Background jobs: those to be done, those that wait for a person (`dead`), or both (None).

        With both, also jobs that were done and have a `note`.
        """

    async def retry_jobs(self, *, space_id: str | None = None, session_id: str | None = None) -> int:
        """Make all failed jobs due now: of a space, of a session, or of the project. Returns the number of jobs."""

    async def costs(
        self,
        *,
        by: Collection[CostBy] = (),
        space_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> list[Cost]:
        """Calls, tokens and US dollars of models: a sum for each value of the columns that `by` names.

        Calls from `since` on and before `until` count: days (2026-01-31) or times (RFC 3339), in UTC. Raises
        InvalidInput.
        """

    async def outcome_sources(self) -> list[NamedSource]:
        """Sources of outcomes that are registered or have given one, by name."""

    async def register_outcome_source(
        self, name: str, *, strength: float = 1.0, note: str | None = None
    ) -> NamedSource:
        """Set the most that outcomes of that name weigh from now on: `strength`, from 0 to 1. Raises InvalidInput."""

    async def revoke_outcome_source(self, name: str, *, timeout: float | None = None) -> Revocation:
        """Believe nothing of what that name said or will say, and do anew what rested on it, where no model is needed.

        The result is what that was, and what has become of it. Safe to repeat: it goes on where it was stopped, after
        `timeout` seconds (None = no limit) for instance. Raises NotFound for a name that nobody has registered or used.
        """

    async def skills(self, space_id: str, *, statuses: Collection[SkillStatus] | None = None) -> list[Skill]:
        """Skills of a space at their newest version, oldest first; `statuses` None = all of them."""

    async def skill_versions(self, skill_id: str) -> list[SkillVersion]:
        """All versions of a skill, oldest first."""

    async def tool_names(self) -> list[ToolName]:
        """Tools that active skills call, and how many skills call each."""

    async def rename_tools(self, names: Mapping[str, str]) -> int:
        """Rename tools (old name -> new name) in all that was learned; returns the number of changed skills."""

    # -- blocks
    async def blocks(
        self,
        space_id: str,
        *,
        parent_id: str | None = None,
        block_type: BlockType | None = None,
        tree: bool = False,
    ) -> list[Block]:
        """Children of `parent_id` (None = the root), in order; `tree` fills `children` all the way down."""

    async def block(self, space_id: str, block_id: str) -> Block:
        """One block, without its children."""

    async def create_block(
        self,
        space_id: str,
        *,
        block_type: BlockType,
        parent_id: str | None = None,
        title: str | None = None,
        props: Json | None = None,
    ) -> Block:
        """Create a block at the end of its siblings. Raises InvalidInput where that type cannot stand there."""

    async def update_block(
        self, space_id: str, block_id: str, *, title: str | None = None, props: Json | None = None
    ) -> Block:
        """Change the title, the props or both. Automation leaves a skill alone once a person has changed it."""

    async def move_block(
        self, space_id: str, block_id: str, *, parent_id: str | None = None, sort: int | None = None
    ) -> Block:
        """Move a block under `parent_id` (None = the root), to position `sort` (None = the end).

        Raises InvalidInput where the block cannot stand there.
        """

    async def sort_block(self, space_id: str, block_id: str, sort: int) -> Block:
        """Move a block to position `sort` among its siblings."""

    async def delete_block(self, space_id: str, block_id: str) -> None:
        """Delete a block and all below it."""

    async def aclose(self) -> None:
        """Write what is recorded, stop the background work, and close the database or the connection."""
