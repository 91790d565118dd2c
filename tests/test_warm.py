"""What is started by the warm server is a process like any other, and fails where one would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from . import warm


def run(code: str, folder: Path, *arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(code)
    given = options.pop("stdin", "")
    return warm.server().run([str(script), *arguments], cwd=folder, env={**os.environ, **options}, input=given)


def test_a_script_has_its_own_arguments_folder_environment_and_streams(tmp_path: Path) -> None:
    code = (
        "import os, sys; print(sys.argv[1:], os.getcwd(), os.environ['SAID'], __name__, input())\nsys.stderr.write('e')"
    )
    done = run(code, tmp_path, "a", "b", SAID="this", stdin="line\n")
    assert done.stdout == f"['a', 'b'] {tmp_path} this __main__ line\n"
    assert (done.stderr, done.returncode) == ("e", 0)


def test_an_error_has_its_traceback_and_its_code(tmp_path: Path) -> None:
    done = run("assert 1 == 2, 'no such thing'", tmp_path)
    assert done.returncode == 1
    assert "AssertionError: no such thing" in done.stderr
    assert run("raise SystemExit(7)", tmp_path).returncode == 7


def test_a_warning_is_an_error(tmp_path: Path) -> None:
    done = run("import warnings; warnings.warn('old', DeprecationWarning)", tmp_path)
    assert (done.returncode, "DeprecationWarning: old" in done.stderr) == (1, True)


def test_it_ends_as_python_ends_threads_first_then_what_was_registered(tmp_path: Path) -> None:
    code = (
        "import atexit, threading\natexit.register(print, 'last')\n"
        "going = threading.Event()\nthreading.Thread(target=lambda: going.wait() and print('thread')).start()\n"
        "print('first')\ngoing.set()"
    )
    assert run(code, tmp_path).stdout.split() == ["first", "thread", "last"]


def test_a_signal_that_ends_it_is_told(tmp_path: Path) -> None:
    assert run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", tmp_path).returncode == -signal.SIGKILL


def test_one_that_does_not_end_is_ended(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import signal; signal.pause()")
    with pytest.raises(subprocess.TimeoutExpired):
        warm.server().run([str(tmp_path / "script.py")], cwd=tmp_path, env=dict(os.environ), timeout=0.2)


def test_nothing_is_left_for_the_next(tmp_path: Path) -> None:
    run("import os, sys; sys.left = 1; os.environ['LEFT'] = '1'", tmp_path)
    code = "import os, sys, threading; print(hasattr(sys, 'left'), 'LEFT' in os.environ, threading.active_count())"
    assert run(code, tmp_path).stdout == "False False 1\n"


def test_a_shell_starts_and_ends_the_command(tmp_path: Path) -> None:
    warm.server().write_command(tmp_path)
    told = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    shell = ["bash", "-c", "acontext --version && acontext none; echo $?"]
    done = subprocess.run(shell, cwd=tmp_path, env=told, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n2\n")
    assert "No such command 'none'" in done.stderr
    code = [str(Path(sys.executable).parent / "acontext"), "--version"]
    real = subprocess.run(code, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(real.stdout)
