"""What the commands share: options, opening, output."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from acontext_plugins.engine.embedded import EmbeddedEngine, open_engine
from acontext_plugins.settings import Settings, WorkerSettings, load_settings

F = TypeVar("F", bound=Callable[..., Any])


def database_options(command: F) -> F:
    """`--url` and `--project`."""
    command = click.option("--project", metavar="NAME", help="Whose data. [default: default]")(command)
    return click.option("--url", metavar="URL", help="Database, e.g. sqlite:///path/to.db")(command)


json_option = click.option("--json", "as_json", is_flag=True, help="JSON Lines on stdout.")
space_option = click.option("--space", required=True, metavar="NAME", help="Name or id of the space.")


def settings_of(url: str | None, project: str | None, *, worker: bool = False) -> Settings:
    """The settings, with the background worker switched off unless the command needs it."""
    settings = load_settings(url=url, project=project)
    if not worker:
        settings = settings.model_copy(
            update={"worker": WorkerSettings(**{**settings.worker.model_dump(), "enabled": False})}
        )
    return settings


@contextlib.contextmanager
def opened(
    url: str | None, project: str | None, *, worker: bool = False, patience: float = 5.0
) -> Iterator[EmbeddedEngine]:
    """An engine for the length of a command; `patience` = seconds that it waits for a locked database."""
    embedded = open_engine(settings_of(url, project, worker=worker), patience=patience)
    try:
        yield embedded
    finally:
        embedded.close()


def emit(value: object) -> None:
    """One line of JSON on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def say(text: str) -> None:
    """A line for a person, on stderr."""
    click.echo(text, err=True)
