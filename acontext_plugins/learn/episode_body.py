"""EpisodeBody: what an episode says. The store keeps it as JSON that it does not read; learning reads it here alone."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ConfigDict, Field

from acontext_store.types import Record

VERSION = 1


class _Part(Record):
    """Fields of other versions are no error: who reads has no use for them, and who writes back keeps them."""

    model_config = ConfigDict(extra="allow")


class EpisodeStep(_Part):
    """Executed calls of one tool in a row, or a look-up and its repeats."""

    tool: str
    #: Whether it changed something.
    write: bool = False
    #: Where the value of each parameter came from: "user", ">tool", "config", "free" or "=constant".
    args: dict[str, list[str]] = Field(default_factory=dict)
    #: How many calls.
    n: int = 1
    calls: list[str] = Field(default_factory=list)
    messages: list[str] = Field(default_factory=list)

    def renamed(self, names: Mapping[str, str]) -> EpisodeStep:
        args = {parameter: [_renamed_source(mark, names) for mark in marks] for parameter, marks in self.args.items()}
        return self.model_copy(update={"tool": names.get(self.tool, self.tool), "args": args})


class EpisodePitfall(_Part):
    """A call that failed, and what worked instead: other arguments of the same tool, or another tool.

    Or a call that a person did not let run as it was asked for: what they changed, or that they refused it.
    """

    tool: str
    #: Who did not let it run so: "person"; "" = it failed.
    by: str = ""
    refused: bool = False
    #: The values that the person set, by parameter, where they are short: they await corroboration, as constants do.
    given: dict[str, str] = Field(default_factory=dict)
    #: The person's words, with the values of the task masked.
    said: str = ""
    #: Names of parameters.
    changed: list[str] = Field(default_factory=list)
    added: list[str] = Field(default_factory=list)
    removed: list[str] = Field(default_factory=list)
    #: The other tool; "" = the same tool.
    instead: str = ""
    #: How the values that worked differ in kind, by parameter.
    how: dict[str, str] = Field(default_factory=dict)
    messages: list[str] = Field(default_factory=list)
    calls: list[str] = Field(default_factory=list)

    def renamed(self, names: Mapping[str, str]) -> EpisodePitfall:
        update = {"tool": names.get(self.tool, self.tool), "instead": names.get(self.instead, self.instead)}
        return self.model_copy(update=update)


class HeardMessages(_Part):
    """The ids of the messages in which users asked, corrected, and said what they prefer."""

    request: list[str] = Field(default_factory=list)
    correction: list[str] = Field(default_factory=list)
    preference: list[str] = Field(default_factory=list)


class EpisodeBody(_Part):
    """One finished task, abstracted. Nothing of any tool result, no raw argument; users' values are masked.

    Every field may be missing, so that what earlier versions wrote is read. What is dumped for the store are the fields
    that were given.
    """

    v: int = VERSION
    #: How the task ended, by whose word, and how far that is believed (0 to 1).
    status: str = ""
    source: str = ""
    weight: float = 0.0
    #: The session's key, who spoke, and to whom.
    key: str | None = None
    principal: str | None = None
    agent: str | None = None
    #: Its first and its last message by number; and the stretches without a gap, where there are several.
    span: tuple[int, int] = (0, 0)
    pieces: list[tuple[int, int]] = Field(default_factory=list)
    steps: list[EpisodeStep] = Field(default_factory=list)
    #: Tools in the order of use, calls that failed left out.
    tools: list[str] = Field(default_factory=list)
    pitfalls: list[EpisodePitfall] = Field(default_factory=list)
    #: Tools of ways that were given up.
    abandoned: list[str] = Field(default_factory=list)
    #: Users' words: each part of the request, all of them, and what they corrected, taught and wished.
    request: list[str] = Field(default_factory=list)
    said: str = ""
    corrections: list[str] = Field(default_factory=list)
    teachings: list[str] = Field(default_factory=list)
    wishes: list[str] = Field(default_factory=list)
    heard: HeardMessages = Field(default_factory=HeardMessages)

    def renamed(self, names: Mapping[str, str]) -> EpisodeBody:
        """With tools renamed, old name -> new name."""
        return self.model_copy(
            update={
                "steps": [step.renamed(names) for step in self.steps],
                "tools": [names.get(tool, tool) for tool in self.tools],
                "pitfalls": [pitfall.renamed(names) for pitfall in self.pitfalls],
                "abandoned": [names.get(tool, tool) for tool in self.abandoned],
            }
        )


def _renamed_source(mark: str, names: Mapping[str, str]) -> str:
    return f">{names.get(mark[1:], mark[1:])}" if mark.startswith(">") else mark
