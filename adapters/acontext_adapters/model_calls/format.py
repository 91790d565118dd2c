"""Format: what a format of model calls has in common with the others. All of it is pure: JSON in, JSON or nouns out."""

from __future__ import annotations

import abc
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from acontext_plugins.transcript.user_turns import strip_injected
from acontext_store.types import CallFate, Json, Message, Part

from ..shared.resent_history import Item, item

_MARKER = "<acontext-skills"
#: Longer texts that are no words (images as data URLs) are known by their length and their ends.
_DATA = 16_384

AnswerStatus = Literal["success", "failed", "cancelled", "unknown", "calls", "open"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One item of a request or an answer: its fingerprint, its JSON, and the ids of the calls it makes or answers."""

    item: Item
    blob: Json
    call_ids: tuple[str, ...] = ()
    #: Which item of the request's list it is, or is part of.
    place: int = 0
    #: It is kept with what the model said around it, and says nothing by which a history could be known.
    silent: bool = False


class WireCall(NamedTuple):
    """A call as its JSON has it: of a model's answer, or of the history that a host sends again."""

    id: str
    name: str
    #: As text or as an object; a text that is no JSON is compared as it is.
    arguments: str | Json


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What a model answered, and what that means for the turn.

    `calls`: it waits for results. `open`: it is not there yet (a response in the background). `unknown`: it was cut
    off. The rest as in an outcome.
    """

    status: AnswerStatus
    reason: str = ""
    pieces: tuple[Piece, ...] = ()
    #: The calls that the host has to answer.
    call_ids: tuple[str, ...] = ()
    #: The provider's id of the response.
    id: str = ""
    #: Other choices, a piece each: the host may go on with one of them instead.
    others: tuple[Piece, ...] = ()
    #: What became of calls that the provider has run itself.
    fates: tuple[CallFate, ...] = ()


class Assembler(Protocol):
    """Puts a streamed answer together, an event at a time."""

    #: The events said that the answer is complete (or has failed).
    finished: bool

    def feed(self, event: Json) -> None: ...

    @property
    def response(self) -> Json:
        """What there is so far, as the response would have it that is not streamed."""


class WireFormat(abc.ABC):
    """A format of requests and answers."""

    name: str

    @abc.abstractmethod
    def pieces(self, body: Json) -> list[Piece]:
        """The history that a request carries, in order."""

    @abc.abstractmethod
    def query(self, body: Json) -> str:
        """The newest words of the user."""

    @abc.abstractmethod
    def tools(self, body: Json) -> list[str] | None:
        """The names of the tools that the model has; None where the request does not say them all."""

    def with_skills(self, body: Json, head: str, behind: Mapping[int, str]) -> Json:
        """The request with `head` after the host's own instructions, and these texts at the ends of items of its list.

        What is given is not changed; it is given back as it is where there is nothing to add, or our text is behind the
        instructions already.
        """
        if self.is_marked(body):
            return body
        changed = body
        for place, text in behind.items():
            changed = self.with_text(changed, place, text)
        return self.with_head(changed, head) if head else changed

    @abc.abstractmethod
    def is_marked(self, body: Json) -> bool:
        """Whether our text is behind the host's instructions already."""

    @abc.abstractmethod
    def with_head(self, body: Json, text: str) -> Json:
        """The request with `text` after the host's own instructions."""

    @abc.abstractmethod
    def with_text(self, body: Json, place: int, text: str) -> Json:
        """The request with `text` at the end of an item of its list, unless ours stands in there already."""

    @abc.abstractmethod
    def answer(self, response: Json, body: Json) -> ModelAnswer:
        """What the response to this request means."""

    @abc.abstractmethod
    def messages(self, blobs: Sequence[Json]) -> list[list[Message]]:
        """The pieces of a request or an answer as messages: a list for each piece, empty where one before holds it.

        Raises nothing: what cannot be converted is left out.
        """

    @abc.abstractmethod
    def assembler(self) -> Assembler: ...

    @abc.abstractmethod
    def calls(self, piece: Piece) -> list[WireCall]:
        """The calls that this item makes, and the host answers."""

    @abc.abstractmethod
    def result(self, piece: Piece) -> tuple[str, bool]:
        """The text of an item that is a result, and whether it says itself that the call failed."""

    def told(self, piece: Piece) -> list[CallFate]:
        """What an item of a request tells of calls that the provider runs: that a person refuses one."""
        return []

    def after(self, body: Json) -> str | None:
        """None: the request carries the whole history. Else the id of what it goes on from ("" where not said)."""
        return None

    def session_key(self, body: Json) -> str | None:
        """The conversation's name, where the request says it in a field that is meant for it."""
        metadata = body.get("metadata")
        if isinstance(metadata, Mapping):
            for name in ("session_id", "conversation_id", "thread_id"):
                value = metadata.get(name)
                if isinstance(value, str) and value:
                    return value
        return None


# -------------------------------------------------------------------------------- what formats share


def words(content: Any) -> str:
    """What a content says, for its fingerprint: the same for a text and a list that holds only it."""
    if isinstance(content, str):
        return _plain(content)
    if not isinstance(content, list):
        return ""
    texts = (_print(part) if (text := text_of(part)) is None else _plain(text) for part in content)
    return "\n".join(filter(None, texts))


def text_of(part: Any) -> str | None:
    """The text of one part of a content; None where it is none."""
    if isinstance(part, str):
        return part
    if isinstance(part, dict):
        for name in ("text", "refusal"):
            value = part.get(name)
            if isinstance(value, str):
                return value
    return None


def spoken(content: Any) -> str:
    """The words of a content, for a search."""
    if isinstance(content, str):
        return strip_injected(content)
    parts = content if isinstance(content, list) else []
    return strip_injected("\n".join(text for part in parts if (text := text_of(part))))


def _plain(text: str) -> str:
    return (strip_injected(text) if _MARKER in text else text).strip()


def _print(value: Any) -> str:
    """A short text for a part that is no words."""
    state = hashlib.blake2b(digest_size=12)
    _feed(state, value)
    return f"\x00{state.hexdigest()}"


def _feed(state: Any, value: Any) -> None:
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            if key != "cache_control":
                state.update(str(key).encode("utf-8", "replace") + b"\x1e")
                _feed(state, value[key])
    elif isinstance(value, list | tuple):
        for inner in value:
            _feed(state, inner)
    elif isinstance(value, str):
        if len(value) > _DATA:
            value = f"{len(value)}:{value[:4096]}:{value[-4096:]}"
        state.update(value.encode("utf-8", "surrogatepass") + b"\x1f")
    else:
        state.update(json.dumps(value, default=str).encode() + b"\x1f")


def said(kind: Literal["user", "model"], content: Any) -> Item:
    """The item for words of the user or the model."""
    return item(kind, words(content))


def marked(content: Any) -> bool:
    """Whether our text stands in it already."""
    if isinstance(content, str):
        return _MARKER in content
    return isinstance(content, list) and any(_MARKER in (text_of(part) or "") for part in content)


def appended(content: Any, text: str, kind: str = "text") -> Any:
    """A content with `text` at its end."""
    if isinstance(content, list):
        return [*content, {"type": kind, "text": text}]
    return f"{content}\n\n{text}" if content else text


def with_text_in(items: Any, place: int, text: str, kind: str = "text") -> Any:
    """A list of messages with `text` at the end of one of them; the same list where our text stands there already."""
    if not isinstance(items, list) or not place < len(items) or not isinstance(items[place], dict):
        return items
    content = items[place].get("content")
    if marked(content):
        return items
    changed = {**items[place], "content": appended(content, text, kind)}
    return [*items[:place], changed, *items[place + 1 :]]


def objects(value: Any) -> list[tuple[int, Json]]:
    """The objects of a list, each with its position; none where it is no list."""
    return [(at, one) for at, one in enumerate(value) if isinstance(one, dict)] if isinstance(value, list) else []


def without_injected(message: Message) -> Message:
    """A message without the text that we had put into it."""
    if not any(part.text and "acontext-skills" in part.text.lower() for part in message.parts):
        return message
    parts = tuple(_stripped(part) for part in message.parts)
    kept = tuple(part for part, before in zip(parts, message.parts, strict=True) if part.text or not before.text)
    return message.model_copy(update={"parts": kept or parts[:1], "native": None})


def _stripped(part: Part) -> Part:
    return part.model_copy(update={"text": strip_injected(part.text)}) if part.text else part


def text_at(value: Any, name: str) -> str:
    """A field that is a text; "" where it is anything else."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def error_of(response: Json) -> str | None:
    """What a response says that went wrong; None where it says nothing."""
    error = response.get("error")
    if not error:
        return None
    kind = text_at(error, "code") or text_at(error, "type") or "error"
    return f"{kind}: {text_at(error, 'message')}" if isinstance(error, dict) else f"error: {error}"


def dicts(value: Any) -> list[Json]:
    """The objects of a list; none where it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
