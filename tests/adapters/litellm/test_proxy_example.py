"""The proxy's example and the page's lines for a shell run as they stand, with curl."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from .memory import having, once
from .proxy import free_port

ROOT = Path(__file__).parents[3]


def test_the_example_and_the_page_answer_to_curl(tmp_path: Path) -> None:
    for file in (ROOT / "examples" / "litellm_proxy").iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    page = (ROOT / "docs" / "adapters" / "litellm.md").read_text()
    [shown] = re.findall(r"^```shell\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    port = str(free_port())
    script = "\n".join((shown, "PROXY=http://127.0.0.1:4000 ./ask.sh", "kill %1", "wait || true"))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("ACONTEXT_", "LITELLM_"))}
    environ |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "ACONTEXT_OBSERVE__QUIET": "0.05",
    }
    started = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-m", "-c", script.replace("4000", port)],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = started.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        said, _ = started.communicate()
    assert started.returncode == 0, said
    assert said.count("Your order is on its way.") == 5
    once(lambda: len(having(tmp_path / "memory.db", "Where is my order?")) == 4, "four conversations")
    answer = "assistant: Your order is on its way."
    lines = sorted(kept.lines for kept in having(tmp_path / "memory.db", "Where is my order?"))
    asked = ["user: Where is my order?", answer]
    assert lines == [asked, asked, asked, [*asked, "user: Thank you!", answer]]
