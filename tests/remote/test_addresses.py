"""No error shows the password of an address."""

from __future__ import annotations

import pytest

from acontext_plugins import Acontext, AcontextError
from acontext_store.urls import file_of
from tests.wire.conftest import free_port

SECRET = "Vk7rTq29xLm"


def test_a_server_that_is_away_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACONTEXT_API_KEY", "sk-ac-example")
    with (
        Acontext(f"http://bob:{SECRET}@127.0.0.1:{free_port()}/api/v1") as client,
        pytest.raises(AcontextError) as raised,
    ):
        client.spaces.list()
    assert "127.0.0.1" in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("url", [f"sqlite://bob:{SECRET}@host/db", f"postgresql://bob:{SECRET}@127.0.0.1:1/db"])
def test_a_database_that_cannot_be_opened_is_named_without_its_password(url: str) -> None:
    with pytest.raises(AcontextError) as raised, Acontext(url) as client:
        client.spaces.list()
    assert SECRET not in str(raised.value)


def test_a_path_that_names_no_file_is_shown_without_its_password() -> None:
    with pytest.raises(AcontextError) as raised:
        file_of(f"sqlite://bob:{SECRET}@host")
    assert SECRET not in str(raised.value)
