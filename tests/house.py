"""`python -m tests.house`: counts what the house promises about itself; `-v` lists what was counted.

tests/test_house_counts.py asserts them. A count may go down and never up: whoever lowers one lowers its limit there.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = {"acontext_plugins": ROOT, "acontext_store": ROOT / "store", "acontext_adapters": ROOT / "adapters"}
#: Where users and those who extend this read: what is public there has docstrings and units.
SURFACE = (
    "acontext_plugins.client",
    "acontext_plugins.errors",
    "acontext_plugins.learning",
    "acontext_plugins.protocols",
    "acontext_plugins.runs",
    "acontext_plugins.service",
    "acontext_plugins.settings",
    "acontext_plugins.testing",
    "acontext_plugins.formats",
    "acontext_store.protocols",
    "acontext_store.testing",
)
#: Classes that may stand in several files under one name, and why.
SAME_NAME: dict[str, str] = {}
#: Modules that may hold imports alone, and why.
PASSING_ON = {"acontext_plugins.errors": "the exceptions belong to the store, and users look for them here"}
#: A word that says what a number counts.
_UNITS = re.compile(
    r"\b(seconds?|milliseconds?|minutes?|hours?|days?|bytes?|characters?|tokens?|messages?|rows?|items?|lines?|runs?|"
    r"skills?|tasks?|calls?|pages?|files?|entries|number of|how many|at most|fraction|share|probability|"
    r"between 0 and 1|ports?|version|from 0|from 1|index|position|status code|times|attempts?|dollars?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Module:
    """One file of ours."""

    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text())

    @property
    def package(self) -> str:
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    def imports(self, known: set[str], *, loading: bool) -> set[str]:
        """Modules of ours that it names; with `loading` those alone that are imported while it is imported."""
        found: set[str] = set()
        for node in _loading(self.tree.body) if loading else ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                parent = self.package.split(".")
                base = ".".join(parent[: len(parent) - node.level + 1]) if node.level else ""
                base = ".".join(part for part in (base, node.module) if part)
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    found.add(inner if inner in known else base)
        return {name for name in found if name in known and name != self.name}


def _loading(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Statements that run on import: neither functions nor `if TYPE_CHECKING`."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _loading(node.orelse)
            continue
        yield node
        for field in ("body", "orelse", "finalbody"):
            yield from _loading(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from _loading(handler.body)


def modules() -> dict[str, Module]:
    """All of ours, by their full names."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted((folder / package).rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = Module(name, path)
    return found


def at_the_root() -> list[str]:
    """Modules directly in acontext_plugins."""
    return sorted(path.name for path in (ROOT / "acontext_plugins").glob("*.py"))


def import_circles(ours: dict[str, Module]) -> list[str]:
    """Groups of modules that need each other while they are imported."""
    graph = {name: module.imports(set(ours), loading=True) for name, module in ours.items()}
    reach: dict[str, set[str]] = {}
    for name in graph:
        seen: set[str] = set()
        todo = list(graph[name])
        while todo:
            if (one := todo.pop()) not in seen:
                seen.add(one)
                todo += graph[one]
        reach[name] = seen
    circles = {frozenset(o for o in reach[name] if name in reach[o]) for name in graph if name in reach[name]}
    return sorted(" <-> ".join(sorted(circle)) for circle in circles)


def against_the_layers(ours: dict[str, Module]) -> list[str]:
    """Imports of any kind, in functions too, that lead upwards in the layers of pyproject.toml, or to a neighbour."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    wrong = []
    for contract in contracts:
        for container in contract.get("containers", [""]):
            floor: dict[str, int] = {}
            apart: set[str] = set()
            for number, layer in enumerate(contract["layers"]):
                for name in (part.strip(" ()") for part in re.split(r"[|:]", layer)):
                    full = f"{container}.{name}".strip(".")
                    floor[full] = number
                    if "|" in layer:
                        apart.add(full)
            for name, module in ours.items():
                here = _floor_of(name, floor)
                for target in module.imports(set(ours), loading=False) if here else ():
                    there = _floor_of(target, floor)
                    if there is None or here is None or there == here:
                        continue
                    if floor[there] < floor[here] or (floor[there] == floor[here] and {here, there} <= apart):
                        wrong.append(f"{name} -> {target}")
    return sorted(set(wrong))


def _floor_of(name: str, floors: dict[str, int]) -> str | None:
    return next((floor for floor in floors if name == floor or name.startswith(f"{floor}.")), None)


def names_in_several_files(ours: dict[str, Module]) -> list[str]:
    """Classes of one name in two files or more."""
    where = defaultdict(set)
    for name, module in ours.items():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                where[node.name].add(name)
    return [
        f"{name}: {', '.join(sorted(files))}"
        for name, files in sorted(where.items())
        if len(files) > 1 and name not in SAME_NAME
    ]


def only_passing_on(ours: dict[str, Module]) -> list[str]:
    """Modules, other than `__init__`, that hold nothing but imports."""
    found = []
    for name, module in ours.items():
        rest = [node for node in module.tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
        rest = [node for node in rest if not (isinstance(node, ast.Assign) and "__all__" in ast.unparse(node))]
        rest = [node for node in rest if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
        if not rest and module.path.name not in ("__init__.py", "__main__.py") and name not in PASSING_ON:
            found.append(name)
    return found


Callable = ast.FunctionDef | ast.AsyncFunctionDef


def _public(ours: dict[str, Module]) -> Iterator[tuple[str, ast.ClassDef | Callable, str]]:
    """Classes, functions and methods of the surface, by address, with the docstring of their class."""
    for name, module in ours.items():
        if not any(name == part or name.startswith(f"{part}.") for part in SURFACE) or "._" in name:
            continue
        for node in module.tree.body:
            if not isinstance(node, ast.ClassDef | Callable) or node.name.startswith("_"):
                continue
            yield f"{name}.{node.name}", node, ""
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                shown = isinstance(inner, Callable) and (not inner.name.startswith("_") or inner.name == "__init__")
                if shown and not any("overload" in ast.unparse(mark) for mark in inner.decorator_list):
                    yield f"{name}.{node.name}.{inner.name}", inner, ast.get_docstring(node) or ""


def without_docstring(ours: dict[str, Module]) -> list[str]:
    """Public classes, functions and methods; a test explains itself by its name, `__init__` by its class."""
    return [
        address
        for address, node, _ in _public(ours)
        if not ast.get_docstring(node) and not node.name.startswith("test_") and node.name != "__init__"
    ]


def without_unit(ours: dict[str, Module]) -> list[str]:
    """Numeric parameters in public functions of which no sentence with their name says what they count."""
    found = []
    for address, node, of_class in _public(ours):
        if isinstance(node, ast.ClassDef):
            continue
        words = " ".join(f"{ast.get_docstring(node) or ''}. {of_class}".split())
        sentences = re.split(r"(?<=[.;:])\s", words)
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        for argument in arguments:
            kinds = set(re.split(r"[^\w]+", ast.unparse(argument.annotation))) if argument.annotation else set()
            if not kinds & {"int", "float"} or kinds - {"int", "float", "None", "Optional", ""}:
                continue
            told = [sentence for sentence in sentences if re.search(rf"`{argument.arg}\b", sentence)]
            if not any(_UNITS.search(sentence) for sentence in told):
                found.append(f"{address}({argument.arg})")
    return found


def counts() -> dict[str, list[str]]:
    """What was counted, by the name of the count."""
    ours = modules()
    return {
        "modules at the root": at_the_root(),
        "import circles": import_circles(ours),
        "imports against the layers": against_the_layers(ours),
        "class names in two files": names_in_several_files(ours),
        "modules that only pass on": only_passing_on(ours),
        "public names without a docstring": without_docstring(ours),
        "numeric public parameters without a unit": without_unit(ours),
    }


def main(arguments: list[str]) -> int:
    for name, found in counts().items():
        print(f"{len(found):4}  {name}")
        if "-v" in arguments:
            print("".join(f"        {one}\n" for one in found), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
