"""What was asked of models, and what that took: one row for each call, and sums of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .types import Record, new_id, now

#: What a call is for: telling tasks, distilling skills, searching, or making vectors.
ModelJob = Literal["observe", "learn", "search", "embed"]
#: What sums may be told apart by. Days are those of UTC.
CostBy = Literal["space", "session", "job", "model", "prompt", "day"]
#: The fields of a `Cost` that hold them.
COST_FIELDS: dict[CostBy, str] = {
    "space": "space_id",
    "session": "session_id",
    "job": "job",
    "model": "model",
    "prompt": "prompt",
    "day": "day",
}
COST_BY: tuple[CostBy, ...] = tuple(COST_FIELDS)


class ModelCall(Record):
    """One call of a model, answered or not. The row holds no text of the request or the answer."""

    id: str = Field(default_factory=new_id)
    job: ModelJob
    space_id: str | None = None
    session_id: str | None = None
    #: Name and version of the prompt, `task_agent@1`.
    prompt: str = ""
    model: str
    prompt_tokens: int = Field(0, ge=0)
    completion_tokens: int = Field(0, ge=0)
    #: Those of the prompt's tokens that the provider had cached.
    cached_tokens: int = Field(0, ge=0)
    #: US dollars; None = the price is not known.
    cost: float | None = Field(None, ge=0, allow_inf_nan=False)
    #: Seconds, waiting and trying again included.
    duration: float = Field(0.0, ge=0, allow_inf_nan=False)
    #: The code of the error that it ended with; "" = it was answered.
    error: str = ""
    created_at: str = Field(default_factory=now)


class Cost(Record):
    """A sum over model calls. Of the fields from `space_id` to `day`, those are set by which the sums are split."""

    #: None also for calls on behalf of no space.
    space_id: str | None = None
    session_id: str | None = None
    job: ModelJob | None = None
    model: str | None = None
    prompt: str | None = None
    #: 2026-01-31, in UTC.
    day: str | None = None
    calls: int = 0
    #: Those of the calls that were not answered.
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    #: US dollars, of the calls whose price is known.
    cost: float = 0.0
    #: Answered calls whose price is not known.
    unpriced: int = 0
    #: Seconds.
    duration: float = 0.0

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers together."""
        return self.prompt_tokens + self.completion_tokens
