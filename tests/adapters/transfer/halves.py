"""The two halves of a transfer: learn with one framework into a database, use it with another."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from acontext_plugins.client import Acontext
from acontext_plugins.settings import LearnSettings, ObserveSettings, Settings

from ...envs.definitions import ROOT, environments
from .players import PLAYERS, converse
from .shop import FIRST, SECOND

#: What has to be importable for a framework's half, and the environment that holds it where this one does not.
NEEDS = {
    "openai-agents": ("agents", "openai-agents-lowest"),
    "langchain": ("langchain", "langchain-newest"),
    "agno": ("agno", "agno-newest"),
    "litellm": ("litellm", "litellm-newest"),
    "openai": ("openai", "openai-newest"),
    "function": ("acontext_plugins", ""),
}
FRAMEWORKS = tuple(PLAYERS)


@dataclass(frozen=True)
class Half:
    """What one conversation came to: the text in its prompts, and how often the shop refused."""

    injected: str
    calls: int
    refused: int


@contextmanager
def _client(database: Path) -> Iterator[Acontext]:
    settings = Settings(
        url=f"sqlite:///{database}", observe=ObserveSettings(quiet=0.05), learn=LearnSettings(quiet=0.05)
    )
    with Acontext(settings=settings) as client:
        yield client


def learn(framework: str, database: Path) -> Half:
    """The first customer's conversation, of which the engine learns."""
    with _client(database) as client:
        clerk, shop = asyncio.run(converse(framework, client, FIRST, inject=False, key="ada"))
        assert client.flush(60), "the engine is not done after a minute"
    return Half(clerk.injected, len(shop.log), shop.refused)


def use(framework: str, database: Path, *, withhold: bool = False) -> Half:
    """The second customer's conversation, on a copy of the database."""
    with tempfile.TemporaryDirectory(prefix="acontext-transfer-") as folder:
        copy = Path(folder) / "memory.db"
        shutil.copyfile(database, copy)
        with _client(copy) as client:
            clerk, shop = asyncio.run(converse(framework, client, SECOND, inject=not withhold, key="grace"))
    return Half(clerk.injected, len(shop.log), shop.refused)


def anywhere(verb: str, framework: str, database: Path, *, withhold: bool = False) -> Half:
    """A half in this process where the framework is here, else in the environment that holds it."""
    module, environment = NEEDS[framework]
    if find_spec(module) is not None:
        return learn(framework, database) if verb == "learn" else use(framework, database, withhold=withhold)
    python = environments()[environment].python
    if not python.exists():
        raise FileNotFoundError(f"{framework} is not here, and not in {environment}: make env NAME={environment}")
    return elsewhere(python, verb, framework, database, withhold=withhold)


def elsewhere(python: Path, verb: str, framework: str, database: Path, *, withhold: bool = False) -> Half:
    """A half in a process of its own."""
    command = [str(python), "-m", "tests.adapters.transfer", verb, "--framework", framework, "--db", str(database)]
    environ = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        [*command, *(["--withhold"] if withhold else [])],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return Half(**json.loads(done.stdout.splitlines()[-1]))


def told(half: Half) -> str:
    """For another process."""
    return json.dumps(asdict(half))


def transfer(learners: tuple[str, ...] = FRAMEWORKS, users: tuple[str, ...] = FRAMEWORKS) -> Iterator[Cell]:
    """All pairs, each learner's database used by every user."""
    with tempfile.TemporaryDirectory(prefix="acontext-transfer-") as folder:
        withheld: dict[str, Half] = {}
        for learner in learners:
            database = Path(folder) / f"{learner}.db"
            first = anywhere("learn", learner, database)
            for user in users:
                if user not in withheld:
                    withheld[user] = anywhere("use", user, database, withhold=True)
                yield Cell(learner, user, first, anywhere("use", user, database), withheld[user])


@dataclass(frozen=True)
class Cell:
    """One pair: the first run, the second with what was learned, and the second without."""

    learner: str
    user: str
    first: Half
    second: Half
    withheld: Half
