"""Python processes that begin where others have spent a second importing: forked from one that has done so.

`server().run` is for scripts and for the `acontext` command what `subprocess.run` is, and what it starts is as real: a
process with an environment, a folder, streams, an exit code and an end of its own. What it inherits are modules: no
thread, no client and no file of ours. Whatever must show the import itself, or patches what others import, starts
Python the usual way.

The server lives as long as the tests that started it. Run as a program with a socket's path, this file is that server;
`write_command` writes an `acontext` for shells, which asks it.
"""

from __future__ import annotations

import array
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

#: What most of the pages and commands load, where it is installed.
_LOADED = (
    "acontext_plugins.client",
    "acontext_plugins.learning",
    "acontext_plugins.engine.embedded",
    "acontext_store.sql.sqlite",
    "acontext_plugins.learn.rules",
    "acontext_plugins.observe.rules",
    "acontext_plugins.files.service",
    "acontext_plugins.cli.main",
    "acontext_plugins.cli.show",
    "acontext_plugins.cli.learn",
    "rich.progress",
    "rich.table",
    "agents",
    "openai",
)


class Warm:
    """The server, and what is asked of it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="warm")
        self.address = str(Path(self._folder.name, "socket"))
        self._server = subprocess.Popen(
            [sys.executable, "-W", "error", __file__, self.address],
            env={**os.environ, "PYTHONWARNINGS": "error", "OPENAI_AGENTS_DISABLE_TRACING": "1"},
            stdin=subprocess.PIPE,  # its end is the server's
            stdout=subprocess.PIPE,
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == b"ready\n", "the server could not begin"

    def run(
        self, command: list[str], *, cwd: Path, env: dict[str, str], input: str = "", timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """A script with its arguments, or `acontext` with its own. `timeout` in seconds; raises TimeoutExpired."""
        with ExitStack() as streams:
            given, out, err = (streams.enter_context(tempfile.TemporaryFile("w+")) for _ in range(3))
            given.write(input)
            given.seek(0)
            asked = streams.enter_context(socket.socket(socket.AF_UNIX))
            child = ask(asked, self.address, command, str(cwd), env, [given.fileno(), out.fileno(), err.fileno()])
            asked.settimeout(timeout)
            try:
                code = answered(asked)
            except TimeoutError:
                os.kill(child, signal.SIGKILL)
                raise subprocess.TimeoutExpired(command, timeout) from None
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(command, code, out.read(), err.read())

    def write_command(self, folder: Path) -> None:
        """An `acontext` in that folder, for PATH."""
        shim = folder / "acontext"
        shim.write_text(
            f"#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            f"import warm\nsys.exit(warm.in_place({self.address!r}))\n"
        )
        shim.chmod(0o755)

    def close(self) -> None:
        self._server.communicate()
        self._folder.cleanup()


@functools.cache
def server() -> Warm:
    """The one of these tests; tests/conftest.py closes it."""
    return Warm()


def close() -> None:
    """Where there is one."""
    if server.cache_info().currsize:
        server().close()


def ask(
    asked: socket.socket, address: str, command: list[str], cwd: str, env: dict[str, str], streams: list[int]
) -> int:
    """The id of the process that has begun."""
    asked.connect(address)
    words = json.dumps([command, cwd, env]).encode()
    descriptors = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))]
    asked.sendmsg([len(words).to_bytes(8)], descriptors)
    asked.sendall(words)
    return int.from_bytes(_exactly(asked, 8))


def answered(asked: socket.socket) -> int:
    """Its exit code, once it has ended; negative the signal that ended it, as everywhere in Python."""
    return int.from_bytes(_exactly(asked, 8), signed=True)


def in_place(address: str) -> int:
    """Be that process, for who started this one: streams, folder, environment and signals are passed on."""
    with socket.socket(socket.AF_UNIX) as asked:
        command = ["acontext", *sys.argv[1:]]
        child = ask(asked, address, command, os.getcwd(), dict(os.environ), [0, 1, 2])
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _: os.kill(child, received))
        code = answered(asked)
    return code if code >= 0 else 128 - code


def _exactly(asked: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        more = asked.recv(size - len(got))
        if not more:
            raise ConnectionError("the server has gone")
        got += more
    return got


def _serve(address: str) -> list[str]:
    """Answer until nobody holds the other end of stdin.

    Comes back in a process that was asked for, which goes on as that: with what it is to run.
    """
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        print("ready", flush=True)
        while True:
            if sys.stdin in select.select([listening, sys.stdin], [], [])[0]:
                os._exit(0)
            asked, _ = listening.accept()
            if os.fork() == 0:  # who waits for the process, and then tells
                listening.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                return _begin(asked)
            asked.close()


def _begin(asked: socket.socket) -> list[str]:
    head, ancillary, _, _ = asked.recvmsg(8, socket.CMSG_SPACE(3 * array.array("i").itemsize))
    streams = array.array("i", ancillary[0][2])
    command, cwd, env = json.loads(_exactly(asked, int.from_bytes(head)))
    child = os.fork()
    if child:
        for stream in streams:
            os.close(stream)
        asked.sendall(child.to_bytes(8))
        _, status = os.waitpid(child, 0)
        try:
            asked.sendall(os.waitstatus_to_exitcode(status).to_bytes(8, signed=True))
        finally:
            os._exit(0)
    asked.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # those of the server know whether its own streams can be wound back
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", closefd=False, errors="backslashreplace", buffering=1)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    return list(command)


def _become(command: list[str]) -> Any:
    sys.argv = command
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    script = command[0] != "acontext"
    sys.path[:0] = [str(Path(command[0]).parent)] * script + [folder for folder in path if folder]
    if script:
        module = ModuleType("__main__")
        module.__file__ = command[0]
        sys.modules["__main__"] = module
        exec(compile(Path(command[0]).read_text(), command[0], "exec"), vars(module))
        return 0
    from acontext_plugins.cli.main import main

    return main()


if __name__ == "__main__":
    import gc
    import threading
    from importlib import import_module
    from importlib.util import find_spec

    sys.path.pop(0)  # the folder of the tests is none of theirs
    for _name in _LOADED:
        if find_spec(_name.partition(".")[0]) is not None:
            import_module(_name)
    assert threading.active_count() == 1, threading.enumerate()
    gc.freeze()  # what is shared stays shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sys.exit(_become(_serve(sys.argv[1])))
