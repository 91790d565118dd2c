"""`python -m tests.tracing`: which files of ours one warm run of the function adapter enters, in order, and what for.

The first part goes from the call to the commit, the second from there to the skill that the run made active. Nothing
is left out: a file counts as soon as one of its functions is called, on whichever thread.
"""

from __future__ import annotations

import ast
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from acontext_plugins import Acontext, Settings, current_run, learning, report

from .house import PACKAGES

#: The request, two calls, their results, the answer.
_MESSAGES_OF_A_RUN = 6
_OURS = {str(folder / package): f"{package}/" for package, folder in PACKAGES.items()}


@dataclass
class Trace:
    """Files in the order in which they were entered first."""

    to_the_commit: list[str]
    to_the_active_skill: list[str]


class Tracer:
    """Notes files while it listens. Threads are heard that were started while it was installed."""

    def __init__(self) -> None:
        self._entered: dict[str, None] | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        threading.setprofile(self._heard)
        sys.setprofile(self._heard)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]

    def listen(self, work: Callable[[], None]) -> list[str]:
        """The files that are entered until `work` returns."""
        self._entered = entered = {}
        try:
            work()
        finally:
            self._entered = None
        return [name for file in entered if (name := ours(file))]

    def _heard(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and self._entered is not None:
            self._entered.setdefault(frame.f_code.co_filename)


def ours(file: str) -> str | None:
    """Its name within our packages; None for files of others."""
    for folder, package in _OURS.items():
        if file.startswith(f"{folder}/"):
            return package + file.removeprefix(f"{folder}/")
    return None


def purpose(name: str) -> str:
    """What a file of ours is for: the first line of its docstring."""
    package, _, rest = name.partition("/")
    words = ast.get_docstring(ast.parse((PACKAGES[package] / package / rest).read_text()))
    return (words or "").partition("\n")[0]


def trace() -> Trace:
    """Of the second request of its kind: everything is imported, open and once used before it."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "traced.db")
        tracer = Tracer()
        with tracer.installed():
            # the worker would enter files of its own at any moment; `flush` does its work
            settings = Settings(url=f"sqlite:///{database}", worker={"enabled": False})
            with Acontext(settings=settings) as client:

                @learning(space="accounts", client=client)
                def refund(request: str, thing: str) -> str:
                    run = current_run()
                    email = request.split()[2]
                    run.record_tool(f"find_{thing}", {"email": email}, {"id": "A-1001"})
                    run.record_tool(f"refund_{thing}", {"id": "A-1001"}, {"status": "refunded"})
                    report("success")
                    return "It is refunded."

                def one_run(name: str, thing: str) -> None:
                    before = _messages(database)
                    refund(f"I am {name}@example.com . My {thing} was wrong, please refund it.", thing)
                    while _messages(database) < before + _MESSAGES_OF_A_RUN:
                        threading.Event().wait(0.001)

                for name in ("ada", "bob"):
                    one_run(name, "order")
                    client.flush()
                known = _active(database)
                to_the_commit = tracer.listen(lambda: one_run("eve", "trip"))
                to_the_skill = tracer.listen(client.flush)
                assert _active(database) > known, "the run made no skill active"
        return Trace(to_the_commit, to_the_skill)


def _messages(database: Path) -> int:
    return _count(database, "SELECT count(*) FROM messages")


def _active(database: Path) -> int:
    return _count(database, "SELECT count(*) FROM skills WHERE status = 'active'")


def _count(database: Path, query: str) -> int:
    with closing(sqlite3.connect(database)) as reading:
        return int(reading.execute(query).fetchone()[0])


def main() -> None:
    traced = trace()
    for title, files in (("to the commit", traced.to_the_commit), ("to the active skill", traced.to_the_active_skill)):
        print(f"{len(files)} files {title}")
        width = max(map(len, files))
        print("".join(f"    {file:{width}}  {purpose(file)}\n" for file in files), end="")


if __name__ == "__main__":
    main()
