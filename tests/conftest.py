"""What all tests share: no network, no home of the user, no framework telemetry."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from . import processes, warm
from .envs.definitions import ROOT, environments

gc.disable()  # until all tests are known: what is imported stays

# Machines differ in speed, so no example has a deadline; CI tries the same examples each time.
settings.register_profile("everywhere", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("everywhere")

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = os.environ.get("OPENAI_AGENTS_DISABLE_TRACING", "0")
os.environ.setdefault("OPENAI_API_KEY", "sk-offline")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--elsewhere",
        action="store_true",
        help="leave tests to the environments with the newest versions (tests/envs) that run them, too",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not config.getoption("--elsewhere") or not collection_path.name.startswith("test_"):
        return None
    newest = (environment for name, environment in environments().items() if name.endswith("-newest"))
    left = {ROOT / path for environment in newest for path in environment.tests}
    return True if left & {collection_path, *collection_path.parents} else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    processes.mark(items)


def pytest_collection_finish() -> None:
    """What all the tests share is looked through once, and not at each collection of garbage."""
    gc.freeze()
    gc.enable()


_GUARD = processes.Guard()


@pytest.fixture(autouse=True)
def _no_hidden_process(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that starts Python is marked as slow, by its code or by hand."""
    if request.node.get_closest_marker("slow"):
        yield
    else:
        yield from _GUARD.watch()


def pytest_sessionfinish() -> None:
    if warm.server.cache_info().currsize:
        warm.server().close()


_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has an empty home and working directory of its own, and no settings from outside."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in [name for name in os.environ if name.startswith("ACONTEXT_") and name not in _KEPT]:
        monkeypatch.delenv(name)


_KEPT = {"ACONTEXT_KILLS", "ACONTEXT_REQUIRE"}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anything but this machine fails the test that makes it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in _LOOPBACK:
            raise AssertionError(f"a test reached for the network: {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)
