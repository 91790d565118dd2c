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
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = {"acontext_plugins": ROOT, "acontext_store": ROOT / "store", "acontext_adapters": ROOT / "adapters"}
#: Where users, and those who extend this, import from: they reach the names in `__all__` of these modules
#: (tests/test_public_names.py lists most), and the classes that the annotations of those names lead to. Adapters are
#: not among them: users call `learning`, and frameworks call the hooks that they document themselves.
SURFACE = (
    "acontext_adapters.testing",
    "acontext_plugins",
    "acontext_plugins.agent",
    "acontext_plugins.client",
    "acontext_plugins.errors",
    "acontext_plugins.formats",
    "acontext_plugins.learning",
    "acontext_plugins.llm",
    "acontext_plugins.protocols",
    "acontext_plugins.runs",
    "acontext_plugins.service",
    "acontext_plugins.settings",
    "acontext_plugins.testing",
    "acontext_store.backend",
    "acontext_store.open",
    "acontext_store.protocols",
    "acontext_store.testing",
)
#: Modules that annotations lead to and users are not, and why.
NOT_REACHED = {
    "acontext_plugins.client.engines": "an engine is met as a `Service`, which is counted",
}
#: Classes that may stand in several files under one name, and why.
SAME_NAME: dict[str, str] = {}
#: Modules that may hold imports alone, and why.
PASSING_ON = {"acontext_plugins.errors": "the exceptions belong to the store, and users look for them here"}
#: A word that says what a number counts.
_UNITS = re.compile(
    r"\b(seconds?|milliseconds?|minutes?|hours?|days?|bytes?|characters?|tokens?|messages?|rows?|items?|lines?|runs?|"
    r"skills?|tasks?|jobs?|calls?|pages?|files?|entries|number of|how many|at most|fraction|share|probability|"
    r"between 0 and 1|distance|ports?|version|from 0|from 1|index|position|status code|times|attempts?|dollars?)\b",
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

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All that is in the tree."""
        return list(ast.walk(self.tree))

    @property
    def package(self) -> str:
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    @cached_property
    def exported(self) -> list[str]:
        """The names in `__all__`."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                return [str(name) for name in ast.literal_eval(node.value)]
        return []

    def source_of(self, node: ast.ImportFrom) -> str:
        """The full name of the module that an import is from."""
        parent = self.package.split(".")
        base = ".".join(parent[: len(parent) - node.level + 1]) if node.level else ""
        return ".".join(part for part in (base, node.module) if part)

    def imports(self, known: set[str], *, loading: bool) -> set[str]:
        """Modules of ours that it names; with `loading` those alone that are imported while it is imported."""
        found: set[str] = set()
        for node in _loading(self.tree.body) if loading else self.nodes:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = self.source_of(node)
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


@cache
def modules() -> dict[str, Module]:
    """All of ours, by their full names; each is read once in a process."""
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
    known = set(ours)
    graph = {name: module.imports(known, loading=True) for name, module in ours.items()}
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
    known = set(ours)
    targets = {name: module.imports(known, loading=False) for name, module in ours.items()}
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
            for name in ours:
                here = _floor_of(name, floor)
                for target in targets[name] if here else ():
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
        for node in module.nodes:
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
Found = tuple[Module, ast.stmt]


def _statements(module: Module) -> Iterator[ast.stmt]:
    """Statements of a module's own level, those under `if TYPE_CHECKING` and in `try` too."""
    todo: list[ast.stmt] = list(module.tree.body)
    while todo:
        node = todo.pop(0)
        yield node
        if isinstance(node, ast.If | ast.Try):
            todo += node.body + node.orelse


def _defined(ours: dict[str, Module], module: Module, name: str) -> Found | None:
    """Where a name that a module uses is defined, if that is in code of ours."""
    for node in _statements(module):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if node.name == name and not _is_overload(node):
                    return module, node
            case ast.Assign(targets=[ast.Name(id=found)]) if found == name:
                return module, node
            case ast.ImportFrom():
                for alias in node.names:
                    if (alias.asname or alias.name) == name and (source := module.source_of(node)) in ours:
                        return _defined(ours, ours[source], alias.name)
    return None


def _is_overload(node: ast.stmt) -> bool:
    return any("overload" in ast.unparse(mark) for mark in getattr(node, "decorator_list", ()))


def _shown(node: ast.ClassDef) -> Iterator[ast.stmt]:
    """Members of a class that others use: fields and methods."""
    for inner in node.body:
        if isinstance(inner, Callable):
            if (not inner.name.startswith("_") or inner.name == "__init__") and not _is_overload(inner):
                yield inner
        elif isinstance(inner, ast.AnnAssign) and not ast.unparse(inner.target).startswith("_"):
            yield inner


def _leads_to(node: ast.AST) -> Iterator[ast.expr | None]:
    """Expressions that name what a user of this gets to: bases, annotations, attributes made in `__init__`."""
    match node:
        case ast.ClassDef():
            yield from node.bases
            for inner in _shown(node):
                yield from _leads_to(inner)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            arguments = [
                *node.args.posonlyargs,
                *node.args.args,
                *node.args.kwonlyargs,
                node.args.vararg,
                node.args.kwarg,
            ]
            yield from (argument.annotation for argument in arguments if argument)
            yield node.returns
            for inner in ast.walk(node) if node.name == "__init__" else ():
                match inner:
                    case ast.Assign(targets=[ast.Attribute(attr=attribute)], value=ast.Call(func=made)):
                        if not attribute.startswith("_"):
                            yield made
        case ast.AnnAssign():
            yield node.annotation
        case ast.Assign():
            yield node.value  # the name of a type


def reached(ours: dict[str, Module]) -> dict[str, Found]:
    """What a stranger can get hold of, by address: the public names, and what their annotations lead to."""
    found: dict[str, Found] = {}
    todo = [(ours[name], one) for name in SURFACE for one in ours[name].exported]
    while todo:
        module, name = todo.pop()
        where = _defined(ours, module, name)
        if where is None or where[0].name in NOT_REACHED:
            continue
        address = f"{where[0].name}.{getattr(where[1], 'name', name)}"
        if address in found:
            continue
        found[address] = where
        names = {
            inner.id
            for expression in _leads_to(where[1])
            if expression is not None
            for inner in ast.walk(expression)
            if isinstance(inner, ast.Name)
        }
        todo += [(where[0], one) for one in sorted(names)]
    return dict(sorted(found.items()))


def public(ours: dict[str, Module]) -> Iterator[tuple[str, ast.ClassDef | Callable, str]]:
    """Classes, functions and methods that are reached, by address, with the docstring of their class."""
    for address, (_, node) in reached(ours).items():
        if isinstance(node, ast.ClassDef | Callable) and not node.name.startswith("_"):
            yield address, node, ""
        for inner in _shown(node) if isinstance(node, ast.ClassDef) else ():
            if isinstance(inner, Callable):
                yield f"{address}.{inner.name}", inner, ast.get_docstring(node) or ""


def without_docstring(ours: dict[str, Module]) -> list[str]:
    """Public classes, functions and methods; a test explains itself by its name, `__init__` by its class."""
    return [
        address
        for address, node, _ in public(ours)
        if not ast.get_docstring(node) and not node.name.startswith("test_") and node.name != "__init__"
    ]


def without_unit(ours: dict[str, Module]) -> list[str]:
    """Numeric parameters in public functions of which no sentence with their name says what they count."""
    found = []
    for address, node, of_class in public(ours):
        if isinstance(node, ast.ClassDef) or node.name.startswith("test_"):
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
