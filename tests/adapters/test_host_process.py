"""A host's process is its own: with us it is as it was, before a run, in it and behind it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ..envs.definitions import ROOT
from .process_state import HOSTS

_ENDING = """
import atexit, sys
atexit.register(print, "registered first")
from acontext_plugins import Acontext, learning
client = Acontext(sys.argv[1])
learning(lambda question: "on Monday", space="s", client=client)("when does it come?")
atexit.register(print, "registered last")
sys.exit(3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTS)
def test_a_process_is_as_it_was(name: str) -> None:
    pytest.importorskip({"openai-agents": "agents", "function": "json"}.get(name, name))
    command = [sys.executable, "-m", "tests.adapters.process_state", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {}


@pytest.mark.slow
def test_a_process_ends_as_it_would(tmp_path: object) -> None:
    command = [sys.executable, "-c", _ENDING, f"sqlite:///{tmp_path}/memory.db"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "registered last\nregistered first\n", "")
