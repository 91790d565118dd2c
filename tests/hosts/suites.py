"""What `suites.toml` and `allowed.toml` say."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..envs.definitions import ROOT, Environment

HERE = Path(__file__).parent
PLUGIN = HERE / "plugin"
#: Where suites are unpacked.
CACHE = ROOT / ".venvs" / "hosts"

#: What a regression passes with, which shows where it comes from.
Passes = Literal["empty", "in-place", "nothing"]


@dataclass(frozen=True)
class Allowed:
    """Tests that fail wrapped, for a reason. `tests` are patterns of pytest's node ids."""

    suite: str
    tests: tuple[str, ...]
    passes: Passes
    why: str

    def covers(self, test: str) -> bool:
        """Whether the entry speaks of a test."""
        return any(fnmatch.fnmatchcase(test, _literal(pattern)) for pattern in self.tests)


def _literal(pattern: str) -> str:
    """`[` of a parametrised test is no set of characters."""
    return pattern.replace("[", "[[]")


@dataclass(frozen=True)
class Suite:
    """The tests of one package's release. See `suites.toml` for what the fields mean."""

    name: str
    package: str
    version: str
    environment: Environment
    tests: tuple[str, ...]
    hints: tuple[str, ...]
    part: int
    files: int
    without: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    allowed: tuple[Allowed, ...] = ()


def suites() -> dict[str, Suite]:
    """All, by name."""
    tables = tomllib.loads((HERE / "suites.toml").read_text())
    environments = {
        name: Environment(
            f"hosts-{name}",
            table["extra"],
            tuple(table["pins"]),
            (),
            tuple(table["modules"]),
            also=tuple(table["also"]),
            compiled=False,
            home=HERE,
        )
        for name, table in tables["environments"].items()
    }
    found = {}
    for name, table in tables["suites"].items():
        environment = environments[table.pop("environment")]
        found[name] = Suite(
            name,
            environment=environment,
            version=version_of(table["package"], environment),
            allowed=tuple(entry for entry in allowed() if entry.suite == name),
            **{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()},
        )
    return found


def version_of(package: str, environment: Environment) -> str:
    """The version of a package in an environment, which pins it."""
    return dict(pin.split("==") for pin in environment.pins)[package]


def allowed() -> Iterable[Allowed]:
    """What may fail, in the order in which it is written down."""
    for entry in tomllib.loads((HERE / "allowed.toml").read_text()).get("allowed", ()):
        yield Allowed(entry["suite"], tuple(entry["tests"]), entry["passes"], entry["why"])
