"""A large file goes up and down through a server that never holds it in memory. LARGE_MB=1024 tries a gigabyte."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import httpx
import pytest

from tests.wire.conftest import free_port, until_healthy

from .test_serve import HEADERS, process

_MB = int(os.environ.get("LARGE_MB", "256"))
#: Megabytes by which the server may grow, whatever the size of the file.
_MOST = 20


def peak(pid: int) -> float:
    """The most memory that the process has ever had, in megabytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured with /proc")
def test_a_large_artifact_goes_up_and_down_in_constant_memory(tmp_path: Path) -> None:
    port = free_port()
    piece = os.urandom(1024 * 1024)
    whole = hashlib.sha256()
    with open(tmp_path / "large.bin", "wb") as file:
        for number in range(_MB):
            file.write(number.to_bytes(4, "big") + piece[4:])
            whole.update(number.to_bytes(4, "big") + piece[4:])
    url = f"http://127.0.0.1:{port}/api/v1"
    with process(tmp_path, port) as child, httpx.Client(base_url=url, headers=HEADERS, timeout=600) as client:
        until_healthy(child, port)
        disk = client.post("/disk").json()["data"]["id"]
        before = peak(child.pid)
        with open(tmp_path / "large.bin", "rb") as file:
            kept = client.post(f"/disk/{disk}/artifact", files={"file": ("large.bin", file)})
        assert kept.status_code == 201, kept.text
        os.unlink(tmp_path / "large.bin")
        came = hashlib.sha256()
        with client.stream("GET", f"/disk/{disk}/artifact/download?file_path=/large.bin") as answer:
            for some in answer.iter_raw():
                came.update(some)
        after = peak(child.pid)
    assert came.hexdigest() == whole.hexdigest()
    assert after - before < _MOST, f"{before:.0f} MB before, {after:.0f} MB after"
