"""Writes the resources of the synchronous client from those of the asynchronous one: `python -m tests.sync_client`.

Each `AsyncX` becomes an `X` with the same methods, signatures and docstrings, whose examples do not `await`; a method
waits for its twin.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CLIENT = Path(__file__).parents[1] / "acontext_plugins" / "client"
SOURCES = ("asynchronous", "disks", "jobs", "outcome_sources")
#: What each module holds; None = all the rest.
TARGETS = {CLIENT / "sessions.py": {"AsyncSessions"}, CLIENT / "resources.py": None}
HEAD = '''"""What `Acontext` offers: {what} of `AsyncAcontext`, each method waited for.

Generated from the modules of the asynchronous client by `python -m tests.sync_client`: change those.
"""

from __future__ import annotations

'''


def generated(target: Path) -> str:
    """The text of a module, formatted. Raises CalledProcessError where the sources are no Python."""
    others = {name for names in TARGETS.values() if names is not None for name in names}
    mine = TARGETS[target]
    imports: list[str] = []
    classes: list[str] = []
    for name in SOURCES:
        for node in ast.parse((CLIENT / f"{name}.py").read_text()).body:
            match node:
                case ast.ImportFrom(module=module) if module != "__future__":
                    imports.append(ast.unparse(node))
                case ast.Import():
                    imports.append(ast.unparse(node))
                case ast.Assign(targets=[ast.Name(id=alias)]):
                    imports.append(f"from .{name} import {alias}")
                case ast.ClassDef(name=asynchronous, bases=[ast.Name(id="AsyncResource")]) if (
                    asynchronous in mine if mine is not None else asynchronous not in others
                ):
                    imports.append(f"from .{name} import {asynchronous}")
                    classes.append("\n".join(_resource(node)))
    imports.append("from .connection import Connection, Resource")
    head = HEAD.replace("{what}", "the resources" if mine is None else "sessions")
    return _formatted(head + "\n".join(imports) + "\n\n" + "\n\n".join(classes), target)


def _resource(node: ast.ClassDef) -> Iterator[str]:
    yield f"class {_waiting(node.name)}(Resource):"
    yield _docstring(node, "    ")
    yield "    def __init__(self, connection: Connection) -> None:"
    yield "        super().__init__(connection)"
    yield f"        self._async = {node.name}(connection)"
    for method in node.body:
        match method:
            case ast.FunctionDef(name="__init__"):
                for statement in method.body[1:]:  # after the call of the base class
                    yield "        " + _waiting(ast.unparse(statement))
            case ast.Assign():  # another name of a method
                yield ""
                yield "    " + ast.unparse(method)
            case ast.AsyncFunctionDef(name=name, args=arguments) if not name.startswith("_"):
                assert not (arguments.vararg)
                assert not (arguments.kwarg)
                assert not (arguments.posonlyargs)
                assert not (method.decorator_list)
                given = [one.arg for one in arguments.args[1:]]
                given += [f"{one.arg}={one.arg}" for one in arguments.kwonlyargs]
                result = _waiting(ast.unparse(method.returns)) if method.returns else "None"
                yield ""
                yield f"    def {name}({_waiting(ast.unparse(arguments))}) -> {result}:"
                yield _docstring(method, "        ")
                yield f"        return self._run(self._async.{name}({', '.join(given)}))"


def _docstring(node: ast.ClassDef | ast.AsyncFunctionDef, indent: str) -> str:
    text = ast.get_docstring(node, clean=False)
    assert text is not None, f"{node.name} needs a docstring"
    text = re.sub(r"^( *(?:>>>|\.\.\.) .*?)\bawait ", r"\1", text, flags=re.MULTILINE)
    return f'{indent}r"""{text}"""' if "\\" in text else f'{indent}"""{text}"""'


def _waiting(text: str) -> str:
    return text.replace("Async", "")


def _formatted(text: str, target: Path) -> str:
    for command in (["check", "--fix", "--quiet", "--exit-zero"], ["format", "--quiet"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(target), "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True, cwd=CLIENT).stdout
    return text


if __name__ == "__main__":
    for target in TARGETS:
        target.write_text(generated(target))
