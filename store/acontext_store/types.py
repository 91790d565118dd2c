"""What a store keeps: sessions, messages, tasks, outcomes, spaces, skills.

All are frozen, safe to share between threads, and equal when their values are. Times are RFC 3339 strings in UTC with
microseconds. Ids are opaque strings (UUIDs where we make them).
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal, NamedTuple, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from .jobs import Claim as Claim
from .jobs import Lane as Lane
from .jobs import LaneKind as LaneKind
from .jobs import LearningStatus as LearningStatus
from .jobs import ObservingStatus as ObservingStatus
from .jobs import StoreStats as StoreStats
from .records import Item as Item
from .records import Json as Json
from .records import Name, VisibleText
from .records import Page as Page
from .records import Record as Record
from .records import is_uuid as is_uuid
from .records import new_id as new_id
from .records import now as now
from .records import stable_id as stable_id

Role = Literal["system", "user", "assistant", "tool"]
PartType = Literal["text", "image", "audio", "video", "file", "tool-call", "tool-result", "thinking", "data"]
TaskStatus = Literal["pending", "running", "success", "failed"]
OutcomeStatus = Literal["success", "failed", "cancelled", "interrupted", "unknown"]
OutcomeSource = Literal["report", "verifier", "import", "user", "framework", "tool", "judge", "model"]
BlockType = Literal["folder", "page", "text", "sop"]
SkillStatus = Literal["candidate", "pending_confirmation", "active", "stale", "retired"]
Origin = Literal["rules", "model", "human", "import"]

#: What became of a tool call. "requested": asked for, and no more is known. "executed": it ran and returned. "failed":
#: it ran and raised, or was ended by a timeout. "refused": somebody forbade it. "answered": something else gave the
#: result (a cache, a dry run, a check of the arguments). "unfinished": it began, and never came to an end.
FateStatus = Literal["requested", "executed", "failed", "refused", "answered", "unfinished"]

#: Skills that may be injected.
ACTIVE: tuple[SkillStatus, ...] = ("active",)

#: How far an outcome may be believed, by who says so. "judge" is the model that observes; the claim of the model that
#: did the work, "model", is worth nothing.
OUTCOME_WEIGHTS: dict[OutcomeSource, float] = {
    "report": 1.0,
    "verifier": 1.0,
    "import": 1.0,
    "user": 0.7,
    "framework": 0.5,
    "tool": 0.5,
    "judge": 0.4,
    "model": 0.0,
}


# --------------------------------------------------------------------------------------- conversations


class Session(Record):
    """One conversation."""

    id: str
    project_id: str
    space_id: str | None = None
    #: The host's own name for this conversation (thread id, conversation id). A principal has one session of a key.
    key: Name | None = None
    #: Who speaks: the user or tenant on whose behalf the agent runs, where the host tells.
    principal: Name | None = None
    agent: Name | None = None
    disable_task_tracking: bool = False
    configs: Json | None = None
    created_at: str = Field(default_factory=now)
    updated_at: str = Field(default_factory=now)


class Part(Record):
    """A piece of a message.

    `text` holds the words of text, thinking and tool-result parts. `meta` holds what else the format had there, and
    - text: {is_refusal?, cache_control?}
    - tool-call: {id, name, arguments (the JSON text as it was written)}
    - tool-result: {tool_call_id, name?, is_error?}
    - image, audio, video, file: {data (base64), url or file_id; media_type?}
    - data: {data_type}
    A part whose text was too big to keep in the database has `asset` = the SHA-256 of its UTF-8 bytes.
    """

    type: PartType
    text: str | None = None
    meta: Json | None = None
    asset: str | None = None
    filename: str | None = None


#: The key under which a message's `native` names the blob that it was moved to.
NATIVE_ASSET = "$asset"


class CallFate(Record):
    """What became of one tool call that a model asked for, as the framework tells it."""

    call_id: str
    #: Which of the calls with this id in one message, from 0.
    occurrence: int = Field(default=0, ge=0)
    status: FateStatus
    #: Who refused it, or answered in the tool's place: "person", "guardrail", "middleware", "limit", "framework".
    by: str = ""
    #: Who changed its name or arguments before it ran: "person", "middleware". "" = nobody.
    edited_by: str = ""
    #: The name and the arguments that it ran with; None = those that were asked for.
    name: str | None = None
    arguments: Json | None = None
    #: The words of who refused or edited it, or of the error.
    reason: str = ""
    #: Which door says so, with the framework's version: "langchain 1.5.2".
    told_by: str = ""
    run_id: str | None = None
    created_at: str = Field(default_factory=now)

    @property
    def ran(self) -> bool:
        """Whether the tool itself was run, and came to an end."""
        return self.status in ("executed", "failed")


class Message(Record):
    """One message. `native` is the framework's own item, kept only where `parts` could not give it back."""

    id: str = Field(default_factory=new_id)
    role: Role
    parts: tuple[Part, ...]
    #: The format `native` is in, or the format the message came in.
    format: str = "openai"
    native: Json | None = None
    meta: Json = Field(default_factory=dict)
    #: The run of the agent that this message belongs to, where the host tells.
    run_id: str | None = None
    created_at: str = Field(default_factory=now)
    #: Another id, for a message whose `id` an earlier one of the same words may have. It is used where that turn is
    #: over: the other side has spoken behind it (a model behind a user or a tool, a user behind a model). Not kept.
    id_if_taken: str | None = None
    #: What a request shows of a turn that somebody else may have recorded, under other ids. Those at the beginning of
    #: an append are kept only as far as the session does not say them already, one after the other. Not kept.
    if_unsaid: bool = False
    #: Whoever recorded it also tells the fates of its calls: a call without one was asked for, and no more is known.
    #: Where nobody tells them, they are assumed from the results.
    fates_told: bool = False

    @property
    def text(self) -> str:
        """The words of the text parts, one line apart."""
        return "\n".join(part.text for part in self.parts if part.type == "text" and part.text)

    @property
    def tool_calls(self) -> tuple[Part, ...]:
        """The parts that call a tool."""
        return tuple(part for part in self.parts if part.type == "tool-call")

    @property
    def tool_results(self) -> tuple[Part, ...]:
        """The parts that hold the result of a tool call."""
        return tuple(part for part in self.parts if part.type == "tool-result")

    @property
    def blobs(self) -> tuple[str, ...]:
        """Hashes of the blobs that it names: files, and texts that are too long for the database."""
        found = [part.asset for part in self.parts if part.asset is not None]
        if self.native is not None and isinstance(self.native.get(NATIVE_ASSET), str):
            found.append(self.native[NATIVE_ASSET])
        return tuple(found)


class StoredMessage(Message):
    """A message with its place in its session."""

    project_id: str
    session_id: str
    #: 1, 2, 3 ... without gaps, in the order of arrival.
    seq: int
    parent_id: str | None = None
    task_id: str | None = None
    session_task_process_status: TaskStatus = "pending"
    updated_at: str = Field(default_factory=now)
    #: What became of its calls, as far as it has been told: in the order of the calls' ids.
    fates: tuple[CallFate, ...] = ()


#: The most characters that the name of a source of outcomes has.
SOURCE_NAME_CHARS = 64


class Outcome(Record):
    """How a run, or all of a session so far, ended; and the source of that claim."""

    id: str = Field(default_factory=new_id)
    status: OutcomeStatus
    #: The way that it came.
    source: OutcomeSource
    #: Whose word it is, by name: a framework, a person, a verifier ("unit-tests"). "" = nobody is named.
    by: Name = Field(default="", max_length=SOURCE_NAME_CHARS)
    #: The most that its source may claim (0 to 1), where the name is registered or revoked; set by the store.
    strength: float | None = Field(default=None, ge=0, le=1)
    reason: str = ""
    #: The run it speaks of; None = the whole session up to here.
    run_id: str | None = None
    #: The last message that had arrived when this was said; set by the store.
    after_seq: int = 0
    created_at: str = Field(default_factory=now)

    @property
    def weight(self) -> float:
        """0 (not to be believed) to 1: that of the way it came, and no more than the strength of its source."""
        usual = OUTCOME_WEIGHTS[self.source]
        return usual if self.strength is None else min(usual, self.strength)


#: In what a conversation differs from what was known under its id.
Change = Literal["messages", "outcome", "principal", "space"]


class Appended(Record):
    """The result of an append: the ids that are kept now, and how many of them are new."""

    session_id: str
    message_ids: tuple[str, ...]
    new: int
    last_seq: int
    #: Of a `replace`: in what the conversation that was known differed, and gave way.
    replaced: tuple[Change, ...] = ()


class TaskData(TypedDict):
    """The description of a task, as the REST API has it."""

    task_description: VisibleText
    progresses: NotRequired[list[VisibleText]]
    user_preferences: NotRequired[list[VisibleText]]
    sop_thinking: NotRequired[VisibleText | None]


class Task(Record):
    """One request of a user, and its outcome."""

    id: str
    session_id: str
    project_id: str
    order: int
    data: TaskData
    status: TaskStatus = "pending"
    is_planning: bool = False
    space_digested: bool = False
    #: The messages it is made of lie from `first_seq` to `last_seq`, both included; 0 = it has none yet.
    first_seq: int = 0
    last_seq: int = 0
    outcome: Outcome | None = None
    created_at: str = Field(default_factory=now)
    updated_at: str = Field(default_factory=now)


class MessageLink(Record):
    """Which task a message belongs to."""

    message_id: str
    task_id: str


class TaskOps(Record):
    """The changes to a session that an observer decided on. Applied in one transaction, or not at all."""

    session_id: str
    #: Tasks to insert, or to replace where the id is known.
    tasks: tuple[Task, ...] = ()
    #: Ids of tasks that are none after all.
    removed: tuple[str, ...] = ()
    #: Which messages go to which task; all others stay where they are. None = a task in `tasks` has all messages from
    #: its first to its last, but for those that another one has.
    links: tuple[MessageLink, ...] | None = None
    #: Messages up to this one have been seen.
    observed_seq: int = 0
    #: Where the next observation starts reading: the first message of the oldest task that may still change.
    resume_seq: int = 1
    #: Whether messages that were there already are left for another observation.
    more: bool = False


# ---------------------------------------------------------------------------------------------- skills


class Space(Record):
    """A named place where sessions teach skills and runs read them."""

    id: str
    project_id: str
    name: Name | None = None
    configs: Json | None = None
    created_at: str = Field(default_factory=now)
    updated_at: str = Field(default_factory=now)


class Block(Record):
    """A folder, a page, a text or a skill (sop) in the tree of a space."""

    id: str
    space_id: str
    type: BlockType
    title: VisibleText
    parent_id: str | None = None
    props: Json = Field(default_factory=dict)
    sort: int = 0
    is_archived: bool = False
    children: list[Block] | None = None
    created_at: str = Field(default_factory=now)
    updated_at: str = Field(default_factory=now)


class Step(Record):
    """One step of a skill: call this tool, like so."""

    tool_name: VisibleText
    action: VisibleText
    #: Seen in this share of the successful runs behind the skill (0 to 1).
    support: float = 1.0


class Evidence(Record):
    """Which messages taught a skill."""

    session_id: str
    task_id: str
    #: The host's own id of the conversation, where it has one.
    session_key: str | None = None
    outcome: OutcomeStatus
    message_ids: tuple[str, ...] = ()
    call_ids: tuple[str, ...] = ()
    #: What these messages gave: "body", "pitfall", "preference", "contrast", "support".
    gave: tuple[str, ...] = ()


class SkillBody(Record):
    """The content of a skill. Two bodies are the same when they have the same `hash`."""

    use_when: VisibleText
    preferences: VisibleText = ""
    tool_sops: tuple[Step, ...] = ()
    #: Names that stand for values of the task at hand, each with where its value comes from.
    variables: dict[VisibleText, VisibleText] = Field(default_factory=dict)
    pitfalls: tuple[VisibleText, ...] = ()
    #: The shortest successful run, values masked: `tool(argument={variable}, ...)` a line.
    trace: tuple[VisibleText, ...] = ()

    @property
    def hash(self) -> str:
        """SHA-256 over the canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Skill(Record):
    """A learned procedure, and when to use it: a block of type sop, at its newest version."""

    id: str
    project_id: str
    space_id: str
    block_id: str
    status: SkillStatus
    origin: Origin
    version: int
    body: SkillBody
    evidence: tuple[Evidence, ...] = ()
    #: The gate's points and why they were given, newest judgement.
    score: float = 0.0
    score_reasons: tuple[str, ...] = ()
    created_at: str = Field(default_factory=now)
    updated_at: str = Field(default_factory=now)

    @property
    def source_ids(self) -> tuple[str, ...]:
        """The conversations it was learned from: the run behind its body first, each once.

        Failures that only gave it a warning stand in `evidence`, not here, unless there is nothing else.
        """
        worked = [e for e in self.evidence if e.outcome != "failed"] or list(self.evidence)
        ordered = sorted(worked, key=lambda e: "body" not in e.gave)
        return tuple(dict.fromkeys(e.session_key or e.session_id for e in ordered))


class MadeBy(Record):
    """The model that worded a version of a skill, and the prompt that it was asked with."""

    model: str
    #: Name and version, `experience_agent@1`.
    prompt: str
    #: How many parts of its answer were left out because nothing proves them, by kind.
    dropped: dict[str, int] = Field(default_factory=dict)


class SkillVersion(Record):
    """One state of a skill. Versions are added, and never changed or removed while the skill exists."""

    skill_id: str
    version: int
    hash: str
    parents: tuple[int, ...] = ()
    status: SkillStatus
    origin: Origin
    body: SkillBody
    evidence: tuple[Evidence, ...] = ()
    score: float = 0.0
    score_reasons: tuple[str, ...] = ()
    reason: str = ""
    #: None where no model had a part in it.
    made_by: MadeBy | None = None
    created_at: str = Field(default_factory=now)


class SearchText(Record):
    """One text under which a skill is found: its own `use_when`, or a masked request of a run behind it."""

    kind: Literal["skill", "request"]
    text: str


class Episode(Record):
    """The abstract of one finished task, from which skills are learned: it holds no raw conversation."""

    task_id: str
    session_id: str
    space_id: str
    body: Json
    created_at: str = Field(default_factory=now)


class SkillEdit(Record):
    """Put a skill into this state: a new version where its content differs, nothing where it does not."""

    skill_id: str
    page: tuple[str, ...] = ("learned",)
    title: VisibleText
    status: SkillStatus
    origin: Origin
    body: SkillBody
    evidence: tuple[Evidence, ...] = ()
    score: float = 0.0
    score_reasons: tuple[str, ...] = ()
    #: Under which texts it is found, besides its own words.
    texts: tuple[SearchText, ...] = ()
    reason: str = ""
    made_by: MadeBy | None = None


class SkillOps(Record):
    """The changes to a space that a learner decided on. Applied in one transaction, or not at all.

    Skills that a human owns or has edited are never changed by it: the store drops such edits and counts them.
    """

    space_id: str
    #: One for each task that was digested now.
    episodes: tuple[Episode, ...] = ()
    edits: tuple[SkillEdit, ...] = ()
    #: Skills that no evidence stands behind any more (merged into another): set to "retired".
    retired: tuple[str, ...] = ()
    #: Tasks that have been looked at, whether or not they taught anything.
    digested: tuple[str, ...] = ()
    #: Tasks that are not there any more as they were learned from: no evidence names them after this, but that of
    #: `edits`.
    gone: tuple[str, ...] = ()
    #: What there is to tell of how this lesson was learned: that the rules did it, because a budget is spent.
    note: str = ""


class Proposal(Record):
    """A new skill, or a new version of one, that waits until a person confirms or rejects it."""

    #: Of exactly this text: what says something else has another id.
    id: str
    #: The skill as it would be.
    skill: Skill
    #: The skill as it is used meanwhile; None where it is new.
    current: Skill | None = None
    reason: str = ""
    #: Skills that are retired when this is confirmed, because it takes their place.
    supersedes: tuple[str, ...] = ()
    created_at: str = Field(default_factory=now)
    updated_at: str = Field(default_factory=now)


class ToolName(Record):
    """A tool that skills of the project call, and how many do."""

    name: str
    sop_count: int


class SearchHit(Record):
    """A text that a query found."""

    skill_id: str
    kind: Literal["skill", "request"]
    text: str
    #: BM25, higher is better.
    score: float


# ----------------------------------------------------------------------------------------------- files


class Blob(NamedTuple):
    """Bytes that a blob store keeps."""

    sha256: str
    size: int


class Asset(Record):
    """A file that came with a message; the message's part names it by its hash."""

    sha256: str
    size: int
    mime: str = "application/octet-stream"
    filename: str | None = None


class Disk(Record):
    """A place for files. Folders exist through the files in them."""

    id: str
    project_id: str
    #: The session whose own disk this is; it goes when the session goes.
    session_id: str | None = None
    created_at: str = Field(default_factory=now)
    updated_at: str = Field(default_factory=now)


class Artifact(Record):
    """A file on a disk: a name for bytes in the blob store."""

    disk_id: str
    #: The folder, with a slash at both ends.
    path: str
    filename: str
    sha256: str
    size: int
    mime: str = "application/octet-stream"
    meta: Json = Field(default_factory=dict)
    created_at: str = Field(default_factory=now)
    updated_at: str = Field(default_factory=now)

    @property
    def full_path(self) -> str:
        """Folder and name: "/notes/todo.md"."""
        return self.path + self.filename


class ArtifactListing(Record):
    """The files directly in a folder, and the names of its folders (without slashes), by name."""

    artifacts: list[Artifact]
    directories: list[str]


# ------------------------------------------------------------------------------------------------ keys


class ApiKey(Record):
    """A key to one project. The key itself is shown once, when it is made: only its keyed hash is kept."""

    id: str = Field(default_factory=new_id)
    project_id: str
    #: What it is for, in a person's words.
    name: Name = ""
    #: Its first characters, to tell it from others.
    hint: str
    hash: str
    created_at: str = Field(default_factory=now)
    revoked_at: str | None = None
