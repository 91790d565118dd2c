"""What the task agent is asked for: the shape of its answer. What of it is applied is decided in `reconcile`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator


class InsertTask(BaseModel):
    """A task that the agent has taken on, or has planned."""

    task: str = Field(description="a new id of your own: n1, n2, ...")
    after: str = Field("", description='id of the task after which it comes in the plan; "start"; "" = at the end')
    description: str = Field(description="what is to be done, in one sentence")
    cites: list[str] = Field(description="ids of the messages that it comes from")


class LinkMessages(BaseModel):
    """Messages in which a task was worked on or talked about."""

    task: str
    messages: list[str] = Field(description="ids of new messages; a message belongs to one task at most")


class UpdateTask(BaseModel):
    """What has become of a task, or another description of it."""

    task: str
    status: Literal["pending", "running", "success", "failed"] | None = None
    description: str | None = None
    cites: list[str] = Field(description="ids of the messages that show it")
    quote: str = Field("", description="words of one of these messages that show it, verbatim; or nothing")


class NoteProgress(BaseModel):
    """A step that was done, in the first person, with concrete values."""

    task: str
    note: str
    cites: list[str] = Field(description="ids of the messages that show it")


class NotePreference(BaseModel):
    """What the user wants of how a task is done, or tells about themselves that it needs."""

    task: str
    preference: str = Field(description='"user expects ...", "user wants ..."')
    cites: list[str] = Field(description="ids of the user's messages that say so")
    quote: str = Field(description="the user's own words, verbatim")


class TaskAnswer(BaseModel):
    """All that is to be done after these messages."""

    planning: list[str] = Field(default=[], description="ids of new messages that only plan, or collect requirements")
    insert: list[InsertTask] = []
    link: list[LinkMessages] = []
    update: list[UpdateTask] = []
    progress: list[NoteProgress] = []
    preferences: list[NotePreference] = []

    @model_validator(mode="before")
    @classmethod
    def _says_something(cls, given: Any) -> Any:
        if isinstance(given, dict) and not given.keys() & cls.model_fields.keys():
            raise ValueError(f"none of {', '.join(cls.model_fields)} is there; give an empty list for an empty field")
        return given
