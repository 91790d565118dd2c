"""A server process whose model is down for a while: one line in its log, and nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

if find_spec("litellm") is None or find_spec("uvicorn") is None:
    pytest.skip("a server with a model is not installed here", allow_module_level=True)

from acontext_plugins.testing.scripted_server import Asked, Raw, ScriptedServer, Status, Step
from tests.llm.asking import KEY
from tests.llm.test_thinkers import TALK, answer
from tests.wire.conftest import KEY as SERVER_KEY
from tests.wire.conftest import free_port, until_healthy

MANY = 12
_SETTINGS = {
    "ACONTEXT_LLM__MODEL": "openai/gpt-4.1",
    "ACONTEXT_LLM__API_KEY": KEY,
    "ACONTEXT_LLM__RETRIES": "0",
    "ACONTEXT_OBSERVE__MODEL_QUIET": "0",
    "ACONTEXT_LEARN__QUIET": "0",
    "ACONTEXT_LEARN__TASKS": "all",
    "ACONTEXT_WORKER__BACKOFF": "0.05",
    "ACONTEXT_WORKER__LONGEST_PROBE": "0.2",
    "ACONTEXT_WORKER__MAX_ATTEMPTS": "2",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


def until(state: Callable[[], bool], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not state():
        assert time.monotonic() < end, "the state did not come"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (Status(503, "down for a while"), "observing waits: "),
        (Status(429, "slow down", headers={"retry-after": "0"}), "observing waits: "),
        (Raw(b"<html>maintenance</html>", "text/html"), ""),
    ],
    ids=["down", "limit", "garbage"],
)
def test_a_server_waits_for_its_model_and_learns_all_that_was_said(tmp_path: Path, trouble: Step, said: str) -> None:
    away = True

    def sometimes(asked: Asked) -> Step:
        return trouble if away else answer(asked)

    with ScriptedServer(sometimes) as model:
        port = free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ACONTEXT_")}
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "acontext"), "serve", "--port", str(port)],
            cwd=tmp_path,
            env={
                **environment,
                **_SETTINGS,
                "ACONTEXT_URL": f"sqlite:///{tmp_path}/served.db",
                "ACONTEXT_LLM__BASE_URL": model.url,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            until_healthy(process, port)
            headers = {"authorization": f"Bearer {SERVER_KEY}"}
            with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", headers=headers, timeout=60) as client:
                space_id = client.post("/space", json={}).json()["data"]["id"]
                sessions = []
                for _ in range(MANY):
                    session_id = client.post("/session", json={"space_id": space_id}).json()["data"]["id"]
                    for blob in TALK:
                        assert client.post(f"/session/{session_id}/messages", json={"blob": blob}).status_code == 201
                    outcome = {"outcomes": [{"status": "success", "source": "report"}]}
                    client.post(f"/_acontext/session/{session_id}/messages", json=outcome)
                    sessions.append(session_id)
                until(lambda: len(model.seen) >= 6)
                jobs = client.get("/_acontext/jobs").json()["data"]
                assert len(jobs) == MANY
                away = False
                if not said:  # each of them has failed, or will: what is dead is done again by one request
                    client.post("/_acontext/jobs/retry")

                def all_learned() -> bool:
                    if not said:
                        client.post("/_acontext/jobs/retry")
                    statuses = [client.get(f"/session/{id}/get_learning_status").json()["data"] for id in sessions]
                    return all(status["space_digested_count"] == 1 for status in statuses)

                until(all_learned)
                skills = client.get(f"/_acontext/space/{space_id}/skills").json()["data"]
                assert [skill["origin"] for skill in skills if skill["status"] == "active"] == ["model"]
                assert client.get("/_acontext/jobs", params={"dead": "true"}).json()["data"] == []
        finally:
            process.terminate()
            output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert output.count("observing waits: ") <= 1
    assert said in output
