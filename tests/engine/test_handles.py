"""What a wrapped object holds of its client: copies share it, a pickle has its address and nothing that is secret."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from acontext_adapters.testing import MemoryClient
from acontext_plugins import Acontext
from acontext_plugins.client.handles import ClientAddress, ClientHandle
from acontext_plugins.errors import InvalidInput
from acontext_plugins.learning import client_or_default
from acontext_plugins.runs import RunOptions, Runtime
from acontext_plugins.settings import Settings


def pickled(one: Any) -> Any:
    return pickle.loads(pickle.dumps(one))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize("given", ["a client", "none"])
def test_a_copy_in_this_process_has_the_same_client(copied: Any, given: str) -> None:
    client = client_or_default(MemoryClient() if given == "a client" else None)
    runtime = Runtime(RunOptions(space="s"), client, framework="agno")
    other = copied({"mine": runtime})["mine"]
    assert other.same_as(runtime)
    assert other.framework == "agno"


def test_another_process_records_at_the_same_address(tmp_path: Path) -> None:
    with Acontext(f"sqlite:///{tmp_path / 'memory.db'}", project="cups") as client:
        runtime = Runtime(RunOptions(space="s"), client_or_default(client))
        code = (
            "import pickle, sys; runtime = pickle.loads(sys.stdin.buffer.read())\n"
            "run = runtime.start(label='elsewhere'); run.record_tool('weigh', {}, 'done'); run.end('success')"
        )
        subprocess.run([sys.executable, "-c", code], input=pickle.dumps(runtime), cwd=tmp_path, check=True)
        assert [session.agent for session in client.sessions.list().items] == ["elsewhere"]


def test_a_pickle_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        settings = Settings(url="https://ann:hunter2@memory.example/api/v1", api_key="sk-hidden")  # type: ignore[arg-type]

    data = pickle.dumps(ClientHandle(Client()))  # type: ignore[arg-type]
    assert b"memory.example" in data
    assert b"hunter2" not in data
    assert b"sk-hidden" not in data
    address = ClientAddress.of(Client())
    assert address is not None
    monkeypatch.delenv("ACONTEXT_URL", raising=False)
    with pytest.raises(InvalidInput, match="set ACONTEXT_URL"):
        address.settings()
    monkeypatch.setenv("ACONTEXT_URL", Client.settings.url)
    assert address.settings().url == Client.settings.url


def test_a_client_without_an_address_is_missed_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    data = pickle.dumps(Runtime(RunOptions(space="s"), client_or_default(MemoryClient())))
    runtime = pickle.loads(data)
    run = runtime.start(label="elsewhere")
    run.record_tool("weigh", {}, "done")
    assert "has no address" in caplog.text
