"""`acontext confirm` and `reject`: what was learned, and waits for a person."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import Any

import click

from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.service import Confirmation
from acontext_store.types import Json

from .common import database_options, emit, json_option, opened, say, space_option


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@space_option
@click.option("--all", "everything", is_flag=True, help="All that waits.")
@click.option("--edit", is_flag=True, help="Change each in your editor first.")
@click.option(
    "--data", type=click.File("r", encoding="utf-8"), metavar="FILE", help="JSON to save instead (of one); - is stdin."
)
@json_option
@database_options
def confirm(
    ids: tuple[str, ...],
    space: str,
    everything: bool,
    edit: bool,
    data: Any,
    as_json: bool,
    url: str | None,
    project: str | None,
) -> None:
    """Have what was learned used from now on. Without ID, show what waits.

    ID is the id of a confirmation, or of its skill.
    """
    if data is not None and (edit or len(ids) != 1):
        raise click.UsageError("--data is for one ID, without --edit")
    given = None if data is None else _read(data.name, data.read())
    with opened(url, project) as embedded:
        space_id = embedded.loop.run(embedded.engine.find_space(space)).id
        if not ids and not everything:
            _show(embedded.loop.run(_waiting(embedded, space_id)), space, as_json=as_json)
            return
        for one in embedded.loop.run(_chosen(embedded, space_id, ids)):
            changed = _edited(one) if edit else given
            body = None if changed is None else {"type": "sop", "data": changed}
            kept = embedded.loop.run(embedded.engine.confirm(space_id, one.id, save=True, experience_data=body))
            _tell(kept or one, "confirmed", as_json=as_json)


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@space_option
@click.option("--all", "everything", is_flag=True, help="All that waits.")
@json_option
@database_options
def reject(
    ids: tuple[str, ...], space: str, everything: bool, as_json: bool, url: str | None, project: str | None
) -> None:
    """Discard what was learned, for good: the same lesson does not come back by itself."""
    if not ids and not everything:
        raise click.UsageError("give an ID, or --all; `acontext confirm --space ...` shows what waits")
    with opened(url, project) as embedded:
        space_id = embedded.loop.run(embedded.engine.find_space(space)).id
        for one in embedded.loop.run(_chosen(embedded, space_id, ids)):
            embedded.loop.run(embedded.engine.confirm(space_id, one.id, save=False))
            _tell(one, "rejected", as_json=as_json)


async def _waiting(embedded: EmbeddedEngine, space_id: str) -> list[Confirmation]:
    found: list[Confirmation] = []
    cursor: str | None = None
    while True:
        page = await embedded.engine.confirmations(space_id, limit=200, cursor=cursor)
        found += page.items
        if not page.has_more:
            return found
        cursor = page.next_cursor


async def _chosen(embedded: EmbeddedEngine, space_id: str, ids: Sequence[str]) -> list[Confirmation]:
    """Those with these ids; all, where there are none. Nothing is decided where one of them is unknown."""
    waiting = await _waiting(embedded, space_id)
    if not ids:
        return waiting
    by_id = {id: one for one in waiting for id in (one.id, one.skill_id)}
    if unknown := [id for id in ids if id not in by_id]:
        raise click.ClickException(f"nothing waits there with the id {unknown[0]!r}: acontext confirm shows what does")
    return list({by_id[id].id: by_id[id] for id in ids}.values())


def _read(name: str, text: str) -> Json:
    """What a skill shall say: the object that `--json` shows as experience_data, or its data alone."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise click.ClickException(f"{name}: no JSON: {error}") from None
    if isinstance(found, dict) and isinstance(found.get("data"), dict):
        found = found["data"]
    if not isinstance(found, dict):
        raise click.ClickException(f'{name}: expected an object like {{"use_when": ..., "tool_sops": [...]}}')
    return found


def _edited(one: Confirmation) -> Json | None:
    """As a person has changed it; None where they left it as it is."""
    before = json.dumps(one.experience_data["data"], indent=2, ensure_ascii=False)
    after = click.edit(before + "\n", extension=".json")
    return None if after is None else _read("the edited text", after)


def _tell(one: Confirmation, what: str, *, as_json: bool) -> None:
    if as_json:
        emit({"decision": what, **one.model_dump()})
    else:
        say(f"acontext: {what}: {one.experience_data['data']['use_when']}  {one.skill_id}")


def _show(waiting: Sequence[Confirmation], space: str, *, as_json: bool) -> None:
    for one in waiting:
        if as_json:
            emit(one.model_dump())
            continue
        new = _lines(one.experience_data["data"])
        version = f"instead of version {one.replaces['version']}" if one.replaces else "new"
        click.echo(f"\n{one.experience_data['data']['use_when']}")
        click.echo(f"  {version}: {one.reason or 'no reason kept'}  {one.id}")
        for line in _difference(_lines(one.replaces["data"]), new) if one.replaces else new:
            click.echo(f"  {line}")
        if one.supersedes:
            click.echo(f"  retires {', '.join(one.supersedes)}")
    if not waiting and not as_json:
        say(f"acontext: nothing waits for you in {space!r}")


def _lines(data: Json) -> list[str]:
    """A skill as `acontext skills` shows it, and its trace."""
    lines = [f"use when: {data['use_when']}"]
    if data["preferences"]:
        lines.append(f"prefer: {data['preferences']}")
    lines += [f"{n}. {step['tool_name']}: {step['action']}" for n, step in enumerate(data["tool_sops"], 1)]
    lines += [f"avoid: {pitfall}" for pitfall in data.get("pitfalls", ())]
    return lines + [f"run: {line}" for line in data.get("trace", ())]


def _difference(before: Sequence[str], after: Sequence[str]) -> list[str]:
    return [line for line in difflib.ndiff(before, after) if not line.startswith("?")]
