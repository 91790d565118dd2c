"""`acontext doctor`: is everything all right, and if not, what to do."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
from importlib.metadata import PackageNotFoundError, entry_points, version

import click

from acontext_plugins.embedded import Home, database_path
from acontext_plugins.settings import load_settings
from acontext_store.errors import AcontextError
from acontext_store.types import Lane, StoreStats

from .common import database_options, emit, json_option, opened

_FRAMEWORKS = ("openai-agents", "langchain", "agno", "litellm", "openai")


@click.command()
@click.option("--retry", is_flag=True, help="Give work that has failed for good another chance.")
@json_option
@database_options
@click.pass_context
def doctor(ctx: click.Context, retry: bool, as_json: bool, url: str | None, project: str | None) -> None:
    """Check the installation and the database; exit code 1 where something needs you."""
    checks: list[tuple[str, bool, str]] = [_python(), _packages(), *_adapters()]
    settings = load_settings(url=url, project=project)
    checks.append(("database", True, settings.store_url))
    path = database_path(settings.store_url)
    if path is not None and path.parent.exists():
        free = shutil.disk_usage(path.parent).free
        checks.append(("disk", free > 100_000_000, f"{free / 1e9:.1f} GB free at {path.parent}"))
    try:
        with opened(url, project) as home:
            unwritable = _writable(home)
            checks += unwritable or _database(home, retry)
    except AcontextError as error:
        checks.append(("open", False, str(error)))
    healthy = all(fine for _, fine, _ in checks)
    for name, fine, text in checks:
        if as_json:
            emit({"check": name, "ok": fine, "detail": text})
        else:
            click.echo(f"{'ok  ' if fine else 'FAIL'}  {name:<12} {text}")
    ctx.exit(0 if healthy else 1)


def _python() -> tuple[str, bool, str]:
    return "python", True, f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}, pid {os.getpid()}"


def _packages() -> tuple[str, bool, str]:
    found = []
    for name in ("acontext-plugins", *_FRAMEWORKS):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return "packages", True, ", ".join(found)


def _adapters() -> list[tuple[str, bool, str]]:
    checks = []
    for entry in entry_points(group="acontext_plugins.adapters"):
        try:
            checks.append(("adapter", True, f"{entry.load()().name} ({entry.value})"))
        except Exception as error:
            checks.append(("adapter", False, f"{entry.name} cannot be loaded: {type(error).__name__}: {error}"))
    return checks


def _database(home: Home, retry: bool) -> list[tuple[str, bool, str]]:
    stats, dead, waiting, still_dead = home.loop.run(_look(home, retry))
    checks = [
        ("schema", True, f"version {stats.schema_version}, {stats.bytes / 1e6:.1f} MB"),
        ("kept", True, f"{stats.sessions} sessions, {stats.messages} messages, {stats.tasks} tasks"),
        (
            "skills",
            True,
            ", ".join(f"{count} {status}" for status, count in sorted(stats.skills.items())) or "none yet",
        ),
        ("injections", True, f"{stats.injections} logged"),
        ("work", True, f"{len(waiting)} waiting"),
    ]
    late = {(lane.kind, lane.key): lane for lane in (*waiting, *still_dead) if lane.last_error}
    for lane in dead:
        text = f"{lane.kind} {lane.key} failed {lane.attempts} times: {_last(lane)}"
        again = late.pop((lane.kind, lane.key), None)
        if not retry:
            checks.append(("dead", False, text + "; try again with --retry"))
        elif again is None:
            checks.append(("dead", True, text + "; tried again: done"))
        else:
            checks.append(("dead", False, text + f"; tried again, and failed: {_last(again)}"))
    for lane in late.values():
        checks.append(("retrying", True, f"{lane.kind} {lane.key}: attempt {lane.attempts}: {_last(lane)}"))
    return checks


def _writable(home: Home) -> list[tuple[str, bool, str]]:
    """Whether something could be kept, now that the database is open."""
    try:
        home.engine.store.flush().result()
    except AcontextError as error:
        return [("write", False, str(error))]
    for path in (database_path(home.engine.settings.store_url), getattr(home.engine.blobs, "path", None)):
        if path is not None and not os.access(path, os.W_OK):
            return [("write", False, f"{path} is read-only: make it writable for this user")]
    return []


def _last(lane: Lane) -> str:
    lines = (lane.last_error or "").strip().splitlines()
    return lines[-1] if lines else "no reason kept"


async def _look(home: Home, retry: bool) -> tuple[StoreStats, list[Lane], list[Lane], list[Lane]]:
    """Figures, what was dead, and what waits or is dead after it was tried again."""
    store = home.engine.store
    dead = await store.lanes(dead=True)
    if retry and dead:
        for lane in dead:
            await store.make_due(lane.kind, lane.key)
        await home.engine.work_off()
    return await store.stats(), dead, await store.lanes(dead=False), await store.lanes(dead=True)
