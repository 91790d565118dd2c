"""The seed's snippets run against `acontext serve`, in a process of their own, with the unmodified SDK."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from . import snippets
from .conftest import Served

try:
    SDK = tuple(int(number) for number in version("acontext").split("."))
except PackageNotFoundError:
    SDK = (0,)

#: What the README leaves to its reader: an OpenAI client. This one says a line of its own.
OPENAI = """
from types import SimpleNamespace
from openai.types.chat import ChatCompletionMessage

class _Completions:
    def create(self, *, model, messages):
        assert messages[-1] == {"role": "user", "content": "How are you doing?"}, messages
        answer = ChatCompletionMessage(role="assistant", content=f"Fine, after {len(messages)} messages.")
        return SimpleNamespace(choices=[SimpleNamespace(message=answer)])

openai_client = SimpleNamespace(chat=SimpleNamespace(completions=_Completions()))
"""
FETCH = """
import urllib.request
with urllib.request.urlopen(result.public_url) as response:
    assert response.read() == b"# Sprint Plan\\n\\n## Goals\\n- Complete user authentication\\n- Fix critical bugs"
print("fetched")
"""


def adapted(snippet: str, served: Served) -> str:
    """The snippet as it stands, but for the port where 8029 is taken, and what later SDKs call otherwise."""
    text = snippet if served.port == 8029 else snippet.replace(":8029/", f":{served.port}/")
    if SDK >= (0, 0, 9):
        text = re.sub(r'task\.data\[["\'](\w+)["\']\]', r"task.data.\1", text)
        text = re.sub(r'"(\w+)" in task\.data', r"task.data.\1", text)
    if SDK >= (0, 0, 10):
        text = text.replace("send_message", "store_message")
    return text


def run(served: Served, folder: Path, *parts: str) -> str:
    script = folder / "seed.py"
    script.write_text("\n".join(adapted(part, served) for part in parts))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_connect_save_load_and_go_on(served: Served, tmp_path: Path) -> None:
    check = "print([item['content'][:13] for item in client.sessions.get_messages(session.id).items])"
    said = run(served, tmp_path, snippets.CONNECT, snippets.SAVE, OPENAI, snippets.LOAD, check)
    lines = said.splitlines()
    assert lines[0] == "Fine, after 3 messages."
    assert lines[1] == "['I need to wri', 'Sure, my plan', 'Fine, after 3']"


def test_artifacts_and_their_download(served: Served, tmp_path: Path) -> None:
    said = run(served, tmp_path, snippets.CONNECT, snippets.ARTIFACTS, FETCH)
    assert re.match(r"artifacts=\[Artifact\(disk_id='[0-9a-f-]{36}', path='/todo/', filename='todo\.md'", said)
    assert "directories=[]" in said
    assert "✓ File content: # Sprint Plan\n\n## Goals\n- Complete user authentication\n- Fix critical bugs\n" in said
    assert re.search(r"^✓ Download URL: http://\S+$", said, re.MULTILINE)
    assert said.endswith("fetched\n")


def test_observed_tasks_without_a_model(served: Served, tmp_path: Path) -> None:
    said = run(served, tmp_path, snippets.OBSERVE)
    assert said.startswith("items=[Task(id=")
    assert "next_cursor=None has_more=False" in said
    assert "\nTask #1:\n  ID: " in said
    assert "landing page of iPhone 15 pro max" in said
    assert re.search(r"^  Status: (pending|running|success)$", said, re.MULTILINE)


def test_a_space_a_session_in_it_and_a_search(served: Served, tmp_path: Path) -> None:
    check = "print(session.space_id == space.id, result.cited_blocks, result.final_answer)"
    said = run(served, tmp_path, snippets.CONNECT, snippets.LEARN, snippets.SEARCH, check)
    assert re.fullmatch(r"Created Space: [0-9a-f-]{36}\nTrue \[\] None\n", said)


@pytest.mark.parametrize("key", ["sk-ac-another", "nonsense"])
def test_a_wrong_key_is_an_error_of_the_sdk(served: Served, tmp_path: Path, key: str) -> None:
    text = snippets.CONNECT.replace("client.ping()", "").replace("sk-ac-your-root-api-bearer-token", key, 1)
    check = (
        "from acontext.errors import APIError\ntry:\n    client.ping()\nexcept APIError as error:\n"
        "    print(error.status_code, str(error)[:17])"
    )
    assert run(served, tmp_path, text, check) == "401 401: Unauthorized\n"
