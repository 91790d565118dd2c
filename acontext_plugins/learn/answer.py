"""The shape of the experience agent's answer. What of it may be stored is decided in `validation`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

Relation = Literal["new", "merge", "supersede", "nothing"]


class StepAnswer(BaseModel):
    """A step, and the executed call that it comes from."""

    call: str = Field(description="id of the executed call, like c3")
    tool_name: str = Field(description="exactly as it was called")
    action: str = Field(description="what to do with it, with {variables} for values of the task at hand")


class PreferenceAnswer(BaseModel):
    """What the user wants beyond this task, and where they said so."""

    text: str
    message: str = Field(description="id of the user's message, like m3")
    quote: str = Field(description="the user's words in that message, verbatim")


class PitfallAnswer(BaseModel):
    """A wrong way and its correction."""

    text: str
    messages: list[str] = Field(description="ids of the messages that show it")
    call: str = Field("", description="id of the call it is about, if any")


class VariableAnswer(BaseModel):
    """A name that stands for a value of the task at hand."""

    name: str = Field(description="the argument's name")
    source: str = Field(description='"user", or the name of the tool whose result holds the value')


class ScoreAnswer(BaseModel):
    """A rule of the project that applies."""

    rule: int = Field(description="number of the rule")
    message: str = Field(description="id of a user's or an assistant's message that shows it")
    quote: str = Field(description="words of that message, verbatim")


class ExperienceAnswer(BaseModel):
    """One thing learned, and where it goes."""

    runs: list[str] = Field(description="ids of the runs it was learned from, like r1")
    relation: Relation
    skill: str = Field("", description="id of the existing skill for merge, supersede and nothing, like s2")
    reason: str = Field("", description="for supersede: why the existing skill no longer holds")
    use_when: str = Field("", description="3 to 8 words with the concrete condition")
    preferences: list[PreferenceAnswer] = []
    tool_sops: list[StepAnswer] = []
    pitfalls: list[PitfallAnswer] = []
    variables: list[VariableAnswer] = []
    place: str = Field("", description="path of the page: page, or folder/page")


class Learned(BaseModel):
    """All that these runs teach."""

    experiences: list[ExperienceAnswer]
    scores: list[ScoreAnswer] = []
