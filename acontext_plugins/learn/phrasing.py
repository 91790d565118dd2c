"""Phrasing: how a skill is put into few words. Every name in it was executed; every other word was a user's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from acontext_store.tokenizer import words
from acontext_store.types import Step

from ..transcript.tool_calls import phrase
from ..transcript.user_turns import sentences
from .episode_body import EpisodeStep
from .templates import EpisodeRun

USE_WHEN_CHARS = 125
ACTION_CHARS = 90
TRACE_CHARS = 240
MOST_STEPS = 40
MOST_VARIABLES = 60
REQUEST_CHARS = 70
#: Of how many runs the requests are read.
READ_RUNS = 40
_GREETING = re.compile(
    r"^(?:(?:hi|hello|hey|dear|good (?:morning|afternoon|evening)|context|question|please)\b[\s,.!:;]*(?:there"
    r"|team)?[\s,.!:;]*)+",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"\?\s*$|\b(?:i(?:['’]d| would| want| need| wish)|(?:can|could|would) you|please|help|need to|what|how|which)\b",
    re.IGNORECASE,
)
#: Data rather than speech.
_MARKUP = re.compile(r"[\[\]\"=<>/\\_*#]|(?<=\w)\(|\{\s|: \{")
_JUNK = re.compile(r"[<>`|\\]+")


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, cut between words."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    space = cut.rfind(" ")
    return (cut[:space] if space > limit // 2 else cut).rstrip(" ,.;:-{") + "…"


def tidy(text: str) -> str:
    """A user's words as one plain line: no greeting, nothing that could be taken for markup."""
    text = _JUNK.sub(" ", text)
    text = re.sub(r"\s+", " ", text).strip()
    return _GREETING.sub("", text).strip() or text


def title_of(run: EpisodeRun) -> str:
    names = run.writes or tuple(dict.fromkeys(step.tool for step in run.steps))
    return shorten(", ".join(phrase(name) for name in names), 80)


def use_when_of(body: EpisodeRun, runs: Sequence[EpisodeRun]) -> str:
    """What is done, as the tools name it, and how a user has asked for it."""
    names = body.writes or tuple(dict.fromkeys(step.tool for step in body.steps))
    done = shorten(", ".join(dict.fromkeys(phrase(name) for name in names)), USE_WHEN_CHARS - REQUEST_CHARS)
    asked = typical_request(body, runs)
    return f"{done}: {shorten(asked, USE_WHEN_CHARS - len(done) - 2)}" if asked else done


def typical_request(body: EpisodeRun, runs: Sequence[EpisodeRun]) -> str:
    """The sentence, of all that asked for this, that names the tools best and is most like what the others said."""
    asked = [body, *(run for run in runs if run.task_id != body.task_id)][:READ_RUNS]
    spoken_of = {word for name in (body.writes or body.tools) for word in words(phrase(name))}
    shared = Counter(word for run in asked for word in {*words(" ".join(run.body.request))})
    best, chosen = float("-inf"), ""
    for run in asked:
        heard = (s for part in run.body.request for s in sentences(tidy(part)))
        for place, sentence in enumerate(heard):
            if len(sentence) < 8 or len(_MARKUP.findall(sentence)) > 0.04 * len(sentence):
                continue
            worth = _plainness(sentence, spoken_of, shared, len(asked)) - 0.1 * min(place, 10)
            if worth > best:
                best, chosen = worth, sentence
    return chosen


def _plainness(sentence: str, spoken_of: set[str], shared: Mapping[str, int], runs: int) -> float:
    """How much a sentence sounds like the request for these tools."""
    said = set(words(sentence))
    overlap = len(spoken_of & said)
    typical = sum(shared.get(word, 0) for word in said) / (runs * (len(said) + 1))
    asked = 1.0 if _ASKING.search(sentence) else 0.0
    return overlap + 2 * typical + asked - 0.5 * min(2, sentence.count("{")) - (1.0 if len(sentence) < 20 else 0.0)


def steps_of(
    body: EpisodeRun, successes: Sequence[EpisodeRun], literals: Mapping[tuple[str, str], str]
) -> tuple[Step, ...]:
    """The body's steps, each with the share of successes that took it."""
    seen = Counter(tool for run in successes for tool in {step.tool for step in run.steps})
    total = len(successes)
    return tuple(
        Step(
            tool_name=step.tool,
            action=action_of(step, literals),
            support=round(seen[step.tool] / total, 3),
        )
        for step in body.steps[:MOST_STEPS]
    )


def action_of(step: EpisodeStep, literals: Mapping[tuple[str, str], str]) -> str:
    """Which arguments, and where each comes from."""
    by_source: dict[str, list[str]] = {}
    fixed: list[str] = []
    for parameter, sources in step.args.items():
        literal = literals.get((step.tool, parameter))
        if literal is not None:
            fixed.append(f"{parameter}={literal}")
            continue
        by_source.setdefault(origin_of(sources, step.tool), []).append(parameter)
    parts = []
    for origin, parameters in by_source.items():
        names = ", ".join(parameters)
        parts.append(f"{names} from {origin}" if origin else names)
    parts.extend(fixed)
    text = "; ".join(parts) or "call"
    if step.n > 1:
        text = f"each: {text}"
    return shorten(text, ACTION_CHARS)


def origin_of(sources: Sequence[str], tool: str) -> str:
    """In words where a value comes from: "" = nothing is known."""
    tools = [source[1:] for source in sources if source.startswith(">") and source[1:] != tool]
    if tools:
        return tools[0]
    if "user" in sources:
        return "user"
    return "config" if "config" in sources else ""


def trace_of(body: EpisodeRun, literals: Mapping[tuple[str, str], str]) -> tuple[str, ...]:
    """The shortest success, values masked: one line a step."""
    lines = []
    for step in body.steps[:MOST_STEPS]:
        arguments = ", ".join(
            f"{parameter}={literals.get((step.tool, parameter)) or _slot(parameter, sources, step.tool)}"
            for parameter, sources in step.args.items()
        )
        lines.append(shorten(f"{step.tool}({arguments})", TRACE_CHARS))
    return tuple(lines)


def variables_of(body: EpisodeRun, literals: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """Each variable of the trace with where its value comes from."""
    found: dict[str, str] = {}
    for step in body.steps:
        for parameter, sources in step.args.items():
            if (step.tool, parameter) in literals:
                continue
            origin = origin_of(sources, step.tool)
            found.setdefault(
                _variable(parameter, sources, step.tool),
                {"user": "said by the user", "config": "the agent's own settings", "": "up to the agent"}.get(
                    origin, f"from the result of {origin}"
                ),
            )
    return dict(list(found.items())[:MOST_VARIABLES])


def _slot(parameter: str, sources: Sequence[str], tool: str) -> str:
    return "{" + _variable(parameter, sources, tool) + "}"


def _variable(parameter: str, sources: Sequence[str], tool: str) -> str:
    origin = origin_of(sources, tool)
    return f"{origin}.{parameter}" if origin else parameter
