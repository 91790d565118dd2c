"""`acontext serve`: the REST API that the `acontext` SDK speaks."""

from __future__ import annotations

import os

import click

from acontext_plugins.settings import Settings, is_loopback, load_settings
from acontext_store.open import open_keys
from acontext_store.urls import without_secrets

from .common import database_options, say


@click.command()
@click.option("--host", metavar="ADDRESS", help="Where to listen; others can reach any but 127.0.0.1. [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), metavar="PORT", help="0 = any that is free. [8029]")
@click.option("--workers", type=click.IntRange(1, 64), metavar="N", help="Processes that answer. [1]")
@database_options
def serve(host: str | None, port: int | None, workers: int | None, url: str | None, project: str | None) -> None:
    """Serve the REST API, and do the background work, until stopped with Ctrl-C or SIGTERM.

    Requests that have begun are answered, and what was recorded is written, before it stops. On 127.0.0.1 the
    well-known key opens the project; anywhere else needs a key of your own (`acontext keys create`).
    """
    from acontext_plugins.server import auth, run

    settings = _settings(host, port, workers, url, project)
    run.check_binding(settings, open_keys(settings.store_url))
    with run.bound(settings.server.host, settings.server.port) as listener:
        address, bound = listener.getsockname()[:2]
        shown = f"[{address}]" if ":" in address else address
        say(f"acontext: listening on http://{shown}:{bound}/api/v1 (stop with Ctrl-C)")
        say(f"acontext: project {settings.project!r} in {without_secrets(settings.store_url)}")
        if settings.server.api_key is None and is_loopback(settings.server.host):
            say(f"acontext: key {auth.WELL_KNOWN}")
        run.serve(settings, listener)
    say("acontext: stopped; all that was recorded is kept")


def _settings(
    host: str | None, port: int | None, workers: int | None, url: str | None, project: str | None
) -> Settings:
    """The settings, and the same in the environment, where other processes of ours read them."""
    given = {"ACONTEXT_URL": url, "ACONTEXT_PROJECT": project, "ACONTEXT_SERVER__HOST": host}
    numbers = {"ACONTEXT_SERVER__PORT": port, "ACONTEXT_SERVER__WORKERS": workers}
    for name, value in {**given, **numbers}.items():
        if value is not None:
            os.environ[name] = str(value)
    return load_settings()
