"""What all tests share: no network, no home of the user, no framework telemetry."""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import os
import socket
from collections.abc import Generator
from pathlib import Path

import pytest

from . import databases, examples, forks, processes, warm
from .envs.definitions import ROOT, environments
from .forks import pytest_runtestloop  # noqa: F401

examples.register()
gc.disable()  # until all tests are known: what is imported stays

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = os.environ.get("OPENAI_AGENTS_DISABLE_TRACING", "0")
os.environ.setdefault("OPENAI_API_KEY", "sk-offline")


def pytest_addoption(parser: pytest.Parser) -> None:
    forks.pytest_addoption(parser)
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Each test has an empty home of its own, and no settings from outside. A fixture for that would take longer."""
    os.environ["HOME"] = str(_homes(item.config) / str(next(_numbers)))
    os.mkdir(os.environ["HOME"])
    for name in [name for name in os.environ if name.startswith("ACONTEXT_") and name not in _KEPT]:
        del os.environ[name]
    databases.copied(_STORE not in item.path.parents)
    return (yield)


_STORE = Path(__file__).parent / "store"
_KEPT = {"ACONTEXT_KILLS", "ACONTEXT_REQUIRE"}
_numbers = itertools.count()


@functools.cache
def _homes(config: pytest.Config) -> Path:
    base: Path = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    homes = base / "homes"
    homes.mkdir()
    return homes


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """A test that starts Python, itself or in its fixtures, is marked as slow: by its code or by hand."""
    with contextlib.nullcontext() if item.get_closest_marker("slow") else processes.none_started():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """As in its setup."""
    with contextlib.nullcontext() if item.get_closest_marker("slow") else processes.none_started():
        return (yield)


def pytest_sessionfinish() -> None:
    warm.close()


_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_connect = socket.socket.connect


def _guarded(self: socket.socket, address: object) -> None:
    """A connection to anything but this machine fails the test that makes it."""
    if isinstance(address, tuple) and address[0] not in _LOOPBACK:
        raise AssertionError(f"a test reached for the network: {address}")
    _connect(self, address)  # type: ignore[arg-type]


socket.socket.connect = _guarded  # type: ignore[method-assign]
