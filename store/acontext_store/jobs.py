"""Work in the background, and how far it has come."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .records import Record, now

LaneKind = Literal["observe", "learn", "embed"]


class Claim(Record):
    """A lease on the due work of one session or one space."""

    kind: LaneKind
    key: str
    owner: str
    #: Fencing token: grows with each claim; what is written under an older one is refused.
    token: int
    #: How often this work has failed since it was last done.
    attempts: int = 0
    #: How often a service that it needs did not answer.
    outages: int = 0
    #: The Unix time (seconds) of the first failure or outage since it was last done.
    failing_since: float | None = None


class Lane(Record):
    """The due work of one session (kind "observe") or one space (kinds "learn" and "embed")."""

    kind: LaneKind
    key: str
    #: Unix seconds.
    due_at: float
    owner: str | None = None
    lease_until: float = 0.0
    token: int = 0
    #: How often the work has failed since it was last done.
    attempts: int = 0
    #: How often a service that it needs did not answer.
    outages: int = 0
    #: The Unix time (seconds) of the first failure or outage since it was last done.
    failing_since: float | None = None
    last_error: str | None = None
    dead_at: float | None = None
    #: A remark about how the work was last done.
    note: str | None = None
    #: Nothing is to be done: the lane is listed for its note only.
    idle: bool = False
    #: The space of that session, or that space.
    space_id: str | None = None

    @property
    def failing(self) -> bool:
        """Whether it failed, or could not be tried, since it was last done."""
        return self.attempts > 0 or self.outages > 0

    @property
    def reason(self) -> str:
        """The last line of the last error."""
        lines = (self.last_error or "").strip().splitlines()
        return lines[-1] if lines else "no reason kept"


class LearningStatus(Record):
    """How far the finished tasks of a session have been learned from. Each is counted once, but for failed ones."""

    #: Learned from; what they taught, if anything, is decided.
    space_digested_count: int
    #: Not looked at yet.
    not_space_digested_count: int
    #: Looked at, and what they taught waits for a person.
    waiting_count: int = 0
    #: Those of `not_space_digested_count` that are not looked at any more until they are retried.
    failed_count: int = 0
    #: Why learning from this session does not go on; "" where it does.
    errmsg: str = ""


class ObservingStatus(Record):
    """How far the observer has come in a session, in messages."""

    observed: int
    in_process: int
    pending: int
    #: Those of `pending` that are not looked at any more until they are retried.
    failed: int = 0
    updated_at: str = Field(default_factory=now)


class StoreStats(Record):
    """Counts of what the store holds, for `acontext doctor`."""

    schema_version: str
    sessions: int
    messages: int
    tasks: int
    spaces: int
    skills: dict[str, int]
    lanes_due: int
    lanes_dead: int
    injections: int
    bytes: int
