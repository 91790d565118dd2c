"""API keys and the secret of an installation: one for all processes, and only hashes on the disk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from acontext_store.errors import InvalidInput, NotFound, StoreUnavailable
from acontext_store.open import open_keys, open_secret, open_store
from acontext_store.protocols import KeyStore
from acontext_store.secret import load_secret
from acontext_store.types import ApiKey


def a_key(hash: str = "h1", project_id: str = "p1") -> ApiKey:
    return ApiKey(project_id=project_id, name="laptop", hint="sk-ac-ab", hash=hash)


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return open_keys(f"sqlite:///{tmp_path}/a.db")


def test_a_key_is_found_by_its_hash_and_by_nothing_else(keys: KeyStore) -> None:
    key = keys.add(a_key())
    assert keys.find("h1") == key
    assert keys.find("h") is None
    assert keys.find("") is None


def test_keys_are_listed_by_project(keys: KeyStore) -> None:
    made = [keys.add(a_key("h1")), keys.add(a_key("h2", "p2")), keys.add(a_key("h3"))]
    assert keys.all() == made
    assert keys.all(project_id="p1") == [made[0], made[2]]
    assert keys.all(project_id="p3") == []


def test_a_revoked_key_says_since_when(keys: KeyStore) -> None:
    key = keys.add(a_key())
    revoked = keys.revoke(key.id)
    assert revoked.revoked_at
    assert keys.find("h1") == revoked
    assert keys.revoke(key.id) == revoked
    with pytest.raises(NotFound):
        keys.revoke("another")


def test_a_key_is_of_a_project_that_can_be(keys: KeyStore) -> None:
    with pytest.raises(InvalidInput):
        keys.add(a_key(project_id="no/project"))


def test_keys_and_stores_share_a_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    store = open_store(url, project_id="p1")
    key = open_keys(url).add(a_key())
    store.close()
    assert open_keys(url).all() == [key]


def test_all_who_ask_at_once_get_the_same_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: open_secret(f"sqlite:///{tmp_path}/new/a.db"), range(32)))
    assert len(set(found)) == 1
    assert len(found[0]) == 32
    (file,) = (tmp_path / "new").iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == ("a.db.secret", 0o600)


def test_a_damaged_secret_is_named(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"short")
    with pytest.raises(StoreUnavailable, match="damaged"):
        load_secret(tmp_path / "s")
