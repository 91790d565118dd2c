"""The `acontext` command. Each command lives in a module of its own, imported when it is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from acontext_plugins.extras import EXTRAS, naming_the_extra

#: Command -> module that holds it, as a click command of the same name.
_COMMANDS = {
    "learn": "learn",
    "skills": "show",
    "search": "show",
    "tasks": "show",
    "calls": "show",
    "confirm": "confirm",
    "reject": "confirm",
    "sources": "sources",
    "retry": "retry",
    "costs": "costs",
    "doctor": "doctor",
    "serve": "serve",
    "keys": "keys",
    "demo": "demo",
    "bench": "bench",
}


class _Lazy(click.Group):
    """Knows its commands by name, and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.Abort() from None

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"acontext_plugins.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="acontext-plugins", prog_name="acontext")
def cli() -> None:
    """Memory that learns, for any AI agent.

    Data is kept in ~/.acontext/acontext.db, unless --url or ACONTEXT_URL says otherwise.
    """


def main() -> None:
    """Run the command line; trouble that has a name ends in one sentence on stderr, never in a traceback."""
    from acontext_store.errors import AcontextError

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with naming_the_extra():
            code = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        click.echo("\nacontext: stopped" if sys.stderr.isatty() else "acontext: stopped", err=True)
        code = 130
    except AcontextError as error:
        click.echo(f"acontext: {error}", err=True)
        code = 2
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRAS:
            raise
        click.echo(f"acontext: {error}", err=True)
        code = 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        click.echo(f"acontext: {error}", err=True)
        code = 2
    sys.exit(code if isinstance(code, int) else 0)
