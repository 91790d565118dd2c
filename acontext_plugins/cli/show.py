"""`acontext skills`, `search`, `tasks`: what was learned, what would be injected, what was observed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import click

from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.service import CallInfo, RecallQuery
from acontext_store.types import ACTIVE, Session, Skill, SkillStatus, Task

from .common import database_options, emit, json_option, opened, say, space_option


def skill_line(skill: Skill) -> dict[str, Any]:
    """A skill as `acontext skills --json` prints it."""
    return {
        "id": skill.id,
        "use_when": skill.body.use_when,
        "preferences": skill.body.preferences,
        "tool_sops": [{"tool_name": step.tool_name, "action": step.action} for step in skill.body.tool_sops],
        "status": skill.status,
        "version": skill.version,
        "origin": skill.origin,
        "source_ids": list(skill.source_ids),
        "pitfalls": list(skill.body.pitfalls),
        "trace": list(skill.body.trace),
        "score": skill.score,
        "score_reasons": list(skill.score_reasons),
    }


@click.command()
@space_option
@click.option("--all", "everything", is_flag=True, help="Candidates, stale and retired ones too.")
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice(get_args(SkillStatus)), help="Only these; repeat for more."
)
@json_option
@database_options
def skills(
    space: str,
    everything: bool,
    statuses: tuple[SkillStatus, ...],
    as_json: bool,
    url: str | None,
    project: str | None,
) -> None:
    """Show what a space has learned."""
    if everything and statuses:
        raise click.UsageError("give --all, or --status")
    wanted = None if everything else statuses or ACTIVE

    async def read(embedded: EmbeddedEngine) -> list[Skill]:
        found = await embedded.engine.find_space(space)
        return await embedded.engine.store.skills(found.id, statuses=wanted)

    with opened(url, project) as embedded:
        found = embedded.loop.run(read(embedded))
    if as_json:
        for skill in found:
            emit(skill_line(skill))
        return
    if not found:
        kind = "" if wanted is None else " or ".join(wanted) + " "
        say(f"no {kind}skills in {space!r}" + ("" if everything else "; see also --all"))
    for skill in found:
        click.echo(f"\n{skill.body.use_when}")
        click.echo(f"  {skill.status}, version {skill.version}, by {skill.origin}, score {skill.score:g}  {skill.id}")
        if skill.body.preferences:
            click.echo(f"  prefer: {skill.body.preferences}")
        for number, step in enumerate(skill.body.tool_sops, 1):
            click.echo(f"  {number}. {step.tool_name}: {step.action}")
        for pitfall in skill.body.pitfalls:
            click.echo(f"  avoid: {pitfall}")
        sources = skill.source_ids
        click.echo(f"  taught by: {_names(sources)}")
        warned = [e.session_key or e.session_id for e in skill.evidence if "pitfall" in e.gave]
        if others := [name for name in dict.fromkeys(warned) if name not in sources]:
            click.echo(f"  warned by: {_names(others)}")


def _names(keys: Sequence[str]) -> str:
    """The first five, and how many more there are."""
    return ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")


def _queries(file: Any) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            yield str(row["query_id"]), str(row["query"])
        except (ValueError, KeyError, TypeError) as error:
            kind = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise click.ClickException(
                f'{file.name}:{number}: not a query ({kind}); a line is {{"query_id": ..., "query": ...}}'
            ) from None


@click.command()
@click.argument("query", required=False)
@space_option
@click.option(
    "--queries",
    type=click.File("r", encoding="utf-8", errors="replace"),
    metavar="FILE",
    help='Many: lines of {"query_id", "query"}; - is stdin.',
)
@click.option("--limit", default=5, show_default=True, type=click.IntRange(1, 50), help="Skills a query.")
@click.option("--budget", default=400, show_default=True, help="Tokens (characters / 4) of the injected text.")
@click.option("--inject", "inject_limit", default=3, show_default=True, help="Skills that may be injected at once.")
@click.option("--trace", is_flag=True, help="Add the shortest successful run, values masked.")
@click.option("--tool", "tools", multiple=True, metavar="NAME", help="A tool that the run has; repeat for more.")
@json_option
@database_options
def search(
    query: str | None,
    space: str,
    queries: Any,
    limit: int,
    budget: int,
    inject_limit: int,
    trace: bool,
    tools: tuple[str, ...],
    as_json: bool,
    url: str | None,
    project: str | None,
) -> None:
    """Show which skills fit QUERY, and the exact text that would enter the prompt."""
    if (query is None) == (queries is None):
        raise click.UsageError("give a QUERY, or --queries FILE")
    asked = [("", query)] if query is not None else _queries(queries)

    async def find(embedded: EmbeddedEngine, text: str) -> tuple[list[Skill], str]:
        found = await embedded.engine.find_space(space)
        best = await embedded.engine.find_skills(found.id, text, limit=limit, tools=tools or None)
        recall = await embedded.engine.recall(
            RecallQuery(
                space=space,
                text=text,
                tools=tools or None,
                limit=min(limit, inject_limit),
                token_budget=budget,
                with_trace=trace,
                log=False,
            )
        )
        return [skill for skill, _ in best], recall.text

    with opened(url, project) as embedded:
        embedded.loop.run(embedded.engine.find_space(space))
        for query_id, text in asked:
            best, injected = embedded.loop.run(find(embedded, text))
            if as_json:
                emit({"query_id": query_id, "skills": [skill.id for skill in best], "injected": injected})
                continue
            if query_id:
                click.echo(f"\n[{query_id}] {text[:100]}")
            for number, skill in enumerate(best, 1):
                click.echo(f"{number}. {skill.body.use_when}  {skill.id}")
            click.echo(f"\n{injected}" if injected else "nothing fits: nothing would be injected")
    sys.stdout.flush()


@click.command()
@click.option("--space", metavar="NAME", help="Only sessions of this space.")
@click.option("--session", "session_id", metavar="ID", help="Only this session (id, or the host's own key).")
@json_option
@database_options
def tasks(space: str | None, session_id: str | None, as_json: bool, url: str | None, project: str | None) -> None:
    """Show what was asked of the agent, and what became of it."""
    with opened(url, project) as embedded:
        for session, found in _sessions(embedded, space, session_id):
            for task in found:
                if as_json:
                    emit(_task_line(session, task))
                else:
                    _show(session, task)


@click.command()
@click.argument("session_id", metavar="SESSION")
@json_option
@database_options
def calls(session_id: str, as_json: bool, url: str | None, project: str | None) -> None:
    """Show what became of each tool call of a session: executed, with what, or why it was not.

    SESSION is an id, or the host's own key. "assumed" = nobody tells; it is read from the result.
    """
    with opened(url, project) as embedded:
        run = embedded.loop.run
        session = run(embedded.engine.find_session(session_id))
        for call in run(embedded.engine.calls(session.id)):
            if as_json:
                emit(call.model_dump(mode="json"))
            else:
                click.echo(_call_line(call))


def _call_line(call: CallInfo) -> str:
    line = f"{call.tool} {json.dumps(call.arguments, ensure_ascii=False)}: {call.fate}"
    if call.by:
        line += f" by {call.by}"
    if call.ran_arguments is not None:
        line += f" as {call.ran_tool} {json.dumps(call.ran_arguments, ensure_ascii=False)}"
    if call.edited_by:
        line += f", edited by {call.edited_by}"
    if call.failed and call.fate != "failed":
        line += ", says that it failed"
    if call.assumed:
        line += " (assumed)"
    return line + (f": {call.reason}" if call.reason else "")


def _sessions(
    embedded: EmbeddedEngine, space: str | None, session_id: str | None
) -> Iterator[tuple[Session, list[Task]]]:
    engine, run = embedded.engine, embedded.loop.run
    if session_id is not None:
        session = run(engine.find_session(session_id))
        yield session, run(engine.all_tasks(session.id))
        return
    space_id = run(engine.find_space(space)).id if space else None
    cursor: str | None = None
    while True:
        page = run(engine.sessions(space_id=space_id, limit=200, cursor=cursor))
        for session in page.items:
            yield session, run(engine.all_tasks(session.id))
        if not page.has_more:
            return
        cursor = page.next_cursor


def _task_line(session: Session, task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "session_id": task.session_id,
        "session_key": session.key,
        "order": task.order,
        "status": task.status,
        "data": task.data,
        "outcome": task.outcome.model_dump(mode="json") if task.outcome else None,
        "space_digested": task.space_digested,
        "first_seq": task.first_seq,
        "last_seq": task.last_seq,
    }


def _show(session: Session, task: Task) -> None:
    click.echo(f"\n{session.key or session.id}  task #{task.order}: {task.data['task_description']}")
    outcome = task.outcome
    by = f" by {outcome.by}" if outcome and outcome.by else ""
    why = f" ({outcome.source}{by}: {outcome.reason or outcome.status})" if outcome else ""
    click.echo(f"  {task.status}{why}")
    for progress in task.data.get("progresses", []):
        click.echo(f"  - {progress}")
    for preference in task.data.get("user_preferences", []):
        click.echo(f"  prefers: {preference}")
