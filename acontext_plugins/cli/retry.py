"""`acontext retry`: what failed for good, or waits for something that was away, is done again."""

from __future__ import annotations

import click

from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.service import Job

from .common import database_options, emit, json_option, opened, say


@click.command()
@click.option("--space", metavar="NAME", help="What this space learns from and in (name or id).")
@click.option("--session", "session_id", metavar="ID", help="Only this session (id, or the host's own key).")
@click.option("--all", "everything", is_flag=True, help="Everything that failed.")
@click.option("--later", is_flag=True, help="Leave it to those who work on this database, a server perhaps.")
@json_option
@database_options
@click.pass_context
def retry(
    ctx: click.Context,
    space: str | None,
    session_id: str | None,
    everything: bool,
    later: bool,
    as_json: bool,
    url: str | None,
    project: str | None,
) -> None:
    """Try again what failed; exit code 1 where something fails again."""
    if sum((space is not None, session_id is not None, everything)) != 1:
        raise click.UsageError("give --space, --session, or --all")

    async def work(embedded: EmbeddedEngine) -> tuple[int, list[Job]]:
        engine = embedded.engine
        space_id = (await engine.find_space(space)).id if space is not None else None
        session = (await engine.find_session(session_id)).id if session_id is not None else None
        retried = await engine.retry_jobs(space_id=space_id, session_id=session)
        if retried and not later:
            await engine.drain()
        left = await engine.jobs(space_id=space_id, session_id=session, limit=10_000)
        return retried, [job for job in left if job.status in ("failing", "dead")]

    with opened(url, project) as embedded:
        retried, failed = embedded.loop.run(work(embedded))
    if as_json:
        emit({"retried": retried, "failed": [job.model_dump() for job in failed]})
    else:
        for job in failed[:20]:
            click.echo(f"{job.kind} {job.session_id or job.space_id}: {job.reason}")
        if not retried:
            say("acontext: nothing has failed")
        elif later:
            say(f"acontext: {retried} to be tried again")
        else:
            say(f"acontext: {retried} tried again, {len(failed)} failed" if failed else f"acontext: {retried} done")
    ctx.exit(1 if failed else 0)
