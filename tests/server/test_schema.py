"""schemathesis over our description of the API: thousands of requests, none of which is answered with a 500."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.wire.conftest import KEY, free_port, until_healthy

from .test_serve import COMMAND, process

#: What every answer is held to: it is no 500, it is of a status, a type and a shape that the description names.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("whose", "options"),
    [("everybody's", ["--phases", "coverage"]), ("own", ["--phases", "fuzzing,stateful", "-n", "4"])],
)
def test_nothing_that_schemathesis_sends_is_answered_with_a_500(whose: str, options: list[str], tmp_path: Path) -> None:
    key, port = KEY, free_port()
    if whose == "own":
        create = [COMMAND, "keys", "create", "--project", "p1", "--url", f"sqlite:///{tmp_path}/served.db"]
        key = subprocess.run(create, capture_output=True, text=True, check=True).stdout.strip()
    with process(tmp_path, port, ACONTEXT_SERVER__FLUSH_TIMEOUT="0.2") as child:
        until_healthy(child, port)
        command = [str(Path(sys.executable).parent / "st"), "run", f"http://127.0.0.1:{port}/openapi.json"]
        fixed = ["--checks", CHECKS, "--seed", "1", "--generation-deterministic", "--max-time", "12", "--no-color"]
        done = subprocess.run(
            [*command, "--header", f"Authorization: Bearer {key}", *fixed, *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        child.terminate()
        said, _ = child.communicate(timeout=60)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "Traceback" not in said, said
