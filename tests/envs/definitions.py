"""What `environments.toml` says."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent
#: Set in an environment's tests to its name; the development environment has none.
VARIABLE = "TEST_ENVIRONMENT"
#: What tests are run with.
TOOLS = ("pytest>=8.3", "pytest-asyncio>=1.0", "hypothesis>=6.115")


@dataclass(frozen=True)
class Environment:
    """One environment. See `environments.toml` for what the fields mean."""

    name: str
    extra: str
    pins: tuple[str, ...]
    tests: tuple[str, ...]
    modules: tuple[str, ...]
    without: tuple[str, ...] = ()
    types: str = ""
    pages: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    #: Whether all its modules are compiled when it is built: not where few of them are used.
    compiled: bool = True
    #: Where its versions are written down.
    home: Path = HERE

    @property
    def folder(self) -> Path:
        return ROOT / ".venvs" / self.name

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def constraints(self) -> Path:
        return self.home / f"{self.name}.txt"

    @property
    def itself(self) -> str:
        """Where the project is, with the environment's extra."""
        return f"{ROOT}[{self.extra}]" if self.extra else str(ROOT)

    @property
    def requirements(self) -> tuple[str, ...]:
        """All that is installed beside the project and its extra."""
        return (*self.pins, *self.also, *TOOLS, *(("mypy>=1.13",) if self.types else ()))


def environments() -> dict[str, Environment]:
    """All, by name, in the order in which they are best begun."""
    tables = tomllib.loads((HERE / "environments.toml").read_text())
    return {
        name: Environment(
            name, **{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
        )
        for name, table in tables.items()
    }


def here(pages: Iterable[Path]) -> list[Path]:
    """Pages and examples that this environment is to run: its own, or in the development environment the rest."""
    known = environments()
    name = os.environ.get(VARIABLE)
    if name is not None:
        return [page for page in pages if str(page.relative_to(ROOT)) in known[name].pages]
    elsewhere = {page for environment in known.values() for page in environment.pages}
    return [page for page in pages if str(page.relative_to(ROOT)) not in elsewhere]
