"""`acontext doctor`: is everything all right, and if not, what to do."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version

import click

from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.formats import find_format
from acontext_plugins.llm import Purpose, Request
from acontext_plugins.llm.budget import today
from acontext_plugins.settings import load_settings
from acontext_store.backend import backend_of
from acontext_store.errors import AcontextError, LearningUnavailable
from acontext_store.ledger import Cost
from acontext_store.open import database_path
from acontext_store.types import Lane, StoreStats
from acontext_store.urls import without_secrets

from .common import database_options, emit, json_option, opened

#: Lanes of one kind of trouble that are shown one by one.
_SHOWN = 10
#: What packages may register, and how one of it is tried.
_PLUGINS: dict[str, Callable[[EntryPoint], object]] = {
    "adapter": lambda entry: entry.load()(),
    "store": lambda entry: backend_of(f"{entry.name}://"),
    "format": lambda entry: find_format(entry.name),
}
_FRAMEWORKS = ("openai-agents", "langchain", "agno", "litellm", "openai")


@click.command()
@click.option("--model", "ask", is_flag=True, help="Ask the models that are set, too: one tiny call each.")
@json_option
@database_options
@click.pass_context
def doctor(ctx: click.Context, ask: bool, as_json: bool, url: str | None, project: str | None) -> None:
    """Check the installation and the database; exit code 1 where something needs you."""
    checks: list[tuple[str, bool, str]] = [_python(), _packages(), *_plugins()]
    settings = load_settings(url=url, project=project)
    checks.append(("database", True, without_secrets(settings.store_url)))
    path = database_path(settings.store_url)
    if path is not None and path.parent.exists():
        free = shutil.disk_usage(path.parent).free
        checks.append(("disk", free > 100_000_000, f"{free / 1e9:.1f} GB free at {path.parent}"))
    try:
        with opened(url, project) as embedded:
            unwritable = _writable(embedded)
            checks += _models(embedded, ask)
            checks += unwritable or [*_database(embedded), _files(embedded)]
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


def _plugins() -> list[tuple[str, bool, str]]:
    """What packages have registered, ours among them."""
    checks = []
    for kind, load in _PLUGINS.items():
        for entry in entry_points(group=f"acontext_plugins.{kind}s"):
            try:
                load(entry)
                checks.append((kind, True, f"{entry.name} ({entry.value})"))
            except AcontextError as error:
                checks.append((kind, False, str(error)))
            except Exception as error:
                checks.append((kind, False, f"{entry.name} cannot be loaded: {type(error).__name__}: {error}"))
    return checks


def _database(embedded: EmbeddedEngine) -> list[tuple[str, bool, str]]:
    stats, lanes, waiting = embedded.loop.run(_look(embedded))
    checks = [
        ("schema", True, f"version {stats.schema_version}, {stats.bytes / 1e6:.1f} MB"),
        ("kept", True, f"{stats.sessions} sessions, {stats.messages} messages, {stats.tasks} tasks"),
        (
            "skills",
            True,
            ", ".join(f"{count} {status}" for status, count in sorted(stats.skills.items())) or "none yet",
        ),
        ("injections", True, f"{stats.injections} logged"),
        ("work", True, f"{stats.lanes_due} waiting"),
    ]
    dead = [lane for lane in lanes if lane.dead_at is not None]
    failing = [lane for lane in lanes if lane.dead_at is None and lane.failing]
    checks += _some(dead, lambda lane: ("dead", False, f"{_tried(lane)}; to try again: acontext retry {_which(lane)}"))
    checks += _some(failing, lambda lane: ("retrying", True, _tried(lane)))
    checks += _some(
        [lane for lane in lanes if lane.note], lambda lane: ("note", True, f"{lane.kind} {lane.key}: {lane.note}")
    )
    for space, count in waiting:
        text = f"{count} learned in {space!r} wait for you: acontext confirm --space {shlex.quote(space)}"
        checks.append(("confirm", True, text))
    return checks


def _models(embedded: EmbeddedEngine, ask: bool) -> list[tuple[str, bool, str]]:
    """Which models think, what was spent today, and (where they are asked) whether they answer."""
    settings, models = embedded.engine.settings, embedded.models
    checks = []
    if models.llm is None:
        checks.append(("model", True, "none: rules observe and learn; see llm.model"))
    else:
        where = f" at {settings.llm.base_url}" if settings.llm.base_url else ""
        checks.append(("model", True, f"{models.llm.model}{where}"))
    if models.embedder is not None:
        checks.append(("embedding", True, models.embedder.model))
    if ask:
        checks += embedded.loop.run(_answers(embedded))
    spent = embedded.loop.run(_spent(embedded))
    if models.llm is not None or spent.calls:
        limits = [f"{settings.llm.daily_tokens:,} tokens"] if settings.llm.daily_tokens else []
        limits += [f"{settings.llm.daily_cost:g} US$"] if settings.llm.daily_cost else []
        text = f"{spent.calls} calls ({spent.failed} failed), {spent.tokens:,} tokens, {spent.cost:.4f} US$"
        text += " and calls without a known price" if spent.unpriced else ""
        checks.append(
            ("spent today", True, text + (f"; of each space at most {' and '.join(limits)}" if limits else ""))
        )
    return checks


async def _spent(embedded: EmbeddedEngine) -> Cost:
    found = await embedded.engine.costs(since=today())
    return found[0] if found else Cost()


async def _answers(embedded: EmbeddedEngine) -> list[tuple[str, bool, str]]:
    """One tiny question to each: the shortest that shows that the name, the address and the key are right."""
    checks = []
    models = embedded.models
    if models.llm is not None:
        question = {"role": "user", "content": "Answer with the word: yes"}
        begun = time.monotonic()
        try:
            await models.llm.complete(Request(messages=(question,), purpose=Purpose(job="search", prompt="doctor")))
            checks.append(("answers", True, f"{models.llm.model} in {time.monotonic() - begun:.1f} s"))
        except LearningUnavailable as error:
            checks.append(("answers", False, str(error)))
    if models.embedder is not None:
        begun = time.monotonic()
        try:
            (vector,) = await models.embedder.embed(["yes"], purpose=Purpose(job="embed", prompt="doctor"))
            text = f"{models.embedder.model} in {time.monotonic() - begun:.1f} s, {len(vector)} dimensions"
            checks.append(("answers", True, text))
        except LearningUnavailable as error:
            checks.append(("answers", False, str(error)))
    if not checks:
        checks.append(("answers", False, "there is no model to ask: set llm.model (ACONTEXT_LLM__MODEL)"))
    return checks


def _some(lanes: Sequence[Lane], say: Callable[[Lane], tuple[str, bool, str]]) -> list[tuple[str, bool, str]]:
    """The first few; of the others, how many there are."""
    checks = [say(lane) for lane in lanes[:_SHOWN]]
    if len(lanes) > _SHOWN:
        name, fine, _ = checks[-1]
        again = "" if fine else "; to try all again: acontext retry --all"
        checks.append((name, fine, f"and {len(lanes) - _SHOWN} more{again}"))
    return checks


def _tried(lane: Lane) -> str:
    counts = [f"failed {lane.attempts} times"] if lane.attempts else []
    if lane.outages:
        counts.append(f"could not be tried {lane.outages} times")
    if lane.failing_since is not None:
        counts.append(f"since {datetime.fromtimestamp(lane.failing_since, UTC):%Y-%m-%d %H:%M} UTC")
    return f"{lane.kind} {lane.key} {', '.join(counts)}: {lane.reason}"


def _which(lane: Lane) -> str:
    return f"--session {lane.key}" if lane.kind == "observe" else f"--space {lane.key}"


def _writable(embedded: EmbeddedEngine) -> list[tuple[str, bool, str]]:
    """Whether something could be kept, now that the database is open."""
    try:
        embedded.engine.store.flush().result()
    except AcontextError as error:
        return [("write", False, str(error))]
    for path in (database_path(embedded.engine.settings.store_url), getattr(embedded.engine.blobs, "path", None)):
        if path is not None and not os.access(path, os.W_OK):
            return [("write", False, f"{path} is read-only: make it writable for this user")]
    return []


async def _look(embedded: EmbeddedEngine) -> tuple[StoreStats, list[Lane], list[tuple[str, int]]]:
    """Figures, the lanes with something to tell, and the spaces in which something waits for a person."""
    store = embedded.engine.store
    lanes = [lane for lane in await store.lanes() if lane.failing or lane.note or lane.dead_at is not None]
    waiting: list[tuple[str, int]] = []
    cursor: str | None = None
    while True:
        page = await store.spaces(limit=200, cursor=cursor)
        for space in page.items:
            if count := len(await store.proposals(space.id)):
                waiting.append((space.name or space.id, count))
        if not page.has_more:
            return await store.stats(), lanes, waiting
        cursor = page.next_cursor


def _files(embedded: EmbeddedEngine) -> tuple[str, bool, str]:
    """Looks at every blob: those that nothing names are deleted, also where nothing ever did."""
    gone = embedded.loop.run(embedded.engine.sweep(thorough=True))
    return "files", True, f"{gone} deleted that nothing named" if gone else "none that nothing names"
