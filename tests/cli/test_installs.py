"""Installations without extras, and with one alone: every command has its help, and says what it misses."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from acontext_plugins.extras import EXTRAS

ROOT = Path(__file__).parents[2]
#: The modules that the packages of an extra bring; some bring those of another.
BRINGS = {
    "openai-agents": {"agents", "openai"},
    "langchain": {"langchain", "langchain_core", "langgraph"},
    "agno": {"agno"},
    "litellm": {"litellm", "openai", "tiktoken"},
    "openai": {"openai"},
    "tokens": {"tiktoken"},
    "embeddings": {"numpy"},
    "server": {"fastapi", "starlette", "uvicorn", "httptools", "uvloop", "python_multipart", "multipart"},
}
#: Helps of all commands and their subcommands, one after the other, as a user would ask for them.
WALK = """
import click, sys
from acontext_plugins.cli import main
def helps(command, path):
    yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from helps(command.get_command(click.Context(command), name), [*path, name])
count = 0
for path in helps(main.cli, []):
    sys.argv = ["acontext", *path, "--help"]
    try:
        main.main()
    except SystemExit as end:
        assert end.code == 0, path
    count += 1
print("helped", count)
"""
BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""


def extras() -> set[str]:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return set(declared) - {"dev"}


def run(code: str, *arguments: str, python: str = sys.executable, home: Path) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ACONTEXT_")}
    return subprocess.run(
        [python, "-c", code, *arguments], capture_output=True, text=True, env={**environ, "HOME": str(home)}, cwd=home
    )


def without(*extras_there: str) -> str:
    """Code that hides what no extra but these brings."""
    there = set().union(*(BRINGS[name] for name in extras_there)) if extras_there else set()
    return BLOCK.format(blocked=set().union(*BRINGS.values()) - there)


def test_every_extra_is_tried_alone() -> None:
    assert extras() == set(BRINGS)


@pytest.mark.parametrize("extra", sorted(BRINGS))
def test_with_one_extra_alone_every_command_has_its_help(extra: str, tmp_path: Path) -> None:
    done = run(without(extra) + WALK, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(("command", "extra"), [(["serve", "--port", "0"], "server"), (["demo"], "openai-agents")])
def test_a_command_says_which_extra_it_needs(command: list[str], extra: str, tmp_path: Path) -> None:
    code = without() + "import sys; from acontext_plugins.cli.main import main; sys.argv[0] = 'acontext'; main()"
    done = run(code, *command, home=tmp_path)
    assert done.returncode != 0
    assert f"pip install 'acontext-plugins[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real environment that holds our wheel and what it declares, and nothing else."""
    uv = Path(sys.executable).parent / "uv"
    if not uv.exists():
        pytest.skip("uv builds environments, and is not installed here")
    folder = tmp_path_factory.mktemp("bare")
    python = folder / "env" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    for arguments in (
        ["venv", "-p", sys.executable, folder / "env"],
        ["build", "--wheel", "-o", folder / "dist", ROOT],
        ["pip", "install", "-p", python, "-c", constraints, "--find-links", folder / "dist", "acontext-plugins"],
    ):
        done = subprocess.run([uv, *arguments], capture_output=True, text=True, cwd=folder)
        assert done.returncode == 0, done.stderr
    return python


def test_the_bare_wheel_has_help_for_every_command(bare: Path, tmp_path: Path) -> None:
    done = run(WALK, python=str(bare), home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_bare_wheel_manages_keys_and_finds_itself_well(bare: Path, tmp_path: Path) -> None:
    code = "import sys; from acontext_plugins.cli.main import main; sys.argv[0] = 'acontext'; main()"
    for command, code_of in ((["keys", "create"], 0), (["keys", "list"], 0), (["doctor"], 0), (["serve"], 2)):
        done = run(code, *command, python=str(bare), home=tmp_path)
        assert (done.returncode, "Traceback" in done.stderr) == (code_of, False), (command, done.stderr)


#: What needs an extra as soon as it is used, and which.
NEEDS = {
    "from acontext_adapters.langchain import AcontextMiddleware": "langchain",
    "from acontext_adapters.langchain import AcontextCallbackHandler": "langchain",
    "from acontext_adapters.litellm import ProxyHandler": "litellm",
    "from acontext_adapters.litellm import install": "litellm",
    "from acontext_adapters.litellm import completion as c; c(model='m', messages=[])": "litellm",
    "from acontext_adapters.openai_agents import Runner": "openai-agents",
    "from acontext_plugins.server import create_app": "server",
}
TRY = """
for asked in {asked!r}:
    try:
        exec(asked)
    except ModuleNotFoundError as error:
        print(error)
"""


def test_a_name_that_needs_an_extra_says_which(tmp_path: Path) -> None:
    done = run(without() + TRY.format(asked=list(NEEDS)), home=tmp_path)
    assert done.returncode == 0, done.stderr
    wanted = [f"pip install 'acontext-plugins[{extra}]'" for extra in NEEDS.values()]
    assert [line.partition(": ")[2] for line in done.stdout.splitlines()] == wanted


def test_every_extra_is_named_by_what_it_brings() -> None:
    assert set(EXTRAS.values()) == extras()
    assert all(EXTRAS[module] in [extra for extra in BRINGS if module in BRINGS[extra]] for module in EXTRAS)


def test_without_a_framework_its_adapter_stays_out_of_the_way(bare: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.metadata import entry_points\n"
        "from acontext_plugins import learning\n"
        "names = [one.name for one in entry_points(group='acontext_plugins.adapters') if one.load()()]\n"
        "print(sorted(names), learning(lambda text: text.upper(), space='s')('works'))\n"
    )
    done = run(code, python=str(bare), home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("WORKS")
