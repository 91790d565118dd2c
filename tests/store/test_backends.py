"""Storage backends of third parties: packages that are really installed, used through every client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from acontext_plugins import Acontext, learning
from acontext_store.errors import AcontextError, InvalidInput, StoreUnavailable
from acontext_store.open import open_blobs, open_keys, open_secret, open_store
from acontext_store.testing.factories import a_session, done, said, texts
from acontext_store.types import ApiKey

from ..packages import install

GROUP = "acontext_plugins.stores"
#: What `other:///path` names is kept in SQLite: the conversations in one file for each project, the rest beside it.
MODULE = dedent('''
    """Opens other:///directory."""

    from pathlib import Path

    from acontext_store.backend import Backend
    from acontext_store.sql.backend import SqliteBackend
    from acontext_store.urls import file_of

    class Other(Backend):
        def __init__(self):
            self.below = SqliteBackend()

        def key_of(self, url):
            return str(file_of(url))

        def open_store(self, url, *, project_id, durability, busy_timeout):
            options = {"project_id": project_id, "durability": durability, "busy_timeout": busy_timeout}
            return self.below.open_store(self._below(url, project_id), **options)

        def open_blobs(self, url, *, project_id):
            return self.below.open_blobs(self._below(url, project_id), project_id=project_id)

        def open_keys(self, url):
            return self.below.open_keys(self._below(url, "keys"))

        def open_secret(self, url):
            return self.below.open_secret(self._below(url, "keys"))

        def _below(self, url, name):
            return f"sqlite:///{file_of(url)}/{name}.db"

    class BlobsOnly(Backend):
        open_blobs = Other.open_blobs
        _below = Other._below
        below = SqliteBackend()

    class OldStore:
        def close(self):
            pass

    class Old(Backend):
        def open_store(self, url, **options):
            return OldStore()

    def no_backend():
        return {}
''')


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that this process, and those that it starts, import from."""
    folder = tmp_path / "site"
    points = {
        "other": "otherstore:Other",
        "bytes": "otherstore:BlobsOnly",
        "old": "otherstore:Old",
        "odd": "otherstore:no_backend",
        "gone": "no_such_driver:Backend",
    }
    install(folder, "otherstore", {GROUP: points}, {"otherstore.py": MODULE})
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    yield folder  # type: ignore[misc]
    sys.modules.pop("otherstore", None)


@pytest.mark.usefixtures("site")
def test_the_scheme_of_a_url_picks_the_backend(tmp_path: Path) -> None:
    url = f"other:///{tmp_path}/data"
    store = open_store(url, project_id="p1", durability="full")
    done(store.append("s1", [said("hello")], ensure=a_session()))
    assert texts(store, "s1") == ["hello"]
    store.close()
    blobs = open_blobs(url, project_id="p1")
    assert blobs.get(blobs.put(b"bytes")) == b"bytes"
    key = open_keys(url).add(ApiKey(project_id="p1", name="", hint="sk-", hash="h"))
    assert open_keys(url).all() == [key]
    assert open_secret(url) == open_secret(url)
    assert (tmp_path / "data" / "p1.db").is_file()


@pytest.mark.usefixtures("site")
def test_a_client_and_learning_use_it_like_our_own(tmp_path: Path) -> None:
    with Acontext(f"other:///{tmp_path}/data", project="shop") as client:

        @learning(space="greetings", client=client)
        def greet(name: str) -> str:
            return f"Hello, {name}."

        assert greet("Ada") == "Hello, Ada."
        client.flush()
        (session,) = client.sessions.list().items
        assert client.sessions.get_tasks(session.id).items[0].status == "success"
        disk = client.disks.create()
        client.disks.artifacts.upsert(disk.id, file=("a.txt", b"kept"))
        found = client.disks.artifacts.get(
            disk.id, file_path="/", filename="a.txt", with_content=True, with_public_url=True
        )
        assert found.content is not None
        assert found.content.raw == "kept"
        assert found.public_url
    assert (tmp_path / "data" / "shop.db").is_file()


@pytest.mark.usefixtures("site")
def test_clients_of_one_place_share_an_engine_however_they_spell_it(tmp_path: Path) -> None:
    with Acontext(f"other:///{tmp_path}/data") as first, Acontext(f"other:///{tmp_path}/./data") as second:
        assert first.connection.opened() is second.connection.opened()
        with Acontext(f"other:///{tmp_path}/elsewhere") as third:
            assert third.connection.opened() is not first.connection.opened()


@pytest.mark.usefixtures("site")
def test_commands_use_it_in_processes_of_their_own(tmp_path: Path) -> None:
    url = f"other:///{tmp_path}/data"
    turns = [{"role": "user", "content": "Refund A-1."}, {"role": "assistant", "content": "Done."}]
    (tmp_path / "log.jsonl").write_text(json.dumps({"id": "c1", "messages": turns, "outcome": "success"}))
    learned = acontext("learn", "log.jsonl", "--space", "support", "--url", url, cwd=tmp_path)
    assert learned.returncode == 0, learned.stderr
    assert acontext("keys", "create", "--url", url, cwd=tmp_path).stdout.startswith("sk-ac-")
    told = acontext("doctor", "--url", f"{url}?password=hidden", cwd=tmp_path).stdout
    assert "hidden" not in told
    assert "1 sessions, 2 messages" in told
    assert "other (otherstore:Other)" in told
    assert not (tmp_path / ".acontext").exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("absent://u:hidden@host/db?sslpassword=hidden", ["absent://", "bytes://, file://", "other://", GROUP]),
        ("absent://u:hid/den@host/db", ["absent://u:***@host/db"]),
        ("gone:///x", ["otherstore (no_such_driver:Backend)", "ModuleNotFoundError"]),
        ("odd:///x", ["otherstore (otherstore:no_backend)", "a dict"]),
        ("old:///x", ["otherstore.Old", "OldStore without append,", "another version"]),
        ("bytes:///x", ["'bytes:///x'", "no conversations and skills"]),
    ],
)
@pytest.mark.usefixtures("site")
def test_a_url_that_cannot_be_opened_is_told_with_the_way_out(url: str, words: list[str]) -> None:
    with pytest.raises(AcontextError) as caught:
        open_store(url, project_id="p1")
    assert isinstance(caught.value, InvalidInput | StoreUnavailable)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "hidden" not in str(caught.value)
    with pytest.raises(type(caught.value)):
        Acontext(url)


@pytest.mark.usefixtures("site")
def test_a_backend_offers_only_what_it_has(tmp_path: Path) -> None:
    url = f"bytes:///{tmp_path}/data"
    blobs = open_blobs(url, project_id="p1")
    assert blobs.get(blobs.put(b"bytes")) == b"bytes"
    for opening in (open_keys, open_secret):
        with pytest.raises(InvalidInput, match="backend has no"):
            opening(url)


def test_two_packages_that_open_the_same_urls_are_both_named(site: Path) -> None:
    for name in ("first", "second"):
        install(site, name, {GROUP: {"contested": "otherstore:Other"}})
    with pytest.raises(InvalidInput, match=r"first \(otherstore:Other\)") as caught:
        open_store("contested:///x", project_id="p1")
    assert "second (" in str(caught.value)


def test_our_own_open_where_the_metadata_of_packages_is_not_shipped(tmp_path: Path) -> None:
    """As in a program that is one file; and nobody waits for a look at what is installed."""
    code = (
        "import importlib.metadata\n"
        "def entry_points(group='', **select):\n"
        "    assert not group.startswith('acontext'), group\n"
        "    return []\n"
        "importlib.metadata.entry_points = entry_points\n"
        "from acontext_store.open import open_blobs, open_store\n"
        f"open_store('sqlite:///{tmp_path}/a.db', project_id='p1').close()\n"
        f"open_blobs('file://{tmp_path}/blobs', project_id='p1')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.usefixtures("site")
def test_a_backend_is_imported_when_one_of_its_urls_is_opened(tmp_path: Path) -> None:
    code = (
        "import sys; from acontext_store.open import open_blobs, open_keys\n"
        f"open_blobs('file://{tmp_path}/blobs', project_id='p1')\n"
        "print([name for name in ('otherstore', 'sqlalchemy', 'acontext_store.sql') if name in sys.modules])\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def acontext(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "acontext"), *arguments],
        cwd=cwd,
        env={**os.environ, "HOME": str(cwd), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
