"""`acontext learn`: conversations from files into a space, and skills out of them."""

from __future__ import annotations

import shlex
from collections import Counter, deque
from collections.abc import Iterator

import click

from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.formats.jsonl import Conversation, ConversationReader, LineError
from acontext_plugins.record.redaction import Redactor
from acontext_plugins.service import SessionRef
from acontext_store.errors import AcontextError, Conflict, StoreUnavailable
from acontext_store.outcome_sources import check_source_name
from acontext_store.protocols import Pending
from acontext_store.types import Appended, Change, LaneKind, Outcome, Skill, stable_id

from .common import database_options, emit, json_option, opened, say, space_option

_IN_FLIGHT = 64
#: Seconds for which another process may keep the database locked: nobody waits here but one who imports.
_PATIENCE = 60.0
#: What a person is told while that kind of work is done.
_DOING: dict[LaneKind, str] = {
    "observe": "observing conversations",
    "learn": "learning spaces",
    "embed": "embedding spaces",
}


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@space_option
@click.option(
    "--outcome-field",
    default="outcome",
    show_default=True,
    metavar="FIELD",
    help="The field that says how a conversation ended: success/failed, true/false, 1/0, or null.",
)
@click.option("--outcome-by", default="", metavar="NAME", help="By whose word it ended so: see `acontext sources`.")
@json_option
@database_options
@click.pass_context
def learn(
    ctx: click.Context,
    files: tuple[str, ...],
    space: str,
    outcome_field: str,
    outcome_by: str,
    as_json: bool,
    url: str | None,
    project: str | None,
) -> None:
    """Learn skills from recorded conversations.

    FILE holds JSON Lines (gzip too, - is stdin), one conversation a line: id, messages, outcome. The messages may be
    of OpenAI (chat or Responses), Anthropic or Gemini: what stands in them tells. Conversations that are known by
    their id are not learned twice; where they say something else now, they are replaced. A line that cannot be taken
    is reported with file, line and reason; the rest goes on, and the exit code is 1.
    """
    if outcome_by:
        check_source_name(outcome_by)
    with opened(url, project, patience=_PATIENCE) as embedded:
        before = _versions(embedded, space)
        counts = _import(embedded, files, space, outcome_field, outcome_by, as_json)
        _settle(embedded)
        after = _versions(embedded, space)
        counts["tasks"] = embedded.engine.worker.done
        counts["skills_active"] = sum(skill.status == "active" for skill in after.values())
        counts["skills_waiting"] = sum(skill.status == "candidate" for skill in after.values())
        counts["skills_to_confirm"] = embedded.loop.run(_to_confirm(embedded, space))
        counts["skills_changed"] = sum(
            id not in before or before[id].version != skill.version for id, skill in after.items()
        )
        troubles = embedded.loop.run(_troubles(embedded))
    counts.pop("tasks")
    if as_json:
        emit({"event": "done", "space": space, **counts})
    replaced = f", {counts['replaced']} replaced" if counts["replaced"] else ""
    say(
        f"{counts['conversations']} conversations ({counts['new']} new{replaced}), "
        f"{counts['problems']} lines left out; "
        f"{counts['skills_active']} active skills, {counts['skills_waiting']} waiting for evidence, "
        f"{counts['skills_changed']} new or changed"
    )
    if counts["skills_to_confirm"]:
        say(f"{counts['skills_to_confirm']} wait for you: acontext confirm --space {shlex.quote(space)}")
    for trouble in troubles:
        say(trouble)
    ctx.exit(1 if counts["problems"] or troubles else 0)


#: What conversations, known by their id, differed in.
_OTHER: dict[Change, str] = {
    "messages": "other messages",
    "outcome": "another outcome",
    "principal": "another principal",
    "space": "no space",
}


def _import(
    embedded: EmbeddedEngine, files: tuple[str, ...], space: str, outcome_field: str, outcome_by: str, as_json: bool
) -> dict[str, int]:
    counts = {"conversations": 0, "new": 0, "replaced": 0, "messages": 0, "problems": 0}
    waiting: deque[tuple[Conversation, Pending[Appended]]] = deque()

    redactor = Redactor()

    def tell(event: str, file: str, line: int | None, reason: str) -> None:
        reason = redactor.redact_text(file, reason)  # it may quote what stands in the line
        say(f"{file}:{line}: {reason}" if line else f"{file}: {reason}")
        if as_json:
            emit({"event": event, "file": file, "line": line, "reason": reason})

    def problem(file: str, line: int | None, reason: str) -> None:
        counts["problems"] += 1
        tell("problem", file, line, reason)

    def collect(keep: int) -> None:
        while len(waiting) > keep:
            conversation, pending = waiting.popleft()
            try:
                appended = pending.result()
            except StoreUnavailable as error:
                # the next ones would fare no better
                reason = f"{error}; {counts['conversations']} conversations were taken, run it again for the rest"
                raise StoreUnavailable(reason) from error
            except AcontextError as error:
                reason = str(error)
                if isinstance(error, Conflict) and (
                    other := embedded.loop.run(_elsewhere(embedded, conversation.id, space))
                ):
                    reason = f"conversation {conversation.id!r} belongs to the space {other!r} already: it stays there"
                problem(conversation.file, conversation.line, reason)
                continue
            counts["conversations"] += 1
            if appended.replaced:
                counts["replaced"] += 1
                known = " and ".join(_OTHER[change] for change in appended.replaced)
                reason = f"conversation {conversation.id!r} was known with {known}: replaced"
                tell("replaced", conversation.file, conversation.line, reason)
            else:
                counts["new"] += appended.new > 0
            counts["messages"] += appended.new

    for item in _with_progress(files, outcome_field):
        if isinstance(item, LineError):
            problem(item.file, item.line, item.reason)
            continue
        reference = SessionRef(key=item.id, space=space, principal=item.principal, agent=item.agent)
        outcomes = _outcomes(item, outcome_by)
        waiting.append((item, embedded.engine.recorder.append(reference, item.messages, outcomes, whole=True)))
        collect(_IN_FLIGHT)
    collect(0)
    return counts


def _outcomes(item: Conversation, by: str) -> tuple[Outcome, ...]:
    if item.outcome is None:
        return ()
    id = stable_id(item.id, "outcome", item.outcome)
    return (Outcome(id=id, status=item.outcome, source="import", by=by, run_id=item.id),)


def _with_progress(files: tuple[str, ...], outcome_field: str) -> Iterator[Conversation | LineError]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    reader = ConversationReader(files, outcome_field=outcome_field)
    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("reading", total=reader.total_bytes or None)
        for item in reader:
            progress.update(bar, completed=reader.bytes_read)
            yield item


def _settle(embedded: EmbeddedEngine) -> None:
    """Observe what is new, then learn from it: in this order, so that each space is learned once."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    engine = embedded.engine
    engine.recorder.flush()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("observing", total=None)

        def step(kind: LaneKind, done: int, total: int) -> None:
            words = _DOING[kind]
            progress.update(bar, description=words, completed=done, total=total)

        embedded.loop.run(engine.drain(step))


async def _elsewhere(embedded: EmbeddedEngine, key: str, space: str) -> str | None:
    """The name of the space that a known conversation belongs to, where it is another one."""
    session = await embedded.engine.find_session(key)
    wanted = await embedded.engine.find_space(space)
    if session.space_id in (None, wanted.id):
        return None
    found = await embedded.engine.space(session.space_id)
    return found.name or found.id


async def _troubles(embedded: EmbeddedEngine) -> list[str]:
    """What could not be observed or learned from, and why."""
    found = []
    away: Counter[str] = Counter()
    for lane in await embedded.engine.store.lanes():
        held_up = embedded.engine.worker.held_up(lane.kind)
        if lane.attempts:
            then = "see `acontext doctor`" if lane.dead_at else "run it again to try it again"
            found.append(f"learning failed: {lane.kind} {lane.key}: {lane.reason}; {then}")
        elif not lane.idle and (lane.outages or held_up):
            away[lane.reason if lane.outages else held_up] += 1
    for why, count in away.items():
        what = "1 conversation or space waits" if count == 1 else f"{count} conversations or spaces wait"
        found.append(f"{what}: {why}; when that is over: acontext retry --all")
    return found


async def _to_confirm(embedded: EmbeddedEngine, space: str) -> int:
    return len(await embedded.engine.store.proposals((await embedded.engine.find_space(space)).id))


def _versions(embedded: EmbeddedEngine, space: str) -> dict[str, Skill]:
    async def read() -> dict[str, Skill]:
        found = await embedded.engine.find_space(space, create=True)
        return {skill.id: skill for skill in await embedded.engine.store.skills(found.id)}

    return embedded.loop.run(read())
