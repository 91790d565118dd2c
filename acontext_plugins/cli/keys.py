"""`acontext keys`: who may use the server."""

from __future__ import annotations

import click

from acontext_plugins.server.auth import make_key
from acontext_plugins.settings import load_settings
from acontext_store.open import open_keys, open_secret
from acontext_store.project import check_project_id
from acontext_store.types import ApiKey

from .common import emit, json_option, say

_url_option = click.option("--url", metavar="URL", help="Database, e.g. sqlite:///path/to.db")
_project_option = click.option("--project", metavar="NAME", help="Whose data. [default: default]")


@click.group()
def keys() -> None:
    """API keys of the server: each opens one project."""


@keys.command()
@click.option("--name", default="", metavar="TEXT", help="What it is for, to know it by.")
@json_option
@_project_option
@_url_option
def create(name: str, as_json: bool, project: str | None, url: str | None) -> None:
    """Make a key and print it, once: only a hash of it is kept."""
    settings = load_settings(url=url, project=project)
    check_project_id(settings.project)
    text, key = make_key(settings.project, open_secret(settings.store_url), name=name)
    open_keys(settings.store_url).add(key)
    if as_json:
        emit({"key": text, **_shown(key)})
        return
    click.echo(text)
    say(f"acontext: key {key.id} opens project {key.project_id!r}; keep it now, it is not shown again")


@keys.command("list")
@json_option
@click.option("--project", metavar="NAME", help="Only keys of this project.")
@_url_option
def list_keys(as_json: bool, project: str | None, url: str | None) -> None:
    """All keys, revoked ones too, without what would open anything."""
    found = open_keys(load_settings(url=url).store_url).all(project_id=project)
    for key in found:
        if as_json:
            emit(_shown(key))
        else:
            state = f"revoked {key.revoked_at}" if key.revoked_at else "good"
            click.echo(f"{key.id}  {key.hint}...  {key.project_id}  {key.name or '-'}  made {key.created_at}  {state}")
    if not found and not as_json:
        say("acontext: there are no keys yet: acontext keys create")


@keys.command()
@click.argument("key_id", metavar="ID")
@json_option
@_url_option
def revoke(key_id: str, as_json: bool, url: str | None) -> None:
    """It opens nothing any more, at the latest a second from now."""
    key = open_keys(load_settings(url=url).store_url).revoke(key_id)
    if as_json:
        emit(_shown(key))
    else:
        say(f"acontext: key {key.id} ({key.hint}...) of project {key.project_id!r} is revoked")


def _shown(key: ApiKey) -> dict[str, object]:
    return key.model_dump(exclude={"hash"})
