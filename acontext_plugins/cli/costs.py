"""`acontext costs`: what was asked of models, and what it took."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_store.errors import NotFound
from acontext_store.ledger import COST_BY, COST_FIELDS, Cost, CostBy

from .common import database_options, emit, json_option, opened, say

_USUAL: tuple[CostBy, ...] = ("space", "job", "model", "day")


@click.command()
@click.option("--by", type=click.Choice(COST_BY), multiple=True, help="Told apart by this; repeat for more.")
@click.option("--space", metavar="NAME", help="Only of this space (name or id).")
@click.option("--days", type=click.IntRange(1), help="Of so many days, today included (UTC).")
@click.option("--since", metavar="DAY", help="From that day or moment on (UTC).")
@click.option("--until", metavar="DAY", help="Before that day or moment (UTC).")
@json_option
@database_options
def costs(
    by: tuple[CostBy, ...],
    space: str | None,
    days: int | None,
    since: str | None,
    until: str | None,
    as_json: bool,
    url: str | None,
    project: str | None,
) -> None:
    """Show what models have taken: calls, tokens and US dollars, by space, job, model and day."""
    if days is not None and since is not None:
        raise click.UsageError("give --days, or --since")
    if days is not None:
        since = (datetime.now(UTC).date() - timedelta(days=days - 1)).isoformat()
    wanted = by or _USUAL

    async def read(embedded: EmbeddedEngine) -> tuple[list[Cost], dict[str, str]]:
        space_id = await _id_of(embedded, space) if space is not None else None
        found = await embedded.engine.costs(by=wanted, space_id=space_id, since=since, until=until)
        return found, {id: await _name_of(embedded, id) for id in {cost.space_id for cost in found} if id is not None}

    with opened(url, project) as embedded:
        found, names = embedded.loop.run(read(embedded))
    if as_json:
        for cost in found:
            emit({**cost.model_dump(), "space": names.get(cost.space_id or "")})
    elif found:
        _show(found, [name for name in COST_BY if name in wanted], names)
    else:
        say("acontext: no model was asked")


async def _id_of(embedded: EmbeddedEngine, name_or_id: str) -> str:
    """Also of a space that was deleted: what it took is known still."""
    try:
        return (await embedded.engine.find_space(name_or_id)).id
    except NotFound:
        if any(cost.space_id == name_or_id for cost in await embedded.engine.costs(by=["space"])):
            return name_or_id
        raise


async def _name_of(embedded: EmbeddedEngine, space_id: str) -> str:
    try:
        return (await embedded.engine.space(space_id)).name or space_id
    except NotFound:
        return space_id


def _show(found: Sequence[Cost], by: Sequence[CostBy], names: dict[str, str]) -> None:
    head = [*by, "calls", "failed", "prompt", "cached", "answer", "US$"]
    rows = [[*(_value(cost, name, names) for name in by), *_figures(cost)] for cost in found]
    if len(found) > 1:
        rows.append(["", *[""] * (len(by) - 1), *_figures(_sum(found))])
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    for row in (head, *rows):
        cells = [
            cell.ljust(width) if at < len(by) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())
    if any(cost.unpriced for cost in found):
        say("acontext: + = and calls of models whose price LiteLLM does not know; see docs/models.md")


def _value(cost: Cost, name: CostBy, names: dict[str, str]) -> str:
    value: str | None = getattr(cost, COST_FIELDS[name])
    if name == "space" and value is not None:
        return names.get(value, value)
    return value or "-"


def _figures(cost: Cost) -> list[str]:
    dollars = f"{cost.cost:.4f}{'+' if cost.unpriced else ''}"
    counts = (cost.calls, cost.failed, cost.prompt_tokens, cost.cached_tokens, cost.completion_tokens)
    return [*(f"{count:,}" for count in counts), dollars]


def _sum(found: Sequence[Cost]) -> Cost:
    names = ("calls", "failed", "prompt_tokens", "cached_tokens", "completion_tokens", "cost", "unpriced")
    totals: dict[str, Any] = {name: sum(getattr(cost, name) for cost in found) for name in names}
    return Cost(**totals)
