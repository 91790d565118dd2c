"""The SDK everywhere; the real proxy where its requirements are installed (`litellm[proxy]`)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("LITELLM_TELEMETRY", "False")

from .proxy import INSTALLED, Proxy, running
from .upstream import LITELLMS_WARNINGS, Upstream

#: `ACONTEXT_REQUIRE=litellm-proxy` is for environments that are made for it: there, nothing is left out.
REQUIRED = "litellm-proxy" in os.environ.get("ACONTEXT_REQUIRE", "").split(",")
collect_ignore_glob = [] if INSTALLED or REQUIRED else ["test_proxy*.py"]


def pytest_itemcollected(item: pytest.Item) -> None:
    if Path(__file__).parent in item.path.parents:
        for warning in LITELLMS_WARNINGS:
            item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(autouse=True)
async def _log_events_end_with_their_loop() -> AsyncIterator[None]:
    """LiteLLM's worker stays on the loop that it was started on: in a test, it is one that ends."""
    yield
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    await GLOBAL_LOGGING_WORKER.stop()


@pytest.fixture(autouse=True)
def _callbacks_end_with_their_test() -> Iterator[None]:
    yield
    import litellm

    from acontext_adapters.litellm import AcontextLogger

    for name in ("callbacks", "success_callback", "failure_callback", "_async_success_callback", "input_callback"):
        known = getattr(litellm, name, [])
        known[:] = [one for one in known if not isinstance(one, AcontextLogger)]
    litellm._async_failure_callback[:] = []


@pytest.fixture(scope="session")
def provider() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(provider: Upstream) -> Upstream:
    """The provider, with nothing to say yet."""
    provider.say()
    return provider


@pytest.fixture(scope="session")
def proxy(provider: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The real proxy with our handler: one for all tests, so each speaks in a conversation of its own."""
    callbacks = "sabotage.saboteur, patient.handler"
    with running(tmp_path_factory.mktemp("proxy"), provider.url, callbacks=callbacks) as proxy:
        yield proxy
