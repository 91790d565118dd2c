"""Recall: what a run asks for before its model is called, and what it is given."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from acontext_store.records import ValidTexts
from acontext_store.types import Skill

#: Where skills go: behind the agent's instructions, or into the newest user turn. "catalog": a line of each behind the
#: instructions, and the rest behind a tool that the agent may call.
InjectAs = Literal["system", "user", "catalog"]

#: The anchor of what stands behind the agent's instructions.
HEAD = ""
#: The anchor of what is given as one text to a caller that places it itself.
WHOLE = "*"


@dataclass(frozen=True, slots=True)
class ShownTurns:
    """The turns of the user that a request shows, by name, oldest first: skills may stand behind any of them.

    A name is the same for the same turn in each request of a conversation, in every process.
    """

    names: tuple[str, ...] = ()
    #: The request shows nothing but turns of the user: as far as it goes, the conversation begins with it.
    opens: bool = False
    #: The provider has the turns before these, with the skills that stand behind them.
    held: bool = False


@dataclass(frozen=True, slots=True)
class SkillsBlock:
    """Skills as text, and where it stands: behind the turn of that name, or behind the instructions (`HEAD`)."""

    anchor: str
    text: str


@dataclass(frozen=True, slots=True)
class RecallQuery(ValidTexts):
    """A search for skills before a run: the request of the user, and the tools that the run has."""

    space: str
    text: str
    #: Names of the tools the run has; None = unknown, so do not filter.
    tools: Collection[str] | None = None
    limit: int = 3
    #: Tokens (characters / 4) that all skills of the conversation may have together.
    token_budget: int = 400
    #: Add the shortest successful run, values masked.
    with_trace: bool = False
    session_key: str | None = None
    #: The user whose session that is, where the host tells.
    principal: str | None = None
    run_id: str | None = None
    #: Keep a row of what was injected; off for a look from outside of any run.
    log: bool = True
    #: Seconds that the caller waits for the answer.
    deadline: float = 0.3
    #: Where skills may stand; None = the caller places one text itself.
    shown: ShownTurns | None = None
    #: What is called the place behind the instructions: agents that share a session may each have their own. None =
    #: nothing can stand there.
    head: str | None = HEAD
    #: A line of each skill instead of all of it.
    catalog: bool = False

    _texts = ("space", "text", "session_key", "principal")


@dataclass(frozen=True, slots=True)
class Recall:
    """The skills that the model is shown in this conversation, and their text ("" where nothing fits)."""

    text: str = ""
    #: Those shown earlier in the conversation first.
    skills: tuple[Skill, ...] = ()
    #: How well they fit what is asked now; 0 for those that are shown since earlier.
    scores: tuple[float, ...] = field(default=())
    #: The text in pieces, each with its place.
    blocks: tuple[SkillsBlock, ...] = ()
