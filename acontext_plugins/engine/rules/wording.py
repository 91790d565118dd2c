"""Wording: how a skill is put into few words. Every name in it was executed; every other word was a user's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from acontext_store.types import Json, Step

from .templates import Run
from .toolnames import phrase

USE_WHEN_CHARS = 150
ACTION_CHARS = 110
REQUEST_CHARS = 80
_GREETING = re.compile(
    r"^(?:(?:hi|hello|hey|dear|good (?:morning|afternoon|evening)|context|question|please)\b[\s,.!:;]*(?:there"
    r"|team)?[\s,.!:;]*)+",
    re.IGNORECASE,
)
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


def title_of(run: Run) -> str:
    names = run.writes or tuple(dict.fromkeys(step["tool"] for step in run.steps))
    return shorten(", ".join(phrase(name) for name in names), 80)


def use_when_of(body: Run, runs: Sequence[Run]) -> str:
    """What is done, as the tools name it, and how a user has asked for it."""
    names = body.writes or tuple(dict.fromkeys(step["tool"] for step in body.steps))
    done = shorten(", ".join(dict.fromkeys(phrase(name) for name in names)), USE_WHEN_CHARS - REQUEST_CHARS)
    asked = typical_request(body, runs)
    return f"{done}: {shorten(asked, USE_WHEN_CHARS - len(done) - 2)}" if asked else done


def typical_request(body: Run, runs: Sequence[Run]) -> str:
    """The request of the run behind the body."""
    for run in (body, *runs):
        parts = [tidy(part) for part in run.words("request")]
        parts = [part for part in parts if len(part) >= 8]
        if parts:
            return parts[0]
    return ""


def steps_of(body: Run, successes: Sequence[Run], literals: Mapping[tuple[str, str], str]) -> tuple[Step, ...]:
    """The body's steps, each with the share of successes that took it."""
    seen = Counter(tool for run in successes for tool in {step["tool"] for step in run.steps})
    total = len(successes)
    return tuple(
        Step(
            tool_name=step["tool"],
            action=action_of(step, literals),
            support=round(seen[step["tool"]] / total, 3),
        )
        for step in body.steps
    )


def action_of(step: Json, literals: Mapping[tuple[str, str], str]) -> str:
    """Which arguments, and where each comes from."""
    by_source: dict[str, list[str]] = {}
    fixed: list[str] = []
    for parameter, sources in step["args"].items():
        literal = literals.get((step["tool"], parameter))
        if literal is not None:
            fixed.append(f"{parameter}={literal}")
            continue
        by_source.setdefault(origin_of(sources, step["tool"]), []).append(parameter)
    parts = []
    for origin, parameters in by_source.items():
        names = ", ".join(parameters)
        parts.append(f"{names} from {origin}" if origin else names)
    parts.extend(fixed)
    text = "; ".join(parts) or "call"
    if step["n"] > 1:
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


def trace_of(body: Run, literals: Mapping[tuple[str, str], str]) -> tuple[str, ...]:
    """The shortest success, values masked: one line a step."""
    lines = []
    for step in body.steps:
        arguments = ", ".join(
            f"{parameter}={literals.get((step['tool'], parameter)) or '{' + _variable(parameter, sources, step['tool']) + '}'}"
            for parameter, sources in step["args"].items()
        )
        lines.append(f"{step['tool']}({arguments})")
    return tuple(lines[:40])


def variables_of(body: Run, literals: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """Each variable of the trace with where its value comes from."""
    found: dict[str, str] = {}
    for step in body.steps:
        for parameter, sources in step["args"].items():
            if (step["tool"], parameter) in literals:
                continue
            origin = origin_of(sources, step["tool"])
            found.setdefault(
                _variable(parameter, sources, step["tool"]),
                {"user": "said by the user", "config": "the agent's own settings", "": "up to the agent"}.get(
                    origin, f"from the result of {origin}"
                ),
            )
    return dict(list(found.items())[:60])


def _variable(parameter: str, sources: Sequence[str], tool: str) -> str:
    origin = origin_of(sources, tool)
    return f"{origin}.{parameter}" if origin else parameter
