"""Distil: one finished task -> one episode, which holds nothing of any tool result and no raw argument.

An episode is compact JSON. Steps are executed calls; each argument is reduced to where its value came from. Users'
words stay, with the values they named masked and without anything that a tool had said before them (T1, T2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from acontext_store.types import Episode, StoredMessage

from ..concurrency.background import yield_gil
from ..protocols import FinishedTask
from ..transcript.tool_calls import TranscriptCall, tool_calls
from ..transcript.user_turns import TurnReader, sentences, standing_wishes, turn_of, visible_words
from ..transcript.user_turns import corrections as corrections_in
from ..transcript.value_flow import Cleaned, Pitfall, ValueFlow, clean, leaves, normal
from .episode_body import VERSION, EpisodeBody, EpisodePitfall, EpisodeStep, HeardMessages

REQUEST_CHARS = 400
SAID_CHARS = 1400
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(r"\b(?:https?://|www\.)\S+", re.IGNORECASE)
_TOKEN = re.compile(r"(?<![\w{])#?[\w./:+-]{3,}(?![\w}])")
_DIGIT = re.compile(r"\d")
_BRACES = re.compile(r"\{[\w$.-]{0,40}\}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]|#{3}[A-Z]+#{3}")
_PARAMETER = re.compile(r"[A-Za-z_$][\w$.-]{0,31}")
#: Words shared with an earlier tool result, this long and in a row, are not the user's own.
_ECHO_CHARS = 24


def distil(finished: FinishedTask, *, space_id: str) -> Episode:
    """What `finished` leaves for the learner."""
    messages = list(finished.messages)
    asked = tool_calls(messages)
    calls = [call for call in asked if call.ran]
    cleaned = clean(asked, messages)
    flow = ValueFlow(messages, calls)
    task, session = finished.task, finished.session
    outcome = task.outcome
    heard = _heard(messages, asked, flow)
    body = EpisodeBody(
        v=VERSION,
        status=task.status,
        source=outcome.source if outcome else "tool",
        weight=outcome.weight if outcome else 0.5,
        key=session.key,
        principal=session.principal,
        agent=session.agent,
        span=(task.first_seq, task.last_seq),
        pieces=_pieces(messages),
        steps=_steps(cleaned, flow),
        tools=_order([call for call in calls if not call.is_error]),
        pitfalls=[_pitfall(pitfall, heard.mask, flow) for pitfall in cleaned.pitfalls],
        abandoned=list(cleaned.abandoned),
        request=[part[:REQUEST_CHARS] for part in heard.request[:12]],
        said=_BRACES.sub(" ", " ".join(heard.said))[:SAID_CHARS],
        corrections=heard.corrections[:6],
        teachings=list(heard.teachings)[:8],
        wishes=list(heard.wishes)[:8],
        heard=HeardMessages(
            request=list(heard.asked)[:20],
            correction=list(heard.corrected)[:20],
            preference=list(heard.preferred)[:20],
        ),
    )
    return Episode(
        task_id=task.id,
        session_id=session.id,
        space_id=space_id,
        body=body.model_dump(exclude_unset=True),
        created_at=task.updated_at,
    )


def _pieces(messages: Sequence[StoredMessage]) -> list[tuple[int, int]]:
    """From which message to which the task goes without a gap; one piece is no news. (A model's tasks take turns.)"""
    found: list[tuple[int, int]] = []
    for message in messages:
        if found and message.seq == found[-1][1] + 1:
            found[-1] = (found[-1][0], message.seq)
        else:
            found.append((message.seq, message.seq))
    return found if len(found) > 1 else []


@dataclass(slots=True)
class _StepDraft:
    """A step to which calls are still added."""

    tool: str
    write: bool
    args: dict[str, list[str]]
    n: int = 0
    calls: dict[str, None] = field(default_factory=dict)
    messages: dict[str, None] = field(default_factory=dict)


def _steps(cleaned: Cleaned, flow: ValueFlow) -> list[EpisodeStep]:
    """Executed calls in order: runs of one tool are one step, and so are a look-up and its later repeats."""
    steps: list[_StepDraft] = []
    looked_up: dict[str, _StepDraft] = {}
    for call in cleaned.calls:
        yield_gil()
        write = call.index in cleaned.writes
        arguments = arguments_of(call, flow)
        step = steps[-1] if steps and steps[-1].tool == call.tool else None
        if step is None and not write:
            step = looked_up.get(call.tool)
        if step is None:
            step = _StepDraft(call.tool, write, arguments)
            steps.append(step)
            if not write:
                looked_up[call.tool] = step
        else:
            for parameter, sources in arguments.items():
                known = step.args.setdefault(parameter, [])
                known.extend(source for source in sources if source not in known)
        step.n += 1
        if call.call_id and len(call.call_id) <= 80:
            step.calls[call.call_id] = None
        step.messages[call.message_id] = None
    return [
        EpisodeStep(
            tool=step.tool,
            write=step.write,
            args=step.args,
            n=step.n,
            calls=list(step.calls)[:20],
            messages=list(step.messages)[:20],
        )
        for step in steps
    ]


def arguments_of(call: TranscriptCall, flow: ValueFlow) -> dict[str, list[str]]:
    """`parameter -> sources`: "user", ">tool", "config", "free" or "=constant" that awaits corroboration."""
    found: dict[str, list[str]] = {}
    for leaf in leaves(call.arguments):
        source = flow.source(leaf.value, call.at)
        if source.kind == "tool":
            mark = f">{source.tool}"
        elif source.kind == "literal":
            mark = f"={source.literal}" if not leaf.nested else "free"
        else:
            mark = source.kind
        sources = found.setdefault(leaf.parameter, [])
        if mark not in sources and len(sources) < 6:
            sources.append(mark)
    return found


def _order(calls: Sequence[TranscriptCall]) -> list[str]:
    """Tools in order of use, runs collapsed."""
    order: list[str] = []
    for call in calls:
        if not order or order[-1] != call.tool:
            order.append(call.tool)
    return order[:200]


def _pitfall(pitfall: Pitfall, mask: Mask, flow: ValueFlow) -> EpisodePitfall:
    def names(parameters: Sequence[str]) -> list[str]:
        return [name for name in parameters if _PARAMETER.fullmatch(name)][:6]

    persons: dict[str, Any] = {}
    if pitfall.by:
        given = {name: flow.source(value, pitfall.at) for name, value in pitfall.given if _PARAMETER.fullmatch(name)}
        persons = {
            "by": pitfall.by,
            "refused": pitfall.refused,
            "given": {name: source.literal for name, source in given.items() if source.kind == "literal"},
            "said": mask(_CONTROL.sub(" ", visible_words(pitfall.said)))[:160],
        }
    return EpisodePitfall(
        **persons,
        tool=pitfall.tool,
        changed=names(pitfall.changed),
        added=names(pitfall.added),
        removed=names(pitfall.removed),
        instead=pitfall.instead,
        how={name: words for name, words in pitfall.how if _PARAMETER.fullmatch(name)},
        messages=list(pitfall.message_ids),
        calls=[call_id for call_id in pitfall.call_ids if call_id and len(call_id) <= 80],
    )


# ------------------------------------------------------------------------------------------ users' words


@dataclass(slots=True)
class _Heard:
    """What users said, and the messages in which they asked, corrected, and told what they prefer."""

    mask: Mask
    request: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    corrections: list[str] = field(default_factory=list)
    teachings: dict[str, None] = field(default_factory=dict)
    wishes: dict[str, None] = field(default_factory=dict)
    asked: dict[str, None] = field(default_factory=dict)
    corrected: dict[str, None] = field(default_factory=dict)
    preferred: dict[str, None] = field(default_factory=dict)


def _heard(messages: Sequence[StoredMessage], calls: Sequence[TranscriptCall], flow: ValueFlow) -> _Heard:
    """The request, all that users said, their corrections, teachings and wishes."""
    mask = Mask(_user_values(calls, flow))
    told = flow.results
    first_result = next((at for at, text in told.texts if text), len(messages))
    heard = _Heard(mask)
    reader = TurnReader()
    for at, message in enumerate(messages):
        yield_gil()
        if message.role == "assistant":
            reader.agent(message)
            continue
        if message.role != "user":
            continue
        turn = turn_of(message.text)
        text = _CONTROL.sub(" ", turn.asked).strip()
        if not text:
            continue
        kind, acted = (reader.user(text) if turn.own else "request"), reader.acted
        earlier = told.before(at)
        own = [s for s in sentences(text[:20_000]) if not echoes(s, earlier, _ECHO_CHARS)]
        masked = mask(" ".join(own))
        if kind in ("request", "doubt") or (not heard.request and (at < first_result or not acted)):
            heard.request.append(masked)
            heard.asked[message.id] = None
        if kind not in ("thanks", "confirmation"):
            heard.said.append(masked)
        if kind == "correction" and acted:
            wrong = [s for s in corrections_in(text) if not echoes(s, earlier, 12)]
            if wrong:
                heard.corrections.extend(mask(s)[:160] for s in wrong)
                heard.corrected[message.id] = None
        for sentence, taught in standing_wishes(turn.own):
            if not echoes(sentence, earlier, 12):
                (heard.teachings if taught else heard.wishes)[mask(sentence)[:200]] = None
                heard.preferred[message.id] = None
    return heard


def _user_values(calls: Sequence[TranscriptCall], flow: ValueFlow) -> dict[str, str]:
    """The values that the user named and a call used, longest first, each with the parameter it went into."""
    found: dict[str, str] = {}
    for call in calls:
        for leaf in (*leaves(call.arguments), *leaves(call.asked or {})):
            text = str(leaf.value).strip()
            if 2 <= len(text) <= 200 and not isinstance(leaf.value, bool) and text.casefold() not in found:
                found[text.casefold()] = leaf.parameter
    return dict(sorted(found.items(), key=lambda item: (-len(item[0]), item[0])))


class Mask:
    """Hides values: as `{parameter}`, and every address, link and number-like mark as `{...}` of its kind."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._known: dict[str, str] = {}
        for value, parameter in values.items():
            for form in {value, value.strip("#'\" ")}:
                if len(form) >= 2:
                    self._known.setdefault(form, parameter)
        forms = sorted(self._known, key=lambda form: (-len(form), form))[:300]
        pattern = "|".join(rf"(?<!\w){re.escape(form)}(?!\w)" for form in forms)
        self._pattern = re.compile(pattern, re.IGNORECASE) if forms else None

    def __call__(self, text: str) -> str:
        if self._pattern is not None:
            text = self._pattern.sub(lambda match: "{" + self._known.get(match.group().casefold(), "value") + "}", text)
        text = _EMAIL.sub("{email}", _URL.sub("{url}", text))
        text = _TOKEN.sub(lambda match: "{id}" if _DIGIT.search(match.group()) else match.group(), text)
        return re.sub(r"\s+", " ", text).strip()


def echoes(sentence: str, results: str, length: int) -> bool:
    """Whether the sentence repeats `length` characters in a row of earlier tool results."""
    text = normal(sentence)
    if len(text) < length or not results:
        return False
    starts = (
        range(len(text) - length + 1)
        if length <= 12
        else [match.start() for match in re.finditer(r"\b\w", text) if match.start() + length <= len(text)]
    )
    return any(window in results for window in {text[start : start + length] for start in starts})
