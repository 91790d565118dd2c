"""Formats of third parties: packages that are really installed, read and written at every client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from acontext_plugins import Acontext
from acontext_plugins.formats import (
    FORMATS,
    all_formats,
    find_format,
    format_of,
    from_message,
    from_messages,
    registry,
    to_message,
)
from acontext_plugins.service import MessagesPage
from acontext_store.errors import InvalidInput

from ..packages import install

GROUP = "acontext_plugins.formats"
#: A line of a play: {"who": "HOST", "line": "..."}; ANYONE may interrupt, and {"cue": ...} belongs to no one.
MODULE = dedent("""
    from acontext_plugins.formats import Foreign, Format
    from acontext_store.errors import InvalidInput
    from acontext_store.types import Message, Part

    ROLES = {"GUEST": "user", "HOST": "assistant", "NARRATOR": "system"}

    def read(blob, **fields):
        if blob.get("who") not in ROLES:
            raise InvalidInput(f"message.who: found {blob.get('who')!r}, expected one of {', '.join(ROLES)}")
        parts = (Part(type="text", text=blob["line"]),)
        return Message(role=ROLES[blob["who"]], parts=parts, format="play", **fields)

    def write(message):
        names = {role: who for who, role in ROLES.items()}
        return {"who": names.get(message.role, "NARRATOR"), "line": message.text}

    def foreign(item):
        stray = next((name for name in item if name not in ("who", "line")), None)
        return None if stray is None else Foreign(0, f".{stray}", f"a field {stray!r}")

    PLAY = Format(name="play", read=read, write=write, foreign=foreign)
    SILENT = Format(name="silent", read=read, write=write)
    OPENAI = Format(name="openai", read=read, write=write)
""")
LINES = [{"who": "GUEST", "line": "Is it open?"}, {"who": "HOST", "line": "Always."}]


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages that this process, and those that it starts, import from."""
    points = {
        "play": "plays:PLAY",
        "silent": "plays:SILENT",
        "openai": "plays:OPENAI",
        "mime": "plays:PLAY",
        "gone": "no_such_module:GONE",
    }
    folder = install(tmp_path / "site", "plays", {GROUP: points}, {"plays.py": MODULE})
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    registry._registered.cache_clear()
    yield folder
    registry._registered.cache_clear()
    sys.modules.pop("plays", None)


def test_it_is_read_and_written_by_its_name() -> None:
    messages = [to_message(line, "play", id=str(at)) for at, line in enumerate(LINES)]
    assert [message.role for message in messages] == ["user", "assistant"]
    assert from_messages(messages, "play") == LINES
    assert from_message(messages[1], "play") == LINES[1]
    assert from_messages(messages, "openai")[0] == {"role": "user", "content": "Is it open?"}
    assert from_messages([to_message({"role": "user", "content": "Hi."})], "play") == [{"who": "GUEST", "line": "Hi."}]
    with pytest.raises(InvalidInput, match=r"message\.who: found 'DOG'"):
        to_message({"who": "DOG", "line": "Woof."}, "play")


def test_it_is_told_by_its_content_and_ours_as_before() -> None:
    assert format_of(LINES) == "play"
    assert format_of([{"role": "user", "content": "Hi."}]) == "openai"
    with pytest.raises(InvalidInput, match="it is a message of the format 'play'"):
        to_message(LINES[0], "anthropic")
    with pytest.raises(InvalidInput, match=r"messages\[1\].*which is 'openai'.*what stands before it is 'play'"):
        format_of([LINES[0], {"role": "tool", "tool_call_id": "c1", "content": "x"}])


def test_one_that_says_nothing_of_its_content_is_only_named() -> None:
    assert to_message(LINES[0], "silent").text == "Is it open?"
    assert "silent" in all_formats()


def test_what_cannot_be_loaded_is_logged_once_and_named_where_it_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    assert list(all_formats()) == [*FORMATS, "play", "silent"]
    for name in ("gone", "nobody"):
        with pytest.raises(InvalidInput, match=f"format: found '{name}'") as caught:
            find_format(name)
        assert "gone (ModuleNotFoundError" in str(caught.value)
        assert "mime (TypeError" in str(caught.value)
        assert "openai (ValueError: plays:OPENAI has a name that is taken" in str(caught.value)
    assert len([one for one in caplog.records if "'gone'" in one.message]) == 1
    assert find_format("openai").read is not find_format("play").read


def test_clients_send_and_read_it(tmp_path: Path) -> None:
    with Acontext(f"sqlite:///{tmp_path}/a.db") as client:
        session = client.sessions.create()
        for line in LINES:
            client.sessions.send_message(session.id, blob=line, format="play")
        page: MessagesPage = client.sessions.get_messages(session.id, format="play")
        assert page.items == LINES
        with pytest.raises(InvalidInput, match=r"expected one of openai, .*play"):
            client.sessions.get_messages(session.id, format="opera")


def test_learn_reads_it_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(json.dumps({"id": "c1", "messages": LINES, "outcome": "success"}))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "acontext"), "learn", "log.jsonl", "--space", "s"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with Acontext() as client:
        (session,) = client.sessions.list().items
        assert client.sessions.get_messages(session.id, format="play").items == LINES


def test_ours_are_read_without_a_look_at_what_is_installed() -> None:
    code = (
        "import importlib.metadata, sys\n"
        "def refuse(**asked): raise AssertionError(asked)\n"
        "from acontext_plugins.formats import from_messages, to_message\n"
        "importlib.metadata.entry_points = refuse\n"
        "print(from_messages([to_message({'role': 'user', 'content': 'Hi.'})], 'gemini'))\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Hi." in told.stdout
