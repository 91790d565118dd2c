"""Other processes, for tests: forked children that speak through a pipe."""

from __future__ import annotations

import os
import signal
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

Say = Callable[[str], None]


@dataclass
class Child:
    """A process, and what it has said."""

    pid: int
    _pipe: int
    _rest: bytes = b""
    lines: list[str] = field(default_factory=list)
    _ended: bool = False

    def hear(self, count: int = 1) -> list[str]:
        """Wait until it has said so many lines in all, or has fallen silent for good."""
        while len(self.lines) < count and self._read():
            pass
        return self.lines

    def kill(self) -> list[str]:
        """End it at once, wherever it is; all that it had said by then."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait(expected=-signal.SIGKILL)

    def wait(self, expected: int = 0) -> list[str]:
        """Wait for its end, which must be an orderly one; all that it said."""
        while self._read():
            pass
        if not self._ended:
            self._ended = True
            status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._pipe)
            assert status == expected, f"the child ended with {status}: {self.lines[-20:]}"
        return self.lines

    def _read(self) -> bool:
        if self._ended:
            return False
        data = os.read(self._pipe, 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.lines += [line.decode() for line in lines]
        return bool(data)


def start(work: Callable[[Say], None]) -> Child:
    """Do `work` in a process of its own; what it says arrives line by line."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks beside threads: here they are idle
        pid = os.fork()
    if pid:
        os.close(writing)
        return Child(pid, reading)
    code = 1
    try:
        os.close(reading)
        work(lambda line: _write_line(writing, line))
        code = 0
    except BaseException:
        _write_line(writing, traceback.format_exc())
    finally:
        os._exit(code)


def _write_line(pipe: int, line: str) -> None:
    os.write(pipe, line.encode() + b"\n")
