"""`acontext sources`: by whose word runs went well, how much each may claim, and what goes with one that was wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import click

from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_store.errors import NotFound
from acontext_store.outcome_sources import (
    NamedSource,
    Revocation,
    SkillFate,
    WaitsFor,
    WithdrawnLesson,
    WithdrawnVerdict,
)

from .common import database_options, emit, json_option, opened, say

T = TypeVar("T")
#: Seconds for which another process may keep the database locked.
_PATIENCE = 60.0
#: What a person is shown of a list; --json has all of it.
_SHOWN = 50
_HEADS: dict[SkillFate, str] = {
    "retired": "retired: nothing else stands behind it",
    "changed": "changed: learned anew from what is left",
    "kept": "kept: other evidence supports it",
    "a person's": "left as it is: a person wrote or changed it",
    "waiting": "waiting: not learned anew yet",
}
_WHY: dict[WaitsFor, str] = {
    "model": "a model observes and learns here, in the background or at the next flush",
    "time": "the time ran out; run it again",
    "failure": "it failed, or another process is at it; see `acontext doctor`, then run it again",
}


@click.group()
def sources() -> None:
    """By whose word runs went well: verifiers, persons and frameworks, by name."""


@sources.command("list")
@json_option
@database_options
def list_sources(as_json: bool, url: str | None, project: str | None) -> None:
    """The sources that are registered, or have given an outcome."""
    with opened(url, project) as embedded:
        found = embedded.loop.run(embedded.engine.outcome_sources())
    for source in found:
        if as_json:
            emit(source.model_dump())
    if not as_json:
        _show(found)


@sources.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="The most that its word weighs: 0 is nothing, 1 as much as a report of the host.",
)
@click.option("--note", metavar="TEXT", help="What it is, for people.")
@json_option
@database_options
def register(name: str, strength: float, note: str | None, as_json: bool, url: str | None, project: str | None) -> None:
    """Set what outcomes of NAME may claim from now on, also where it was revoked."""
    with opened(url, project) as embedded:
        source = embedded.loop.run(embedded.engine.register_outcome_source(name, strength=strength, note=note))
    if as_json:
        emit(source.model_dump())
    else:
        say(f"acontext: outcomes of {source.name!r} weigh at most {source.strength:g} from now on")


@sources.command()
@click.argument("name", metavar="NAME")
@json_option
@database_options
@click.pass_context
def revoke(ctx: click.Context, name: str, as_json: bool, url: str | None, project: str | None) -> None:
    """Believe nothing of NAME, withdraw what rested on it alone, and list what that was.

    Run it again to see what has become of it. Exit code 1 where something is still to be done anew.
    """
    with opened(url, project, patience=_PATIENCE) as embedded:
        found = embedded.loop.run(_revoked(embedded, name))
    if as_json:
        for task in found.tasks:
            emit({"event": "task", **task.model_dump()})
        for skill in found.skills:
            emit({"event": "skill", **skill.model_dump()})
        emit({"event": "done", **found.model_dump(exclude={"tasks", "skills"})})
    else:
        _tell(found)
    ctx.exit(0 if found.settled else 1)


async def _revoked(embedded: EmbeddedEngine, name: str) -> Revocation:
    try:
        return await embedded.engine.revoke_outcome_source(name)
    except NotFound:
        known = [repr(source.name) for source in await embedded.engine.outcome_sources()]
        say(f"acontext: sources with a name: {', '.join(known[:20]) or 'none'}")
        raise


def _show(found: Iterable[NamedSource]) -> None:
    rows = [(one.name, _strength(one), f"{one.outcomes:,}", one.note) for one in found]
    if not rows:
        say('acontext: no outcome has a source with a name yet: report("success", by="unit-tests")')
        return
    rows.insert(0, ("source", "strength", "outcomes", "note"))
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    for name, strength, count, note in rows:
        line = f"{name.ljust(widths[0])}  {strength.ljust(widths[1])}  {count.rjust(widths[2])}  {note}"
        click.echo(line.rstrip())


def _strength(source: NamedSource) -> str:
    if source.revoked_at is not None:
        return f"revoked {source.revoked_at[:10]}"
    return "not registered" if source.strength is None else f"{source.strength:g}"


def _tell(found: Revocation) -> None:
    _section(f"{_count(found.tasks, 'task')} judged otherwise", found.tasks, _task_line)
    for fate, head in _HEADS.items():
        skills = [skill for skill in found.skills if skill.fate == fate]
        _section(f"{_count(skills, 'skill')} {head}", skills, _skill_line)
    source = found.source
    said = f"acontext: {source.name!r} is revoked: none of its outcomes ({source.outcomes:,}) counts"
    say(said if found.tasks or not found.settled else f"{said}; nothing rested on it")
    if found.waits_for is not None:
        what = [_count(found.waiting_sessions, "session"), _count(found.waiting_spaces, "space")]
        say(f"acontext: {' and '.join(what)} to be done anew: {_WHY[found.waits_for]}")


def _section(head: str, items: Sequence[T], line: Callable[[T], str]) -> None:
    if items:
        click.echo(head)
        for item in items[:_SHOWN]:
            click.echo(f"  {line(item)}")
        if len(items) > _SHOWN:
            click.echo(f"  ... and {len(items) - _SHOWN:,} more (--json shows all)")


def _task_line(task: WithdrawnVerdict) -> str:
    after = task.after or "to be observed"
    now = f" (by {task.now_by})" if task.now_by else ""
    words = " ".join(task.description.split())
    return f"{task.before} -> {after}{now}  {task.session_key or task.session_id}  {words[:80] or task.task_id}"


def _skill_line(skill: WithdrawnLesson) -> str:
    status = skill.before if skill.before == skill.after else f"{skill.before} -> {skill.after}"
    version = f"version {skill.before_version}"
    if skill.after_version != skill.before_version:
        version += f" -> {skill.after_version}"
    behind = f", {_count(range(skill.support), 'success', 'successes')} behind it" if skill.support else ""
    return f"{skill.use_when}  {status}, {version}{behind}  {skill.skill_id}"


def _count(items: Iterable[object], one: str, many: str = "") -> str:
    number = len(list(items))
    return f"{number:,} {one if number == 1 else many or one + 's'}"
