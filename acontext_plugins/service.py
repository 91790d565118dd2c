"""Service: the one interface behind both clients. The embedded engine keeps it, and so does the remote client.

Methods raise only what `acontext_plugins.errors` holds. `record` is the exception to "async": it is what an agent
waits for, so it only enqueues, never blocks and never raises.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, Protocol, runtime_checkable

from pydantic import Field

from acontext_store.errors import InvalidInput
from acontext_store.ledger import Cost, CostBy
from acontext_store.types import (
    Appended,
    Blob,
    Block,
    BlockType,
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
    "SpaceSearchResult",
    "TokenCounts",
]

#: Where skills go: behind the agent's instructions, or into the newest user turn.
InjectAs = Literal["system", "user"]


@dataclass(frozen=True, slots=True)
class SessionRef:
    """A session by the host's own name for it. The engine makes the session, and the space, on first use."""

    #: The host's key (thread id, conversation id), or the id of a session that exists already.
    key: str
    #: Name or id of the space to learn into; None = record only.
    space: str | None = None
    principal: str | None = None
    agent: str | None = None
    #: A sub-agent's conversation: kept, but not a task of its own.
    track_tasks: bool = True
    configs: Json | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """Something that an agent did, on its way to the recorder.

    `messages` may be a function that makes them: it runs on the recorder's thread, so that the agent does not
    wait for the conversion. It must not look at objects that the host may change meanwhile.
    """

    session: SessionRef
    messages: Sequence[Message] | Callable[[], Sequence[Message]] = ()
    outcomes: Sequence[Outcome] = ()
    #: A rough size in bytes, for the bound on memory.
    size: int = 512


@dataclass(frozen=True, slots=True)
class RecallQuery:
    """What is about to be done, and with which tools."""

    space: str
    text: str
    #: Names of the tools the run has; None = unknown, so do not filter.
    tools: Collection[str] | None = None
    limit: int = 3
    #: Tokens (characters / 4) that the rendered text may have.
    token_budget: int = 400
    #: Add the shortest successful run, values masked.
    with_trace: bool = False
    session_key: str | None = None
    run_id: str | None = None
    #: Keep a row of what was injected; off for a look from outside of any run.
    log: bool = True
    #: Seconds that the one who asks waits.
    deadline: float = 0.3


@dataclass(frozen=True, slots=True)
class Recall:
    """The skills that fit, and the text that enters the prompt ("" where nothing fits)."""

    text: str = ""
    skills: tuple[Skill, ...] = ()
    scores: tuple[float, ...] = field(default=())


class SearchItem(Record):
    """One block that a search cites."""

    block_id: str
    title: str
    type: BlockType
    props: Json
    distance: float | None = None


class SpaceSearchResult(Record):
    """What a search found; an empty list where nothing fits."""

    cited_blocks: list[SearchItem]
    #: What an agentic search found, in words; [1] is the first of the cited blocks.
    final_answer: str | None = None
    #: Why an agentic search was answered as a fast one; None where it was not.
    fallback: str | None = None


class FlushResult(Record):
    """`status` is 200 when the session's tasks are up to date; else `errmsg` says why not."""

    status: int = 200
    errmsg: str = ""


class FlagResult(Record):
    """`status` is 200: it is done."""

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
    #: What the items take, as `acontext_plugins.editing` counts.
    this_time_tokens: int = 0
    #: The last message that edit strategies saw; give it as `pin_at` next time, and the beginning stays the same.
    edit_at_message_id: str | None = None
    #: Links to the files that messages name, by hash, where they were asked for.
    public_urls: dict[str, PublicUrl] | None = None
    #: The meta of each item's message, and under "lost" what the format has no place for.
    metas: list[Json] = Field(default_factory=list)


class TokenCounts(Record):
    """What all messages of a session take."""

    total_tokens: int


class Confirmation(Record):
    """Something learned that waits until a person confirms it: all that would be used, and what it would replace."""

    #: Of exactly this text: what has changed since it was read is not confirmed by it.
    id: str
    space_id: str
    #: The skill that it is, or would be a new version of.
    skill_id: str
    task_id: str | None = None
    #: `{"type": "sop", "data": {"use_when", "preferences", "tool_sops"}}`; "data" has "pitfalls", "variables" and
    #: "trace" too, where there are any.
    experience_data: Json
    #: The version that is used meanwhile, and what it says; None where it is new.
    replaces: Json | None = None
    #: Skills that are retired when this is confirmed, because it takes their place.
    supersedes: list[str] = Field(default_factory=list)
    reason: str = ""
    created_at: str
    updated_at: str


#: Of background work: waiting, being done, failed and to be tried again, given up, or done.
JobStatus = Literal["due", "running", "failing", "dead", "done"]


class Job(Record):
    """Work in the background on a session (observe) or on a space (learn, embed)."""

    kind: LaneKind
    status: JobStatus
    session_id: str | None = None
    space_id: str | None = None
    #: How often it has failed since it was last done, and how often what it needs was away.
    attempts: int = 0
    outages: int = 0
    #: Why, in one line; "" where it did not fail.
    reason: str = ""
    #: How it was last done, where there is something to tell of that.
    note: str = ""
    due_at: str | None = None
    failing_since: str | None = None
    dead_at: str | None = None


@runtime_checkable
class Service(FileService, Protocol):
    """Everything that the clients, the adapters, the server and the CLI ask for."""

    @property
    def project_id(self) -> str: ...

    # -- for agents
    def record(self, recording: Recording) -> None: ...

    async def record_durably(self, recording: Recording) -> Appended:
        """As `record`, but durable when it returns. What was kept already is kept once, so it may be repeated."""

    async def recall(self, query: RecallQuery) -> Recall: ...

    async def flush(self, timeout: float | None = None) -> bool:
        """True when all that was recorded so far is durable, observed and learned; False when time ran out first."""

    async def ping(self) -> str: ...

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
        """A new one, with the id `use_uuid` where that is given. Raises Conflict where it, or the key, is taken."""

    async def session(self, session_id: str) -> Session: ...

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
        """By time of creation; of `principal`, and with `filter_by_configs` those whose configs contain all of it."""

    async def update_session(
        self, session_id: str, *, configs: Json | None = None, space_id: str | None = None
    ) -> Session: ...

    async def delete_session(self, session_id: str) -> None: ...

    async def append(
        self, session_id: str, messages: Sequence[Message], outcomes: Sequence[Outcome] = ()
    ) -> Appended: ...

    async def messages(
        self,
        session_id: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        time_desc: bool = False,
    ) -> Page[StoredMessage]: ...

    async def upload(self, source: BinaryIO) -> Blob:
        """Keep bytes that a message is going to name (`Part.asset`), however many they are."""

    async def message(self, session_id: str, message_id: str) -> StoredMessage: ...

    async def update_message(self, session_id: str, message_id: str, *, meta: Json) -> StoredMessage:
        """Change its meta: given names replace what is there, names given as None are removed."""

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
        """The messages as items of a format, ready to be sent to a model.

        `with_public_urls` None = where there is a server that others can reach.
        Strategies see the whole conversation, and pages are cut from what they leave. The stored messages never
        change.
        """

    async def token_counts(self, session_id: str) -> TokenCounts: ...

    async def observing_status(self, session_id: str) -> ObservingStatus: ...

    async def tasks(
        self, session_id: str, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False
    ) -> Page[Task]: ...

    async def flush_session(self, session_id: str) -> FlushResult: ...

    async def learning_status(self, session_id: str) -> LearningStatus: ...

    # -- spaces
    async def create_space(self, *, name: str | None = None, configs: Json | None = None) -> Space: ...

    async def space(self, space_id: str) -> Space: ...

    async def space_by_name(self, name: str, *, create: bool = False) -> Space: ...

    async def spaces(self, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False) -> Page[Space]: ...

    async def update_space(self, space_id: str, *, configs: Json) -> Space: ...

    async def delete_space(self, space_id: str) -> None: ...

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
        """Skills that fit, best first; with mode "agentic" also what stands beside them, and an answer in words.

        `semantic_threshold` = the cosine distance (0 to 2) beyond which vectors do not count, `max_iterations` = the
        turns of a model in an agentic search; None = as the settings have it.
        """

    async def find_blocks(
        self, space_id: str, *, query: str, types: Collection[BlockType], limit: int = 10
    ) -> list[SearchItem]:
        """Blocks of these types that fit the words of `query`, best first."""

    async def confirmations(
        self, space_id: str, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False
    ) -> Page[Confirmation]:
        """What was learned and waits for a person."""

    async def confirm(
        self, space_id: str, confirmation_id: str, *, save: bool, experience_data: Json | None = None
    ) -> Confirmation | None:
        """Use it from now on, and return it; or discard it for good. Raises NotFound for what does not wait.

        The id is that of the confirmation, or of its skill (whatever waits there now). With `experience_data`, of the
        same form, it is used as it is changed there; what that does not mention stays. Raises InvalidInput.
        """

    async def jobs(
        self,
        *,
        dead: bool | None = None,
        space_id: str | None = None,
        session_id: str | None = None,
        limit: int = 200,
    ) -> list[Job]:
        """Work in the background: what is to be done, or (`dead`) what waits for a person, or (None) both.

        And with both, what was done with something to tell of it (`note`).
        """

    async def retry_jobs(self, *, space_id: str | None = None, session_id: str | None = None) -> int:
        """Have all that failed done again now: of a space, of a session, or of the project. How many jobs that are."""

    async def costs(
        self,
        *,
        by: Collection[CostBy] = (),
        space_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> list[Cost]:
        """What models have taken, told apart by what `by` names; from `since` on, before `until` (days or moments)."""

    async def skills(self, space_id: str, *, statuses: Collection[SkillStatus] | None = None) -> list[Skill]: ...

    async def skill_versions(self, skill_id: str) -> list[SkillVersion]: ...

    async def tool_names(self) -> list[ToolName]:
        """Tools that active skills call, and how many do."""

    async def rename_tools(self, names: Mapping[str, str]) -> int:
        """Old name -> new name, in all that was learned; the number of skills that changed."""

    # -- blocks
    async def blocks(
        self,
        space_id: str,
        *,
        parent_id: str | None = None,
        block_type: BlockType | None = None,
        tree: bool = False,
    ) -> list[Block]: ...

    async def block(self, space_id: str, block_id: str) -> Block: ...

    async def create_block(
        self,
        space_id: str,
        *,
        block_type: BlockType,
        parent_id: str | None = None,
        title: str | None = None,
        props: Json | None = None,
    ) -> Block: ...

    async def update_block(
        self, space_id: str, block_id: str, *, title: str | None = None, props: Json | None = None
    ) -> Block: ...

    async def move_block(
        self, space_id: str, block_id: str, *, parent_id: str | None = None, sort: int | None = None
    ) -> Block: ...

    async def sort_block(self, space_id: str, block_id: str, sort: int) -> Block: ...

    async def delete_block(self, space_id: str, block_id: str) -> None: ...

    async def aclose(self) -> None: ...
