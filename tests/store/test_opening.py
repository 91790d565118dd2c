"""From a URL to a store, and what is said when that cannot be."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import acontext_store
from acontext_store.errors import IncompatibleStore, InvalidInput, StoreUnavailable
from acontext_store.open import database_path, database_url, open_store
from acontext_store.protocols import Store
from acontext_store.sql import schema
from acontext_store.sql.connect import writing
from acontext_store.sql.migrations import REVISIONS, VERSION_TABLE
from acontext_store.sql.tables import metadata
from acontext_store.testing.factories import a_session, done, said, texts

from .children import Say, start


def _opens(url: str) -> None:
    store = open_store(url, project_id="p1")
    done(store.append("s1", [said("hello")], ensure=a_session()))
    assert isinstance(store, Store)
    store.close()


def test_a_path_may_be_absolute_relative_or_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    _opens(f"sqlite:///{tmp_path}/absolute/a b%25?.db".replace("?", "%3F"))
    _opens("sqlite:///relative.db")
    _opens("sqlite:///~/deep/er/home.db")
    assert (tmp_path / "absolute" / "a b%?.db").is_file()
    assert (tmp_path / "relative.db").is_file()
    assert (tmp_path / "home" / "deep" / "er" / "home.db").is_file()


@pytest.mark.parametrize("folder", ["plain", "a b", "50%25 off", "what?", "a#b", "~", "naïve", "back\\slash"])
def test_a_url_names_the_file_that_it_was_made_of(folder: str, tmp_path: Path) -> None:
    path = tmp_path / folder / "a.db"
    assert database_path(database_url(path)) == path
    _opens(database_url(path))
    assert path.is_file()


def test_only_a_url_of_ours_names_a_file() -> None:
    for url in ("", "http://localhost/api/v1", "sqlite:///", "sqlite:relative.db"):
        assert database_path(url) is None


def test_what_is_made_is_for_its_owner_only(tmp_path: Path) -> None:
    os.umask(os.umask(0))
    _opens(f"sqlite:///{tmp_path}/new/er/a.db")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new", *(tmp_path / "new").rglob("*"))}
    assert modes == {"new": 0o700, "er": 0o700, "a.db": 0o600}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.db",
        "/tmp/a.db",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite://host/a.db",
        "mysql://u:secret@h/d",
        "SQLITE:///a",
    ],
)
def test_another_url_is_refused_with_what_is_known(url: str) -> None:
    with pytest.raises(InvalidInput, match="sqlite:///") as caught:
        open_store(url, project_id="p1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "project_id",
    [
        None,
        "",
        "*",
        " ",
        "a b",
        "a\n",
        "a\0",
        "-a",
        ".",
        "..",
        "../x",
        "a/b",
        "pаypal",
        "ａ",
        "é",
        "a" * 129,
        "a%",
        7,
        "p1 ",
    ],
)
def test_a_project_id_that_could_deceive_is_refused(tmp_path: Path, project_id: str) -> None:
    with pytest.raises(InvalidInput, match="project id"):
        open_store(f"sqlite:///{tmp_path}/a.db", project_id=project_id)
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize("durability", ["", "none", "FULL"])
def test_durability_is_normal_or_full(tmp_path: Path, durability: str) -> None:
    with pytest.raises(InvalidInput, match="durability"):
        open_store(f"sqlite:///{tmp_path}/a.db", project_id="p1", durability=durability)  # type: ignore[arg-type]
    for good, level in (("normal", 1), ("full", 2)):
        link = writing(tmp_path / "a.db", durability=good)  # type: ignore[arg-type]
        assert link.raw.execute("PRAGMA synchronous").fetchone() == (level,)
        link.close()


def test_a_directory_is_not_a_database(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=f"{tmp_path}.*is a directory"):
        open_store(f"sqlite:///{tmp_path}", project_id="p1")


def test_another_file_is_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, " * 1000)
    with pytest.raises(StoreUnavailable, match=f"{path}.*not a SQLite database.*choose another path"):
        open_store(f"sqlite:///{path}", project_id="p1")
    assert path.read_text().startswith("Dear reader")


def test_a_damaged_database_is_reported(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\xff" * (len(data) - 100))
    with pytest.raises(StoreUnavailable, match=r"damaged.*backup"):
        open_store(f"sqlite:///{path}", project_id="p1")


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE messages (id)")
    raw.close()
    with pytest.raises(StoreUnavailable, match="another program"):
        open_store(f"sqlite:///{path}", project_id="p1")


def test_a_file_in_the_way_of_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailable, match="file is a file, not a directory"):
        open_store(f"sqlite:///{tmp_path}/file/a.db", project_id="p1")


def test_a_directory_that_cannot_be_written_is_named() -> None:
    def work(say: Say) -> None:
        if os.getuid() == 0:
            os.setuid(65534)  # for root everything is writable
        for path in (f"{directory}/a.db", f"{directory}/sub/a.db"):
            with pytest.raises(StoreUnavailable, match=f"{directory}.*writable for this user") as caught:
                open_store(f"sqlite:///{path}", project_id="p1")
            say(str(caught.value))

    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o555)
        try:
            assert len(start(work).wait()) == 2
        finally:
            os.chmod(directory, 0o755)


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    _opens(f"sqlite:///{tmp_path}/a.db")


def test_a_newer_database_is_not_touched(path: Path) -> None:
    raw = sqlite3.connect(path)
    raw.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    raw.commit()
    raw.close()
    before = path.read_bytes()
    with pytest.raises(IncompatibleStore, match=r"newer version.*9999.*upgrade"):
        open_store(f"sqlite:///{path}", project_id="p1")
    assert path.read_bytes() == before


def test_the_migrations_lead_to_the_tables_that_a_new_database_has(path: Path, tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/new.db", project_id="p1").close()
    link = writing(tmp_path / "migrated.db")
    try:
        link.raw.execute("BEGIN IMMEDIATE")
        schema._migrate(link)
        link.raw.execute("COMMIT")
        context = MigrationContext.configure(link.sql, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
    finally:
        link.close()
    assert _described(tmp_path / "migrated.db") == _described(tmp_path / "new.db")


def _described(path: Path) -> dict[str, Any]:
    """Every table: its columns, keys, indexes, and what it refers to."""
    with closing(sqlite3.connect(path)) as raw:
        tables = sorted(name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
        found: dict[str, Any] = {"version": raw.execute(f"SELECT * FROM {VERSION_TABLE}").fetchall()}
        for table in tables:
            indexes = [row[1:4] for row in raw.execute(f"PRAGMA index_list({table})")]
            found[table] = (
                raw.execute(f"PRAGMA table_xinfo({table})").fetchall(),
                sorted(row[2:] for row in raw.execute(f"PRAGMA foreign_key_list({table})")),
                sorted((index, raw.execute(f"PRAGMA index_xinfo({index[0]})").fetchall()) for index in indexes),
            )
        return found


def test_a_new_database_loads_no_migrations(tmp_path: Path) -> None:
    code = (
        "import sys; from acontext_store.open import open_store\n"
        f"open_store('sqlite:///{tmp_path}/new.db', project_id='p1').close()\n"
        "assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-X", "dev", "-W", "error", "-c", code], check=True)


def test_a_database_of_every_older_version_becomes_a_new_one(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(acontext_store.__file__).parent / "sql" / "migrations"))
    config.set_main_option("path_separator", "os")
    open_store(f"sqlite:///{tmp_path}/new.db", project_id="p1").close()
    for version in REVISIONS[:-1]:
        old = tmp_path / f"{version}.db"
        link = writing(old)
        config.attributes["connection"] = link.sql
        link.raw.execute("BEGIN IMMEDIATE")
        command.upgrade(config, version)
        link.raw.execute("COMMIT")
        link.close()
        store = open_store(f"sqlite:///{old}", project_id="p1")
        done(store.append("s1", [said("hello")], ensure=a_session()))
        store.close()
        assert _described(old) == _described(tmp_path / "new.db")


def test_each_migration_is_known_in_order() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(acontext_store.__file__).parent / "sql" / "migrations"))
    config.set_main_option("path_separator", "os")
    steps = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(steps)) == REVISIONS


def test_every_key_begins_with_the_project() -> None:
    for table in metadata.tables.values():
        keys = [list(table.primary_key.columns), *(list(index.columns) for index in table.indexes)]
        alone = table.name == "api_keys"  # they are what a project is found by
        assert alone or all(columns[0].name == "project_id" for columns in keys), table.name


def test_opening_what_exists_loads_no_migrations(path: Path) -> None:
    code = (
        "import sys; from acontext_store.open import open_store\n"
        f"open_store('sqlite:///{path}', project_id='p1').close()\n"
        "assert 'alembic' not in sys.modules and 'obstore' not in sys.modules and 'pytest' not in sys.modules"
    )
    subprocess.run([sys.executable, "-X", "dev", "-W", "error", "-c", code], check=True)


def test_what_one_durability_wrote_the_other_reads(path: Path) -> None:
    for durability in ("full", "normal", "full"):
        store = open_store(f"sqlite:///{path}", project_id="p1", durability=durability)  # type: ignore[arg-type]
        done(store.append("s1", [said(durability)], ensure=a_session()))
        store.close()
    store = open_store(f"sqlite:///{path}", project_id="p1")
    assert texts(store, "s1") == ["full", "normal", "full"]
    store.close()


def test_threads_may_make_databases_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda n: open_store(f"sqlite:///{tmp_path}/{n // 2}.db", project_id="p1"), range(8)))
    for store in stores:
        done(store.append("s1", [said("hello")], ensure=a_session()))
        store.close()
