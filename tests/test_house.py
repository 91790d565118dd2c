"""The house itself: light to import, layered, typed, and without a trace of where it was built."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import acontext_plugins

from .house import modules

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_loads_no_framework_and_none_of_its_own_heavy_parts() -> None:
    heavy = "agents openai langchain langchain_core agno litellm sqlalchemy pydantic httpx alembic rich obstore anyio"
    loaded = run_python(
        "import sys; before = set(sys.modules); import acontext_plugins; "
        f"print([m for m in {heavy.split()!r} if m in set(sys.modules) - before])"
    )
    assert loaded == "[]"


def test_importing_learning_loads_no_framework() -> None:
    loaded = run_python(
        "import sys; from acontext_plugins import learning, Acontext; "
        "print([m for m in ('agents', 'openai', 'langchain_core', 'agno', 'litellm') if m in sys.modules])"
    )
    assert loaded == "[]"


def test_importing_and_opening_opens_no_socket(tmp_path: Path) -> None:
    code = (
        "import sys, socket\n"
        "made = []\n"
        "sys.addaudithook(lambda event, args: made.append(event) if event == 'socket.connect' else None)\n"
        "import acontext_plugins\n"
        f"with acontext_plugins.Acontext('sqlite:///{tmp_path}/a.db') as client:\n"
        "    client.ping()\n"
        "print(made)"
    )
    assert run_python(code) == "[]"


def test_every_public_name_is_there() -> None:
    for name in acontext_plugins.__all__:
        assert getattr(acontext_plugins, name) is not None


def test_learning_is_the_function_whatever_was_imported_before() -> None:
    kind = run_python(
        "import acontext_plugins.runs, acontext_plugins.client\n"
        "import importlib.metadata as m\n"
        "[e.load() for e in m.entry_points(group='acontext_plugins.adapters')]\n"
        "from acontext_plugins import learning\n"
        "print(callable(learning) and learning.__name__)"
    )
    assert kind == "learning"


def test_every_imported_package_is_declared() -> None:
    declared = {re.split(r"[<>=!\[ ]", line)[0].replace("-", "_") for line in PROJECT["project"]["dependencies"]}
    for extra in PROJECT["project"]["optional-dependencies"].values():
        declared |= {re.split(r"[<>=!\[ ]", line)[0].replace("-", "_") for line in extra}
    names = {"openai_agents": "agents"}
    declared.add("langchain_core")  # langchain's own, by its version
    importable = {names.get(name, name) for name in declared} | {
        "acontext_plugins",
        "acontext_store",
        "acontext_adapters",
    }
    used: dict[str, str] = {}
    for module in modules().values():
        for node in module.nodes:
            names_of = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names_of = [node.module]
            for name in (name.partition(".")[0] for name in names_of):
                if name not in sys.stdlib_module_names:
                    used[name] = module.name
    assert {name: file for name, file in used.items() if name not in importable} == {}


def test_the_hosts_random_numbers_are_its_own() -> None:
    """A host that has seeded `random` gets the same numbers with us as without: ours come from objects of our own."""
    used = [
        f"{module.name}:{node.lineno}"
        for module in modules().values()
        if "bench" not in module.path.parts
        for node in module.nodes
        if (isinstance(node, ast.ImportFrom) and node.module == "random")
        or (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "random"
            and node.attr not in ("Random", "SystemRandom")
        )
    ]
    assert used == []


def test_no_file_is_longer_than_six_hundred_lines() -> None:
    long = {
        str(file.relative_to(ROOT)): count
        for folder in ("acontext_plugins", "store", "adapters", "tests", "examples")
        for file in (ROOT / folder).rglob("*.py")
        if (count := len(file.read_text().splitlines())) > 600
    }
    assert long == {}


def test_constraints_pin_versions_and_name_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text().split()
    assert lines
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", line) for line in lines)
