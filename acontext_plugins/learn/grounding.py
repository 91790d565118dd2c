"""Grounding: what a skill may say, given what the user said, what was called, and what tools answered.

A model words skills; this decides which of its words may stay. Three rules, none of which the model can argue with:
a value (a number, an address, a name in quotes ...) stays only if the user named it before any tool did, or if it is
a corroborated constant, and becomes a variable otherwise (T2); twelve characters in a row of a tool's result or of a
system prompt, which are not the user's own, make a text unusable (T1, T7); and so does a text of which hardly a word
was ever said or called (T3).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence

from acontext_store.tokenizer import words
from acontext_store.types import Message

from ..record.redaction.scanner import secrets_in
from ..transcript.tool_calls import TranscriptCall, name_words, phrase, tool_calls
from ..transcript.user_turns import MOST_SPOKEN, own_words, sentences, visible_words
from ..transcript.value_flow import ValueFlow, holds, leaves, normal
from .distil import arguments_of, echoes
from .procedures import origin_of, shorten

#: So many characters in a row of what a tool said are its text; where words are not divided by spaces, so many.
ECHO, DENSE_ECHO = 12, 6
#: The share of a text's telling words that must have been said, or be names of what was called; and the share that
#: may be known from tools alone: who words an instruction that a web page gave uses its words.
GROUNDED, FOREIGN = 0.25, 0.5
#: Characters that telling words are taken from.
_MOST_READ = 200_000
_PLACEHOLDER = re.compile(r"\{\s*([A-Za-z_$][\w$.-]{0,63})\s*\}")
_VARIABLE = re.compile(r"[A-Za-z_$][\w$-]{0,31}")
_JUNK = re.compile(r"[\x00-\x1f\x7f<>`|\\{}\u2028\u2029]+|#{3,}")
_BULLET = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•])\s+")
_QUOTED = re.compile(r"(?<!\w)([\"'“‘«])([^\"'“”‘’«»]{1,120})([\"'”’»])(?!\w)")
_TOKEN = re.compile(r"\S+")
_EDGES = "\"'“”‘’«»()[],.;:!?…"
_SPECIAL = re.compile(r"[\d@\\_#=&%$+~^*/]|[.:](?=\w)")
_STREET = re.compile(
    r"\b\d{1,5}[a-z]?\s+(?:[A-Z][\w'.-]*\s+){1,3}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Boulevard|Blvd|Way"
    r"|Court|Ct|Square|Place|Pl|Terrace|Circle)\b\.?",
)
_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
_SAFE = frozenset(["e.g", "i.e", "etc", "and/or", "n/a", "a/b"])
#: Words of instructions: they tell nothing of where a text comes from.
_GENERIC = frozenset(
    word
    for text in (
        "use call check ask confirm find look search open close read write get set send add pass give provide enter",
        "verify validate wait retry repeat skip stop start begin finish continue proceed return choose pick select",
        "avoid prefer report tell show list create make update change remove delete cancel submit complete apply",
        "user customer agent tool step result response answer request value argument parameter field name number id",
        "error fail failed failure wrong right correct missing needed required first then next last before after",
        "task run case time way thing detail details information data item items page only always never instead",
        "expect expects want wants like need needs must should without with from into each every single new old",
    )
    for word in words(text)
)


class RunEvidence:
    """What one run said and did."""

    def __init__(self, messages: Sequence[Message], calls: Sequence[TranscriptCall] | None = None) -> None:
        self.messages = list(messages)
        #: Every call that was asked for, and those of them that ran.
        self.asked = tool_calls(self.messages) if calls is None else list(calls)
        self.calls = [call for call in self.asked if call.ran]
        self.flow = ValueFlow(self.messages, self.calls)
        unasked = (part.text for message in self.messages for part in message.tool_results if part.text)
        results = self.flow.results.before(len(self.messages) + 1)
        #: Nothing of this is anybody's wish: results of tools, and system prompts.
        self.told = "\0".join([results, self.flow.system, *(normal(text) for text in unasked)])
        self.tools = {call.tool for call in self.calls}
        self.parameters = {leaf.parameter for call in self.calls for leaf in leaves(call.arguments)}
        self.own = "\0".join(self._own("user"))
        #: Telling words: of the user; of all that was said or called; of tools and system prompts.
        self.spoken = set(words(self.own[:_MOST_READ]))
        self.words = self.spoken | self._words()
        self.foreign = set(words(self.told[:_MOST_READ]))

    def _own(self, role: str) -> Iterable[str]:
        """The sentences of the user, or of the agent, that repeat nothing of what a tool had said before."""
        for at, message in enumerate(self.messages):
            if message.role == role:
                earlier = self.flow.results.before(at)
                text = own_words(message.text) if role == "user" else visible_words(message.text)
                for sentence in sentences(text[:20_000]):
                    if not echoes(sentence, earlier, ECHO):
                        yield normal(sentence)

    def _words(self) -> set[str]:
        spoken = self._own("assistant")
        named = [phrase(name) for name in (*self.tools, *self.parameters)]
        used = [
            str(leaf.value)[:500]
            for call in self.calls
            for leaf in leaves(call.arguments)
            if self.flow.source(leaf.value, call.at).kind != "tool"
        ]
        return {word for text in (*spoken, *named, *used) for word in words(text[:_MOST_READ])}

    def quotes(self, message_id: str, quote: str) -> bool:
        """Whether the user said this in that message, in these words, and not after a tool."""
        wanted = normal(quote).strip(_EDGES)
        for at, message in enumerate(self.messages):
            if message.id != message_id or message.role != "user":
                continue
            text = own_words(message.text)
            own = len(wanted) >= 4 and len(text) <= MOST_SPOKEN and wanted in normal(text)
            return own and not echoes(wanted, self.flow.results.before(at), ECHO)
        return False


class Grounding:
    """What a text may say that is learned from these runs.

    `constants` = values that separate principals agree on; `personal` = e-mail addresses and the like may stay where
    the user gave them; `known` = what a skill said already, and so may say again.
    """

    def __init__(
        self,
        runs: Sequence[RunEvidence],
        *,
        constants: Collection[str] = (),
        personal: bool = False,
        known: Iterable[str] = (),
    ) -> None:
        self._runs = list(runs)
        self._constants = {normal(value) for value in constants}
        self._personal = personal
        self._known = "\0".join(normal(text) for text in known)
        self.tools = set().union(*(run.tools for run in runs))
        self.parameters = set().union(*(run.parameters for run in runs))
        self._words = set().union(*(run.words for run in runs), words(self._known))
        self._spoken = set().union(*(run.spoken for run in runs))
        self._foreign = set().union(*(run.foreign for run in runs))
        self._declared: dict[str, str] = {}
        self._named = {word for name in (*self.tools, *self.parameters) for word in name_words(name)}
        names = sorted((*self.tools, *self.parameters), key=lambda name: (-len(name), name))
        self._names = _any_of(names)
        self._values, self._arguments = self._arguments_of_calls()
        #: How many values have been hidden so far.
        self.masked = 0

    def text(self, said: str, limit: int, *, share: float = GROUNDED, spoken: bool = False) -> str | None:
        """`said` as it may be stored: values masked, at most `limit` characters; None where it may not.

        `share` of its telling words must be known; with `spoken`, from what the user said.
        """
        plain = _plain(said)
        masked = self._masked(plain)
        left = _PLACEHOLDER.sub(" ", masked)
        if not any(char.isalpha() for char in left) or self.echoes(masked):
            return None
        return shorten(masked, limit) if self._is_grounded(left, share, spoken) else None

    def echoes(self, text: str) -> bool:
        """Whether it holds a piece of what a tool or a system prompt said, and the user did not."""
        bare = normal(self._names.sub("\1", text) if self._names else text)
        length = DENSE_ECHO if _DENSE.search(bare) else ECHO
        half = length // 2
        # Each window of that length holds one of these halves as a whole: most texts are done after looking for them.
        for start in range(0, len(bare) - half + 1, length - half + 1):
            piece = bare[start : start + half]
            if any(piece in run.told for run in self._runs):
                windows = range(max(0, start - length + half), min(start, len(bare) - length) + 1)
                if any(self._is_told(bare[at : at + length]) for at in windows):
                    return True
        return False

    def _is_told(self, window: str) -> bool:
        told = any(window in run.told for run in self._runs)
        return told and window not in self._known and not any(window in run.own for run in self._runs)

    def is_users(self, value: str) -> bool:
        """Whether a user named it before any tool did, or a skill says it already."""
        named = normal(value)
        return bool(named) and (any(run.flow.is_users(value) for run in self._runs) or holds(self._known, named))

    def declare(self, name: str, source: str) -> bool:
        """Let texts name this variable, whose value comes from the user or from that tool's result."""
        known = source if source in self.tools else ("user" if source.strip().lower() == "user" else "")
        if not known or not _VARIABLE.fullmatch(name) or any(char.isdigit() for char in name):
            return False
        spoken = " ".join(name_words(name))
        if name not in self.parameters and self.text(spoken, 40) != spoken:
            return False
        self._declared[name] = known
        return True

    def source_of(self, name: str) -> str | None:
        """In words where a variable's value comes from; None where it is none."""
        before, _, base = name.rpartition(".")
        source = before or self._declared.get(base) or self._sources().get(base)
        if source is None:
            return None
        return {"user": "said by the user", "config": "the agent's own settings", "": "up to the agent"}.get(
            source, f"from the result of {source}"
        )

    def _sources(self) -> dict[str, str]:
        """Where the values of each parameter came from: "user", a tool, "config", or ""."""
        found: dict[str, str] = {}
        for run in self._runs:
            for call in run.calls:
                for parameter, sources in arguments_of(call, run.flow).items():
                    found[parameter] = found.get(parameter) or origin_of(sources, call.tool)
        return found

    def variable(self, name: str) -> str | None:
        """A variable's name as it may stand in a text: a parameter's, by itself or after where it comes from."""
        before, _, base = name.strip("{} ").rpartition(".")
        if base not in self._declared and not (_VARIABLE.fullmatch(base) and base in self.parameters):
            return None
        return f"{before}.{base}" if before == "user" or before in self.tools else base

    def _is_grounded(self, text: str, share: float, spoken: bool) -> bool:
        known = self._spoken if spoken else self._words
        telling = [word for word in words(text) if word not in _GENERIC]
        if sum(word in known for word in telling) < share * len(telling):
            return False
        return sum(word in self._foreign and word not in self._words for word in telling) <= FOREIGN * len(telling)

    # -- values

    def _masked(self, text: str) -> str:
        """Values as `{parameter}`, or `{...}` of their kind."""
        text = _PLACEHOLDER.sub(self._placeholder, text)
        for hide in (self._hide_personal, self._hide_arguments, self._hide_quoted, self._hide_tokens):
            text = _outside(text, hide)
        return re.sub(r"\s+", " ", text).strip()

    def _placeholder(self, found: re.Match[str]) -> str:
        name = self.variable(found.group(1))
        self.masked += name is None
        return "{" + (name or "value") + "}"

    def _hide_personal(self, text: str) -> str:
        if self._personal:
            return text
        pieces, last = [], 0
        for span in secrets_in(text, pii=True):
            pieces += [text[last : span.start], "{" + span.kind.replace("-", "_") + "}"]
            last = span.end
            self.masked += 1
        return _STREET.sub("{address}", "".join([*pieces, text[last:]]))

    def _arguments_of_calls(self) -> tuple[dict[str, str], re.Pattern[str] | None]:
        """Values that calls were given and that are no constants, each with its parameter."""
        found: dict[str, str] = {}
        for run in self._runs:
            for call in run.asked:
                for leaf in (*leaves(call.arguments), *leaves(call.asked or {})):
                    value = str(leaf.value).strip("#'\" ")
                    name = normal(value)
                    if isinstance(leaf.value, bool) or not 2 <= len(name) <= 200 or name in found:
                        continue
                    if not self._may_stay(value):
                        found[name] = leaf.parameter
        return found, _any_of(sorted(found, key=lambda value: (-len(value), value))[:300])

    def _may_stay(self, value: str) -> bool:
        """Whether an argument is no value of the task at hand: a constant, or a plain word of the user's."""
        if normal(value) in self._constants or (self._personal and self.is_users(value)):
            return True
        if value.replace(" ", "").isalpha() and all(word in _GENERIC for word in words(value)):
            return True
        pieces = name_words(value)
        if all(piece in self._named for piece in pieces) and not any(char.isdigit() for char in value):
            return True
        plain = value == value.lower() and " " not in value and not any(c.isdigit() or c == "@" for c in value)
        return plain and self.is_users(value)

    def _hide_arguments(self, text: str) -> str:
        if self._arguments is None:
            return text

        def hide(found: re.Match[str]) -> str:
            self.masked += 1
            return "{" + self._values.get(normal(found.group()).lstrip("#"), "value") + "}"

        return self._arguments.sub(hide, text)

    def _hide_quoted(self, text: str) -> str:
        def hide(found: re.Match[str]) -> str:
            inside = found.group(2).strip()
            if self._is_known(inside):
                return found.group()
            self.masked += 1
            return "{value}"

        return _QUOTED.sub(hide, text)

    def _is_known(self, value: str) -> bool:
        return (
            value in self.tools
            or value in self.parameters
            or normal(value) in self._constants
            or normal(value).strip(_EDGES) in _SAFE
            or self.is_users(value)
        )

    def _hide_tokens(self, text: str) -> str:
        begins = True
        pieces, last = [], 0
        for found in _TOKEN.finditer(text):
            pieces.append(text[last : found.start()])
            pieces.append(self._token(found.group(), begins))
            begins = found.group()[-1] in ".!?:"
            last = found.end()
        return "".join([*pieces, text[last:]])

    def _token(self, token: str, begins: bool) -> str:
        bare = token.strip(_EDGES).removesuffix("()")
        if not bare or self._is_known(bare):
            return token
        if _SPECIAL.search(bare):
            return self._special(token, bare)
        marked = "-" in bare or any(char.isupper() for char in bare)
        if not marked or (begins and normal(bare) in self._spoken_words(bare)):
            return token
        if any(run.flow.is_told(bare) for run in self._runs) and not self.is_users(bare):
            return self._hidden(token, bare)
        return token

    def _spoken_words(self, bare: str) -> Collection[str]:
        """The word, where it is one that begins sentences: known, or told by nothing."""
        stems = words(bare)
        return [normal(bare)] if all(stem in self._words or stem in _GENERIC for stem in stems) else ()

    def _special(self, token: str, bare: str) -> str:
        name, equals, value = bare.partition("=")
        if equals and name in self.parameters:
            return token if not value or self._is_known(value) else self._hidden(token, bare, f"{name}={{{name}}}")
        parts = re.split(r"[/]", bare)
        if len(parts) > 1 and all(part.isalpha() for part in parts):
            told = any(run.flow.is_told(part) for run in self._runs for part in parts)
            return self._hidden(token, bare) if told else token
        return self._hidden(token, bare)

    def _hidden(self, token: str, bare: str, instead: str = "") -> str:
        self.masked += 1
        return token.replace(bare, instead or "{" + _kind_of(bare) + "}", 1)


def _kind_of(value: str) -> str:
    if "@" in value:
        return "email"
    if "://" in value or value.lower().startswith("www."):
        return "url"
    digits = any(char.isdigit() for char in value)
    return ("id" if any(char.isalpha() for char in value) else "number") if digits else "value"


def _plain(text: str) -> str:
    """One line without anything that could be taken for markup; variables in single braces."""
    text = visible_words(text).replace("{{", "{").replace("}}", "}")
    kept = _outside(text, lambda piece: _JUNK.sub(" ", piece))
    return _BULLET.sub("", re.sub(r"\s+", " ", kept)).strip()


def _outside(text: str, change: Callable[[str], str]) -> str:
    """`change` of all that stands between placeholders."""
    pieces, last = [], 0
    for found in _PLACEHOLDER.finditer(text):
        pieces += [change(text[last : found.start()]), found.group()]
        last = found.end()
    return "".join([*pieces, change(text[last:])])


def _any_of(forms: Sequence[str]) -> re.Pattern[str] | None:
    """A pattern for any of these, as words of their own; the first that fits counts."""
    if not forms:
        return None
    return re.compile("|".join(rf"(?<!\w)#?{re.escape(form)}(?!\w)" for form in forms), re.IGNORECASE)


def placeholders(text: str) -> list[str]:
    """Names of the variables in a text."""
    return [found.group(1) for found in _PLACEHOLDER.finditer(text)]
