"""`acontext bench --proxy`: two LiteLLM proxies, one bare and one with our handler, in front of a provider on loopback.

Four processes: the proxies, the provider, and the agents that ask. Rounds alternate between the bare proxy and ours,
and of each pair the other one begins the next time, so that what else the machine does falls on both. Of each proxy is
told what its clients waited and the processor time of its whole process, observing and learning of what it was told
included: time on the clock belongs to whatever else runs, processor time much less.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acontext_store.open import database_url

from .figures import Figure
from .http import free_port, stop, until_there
from .players import CALLS
from .proxy_load import AgentPlan, AgentResult

#: Agents at once.
AGENTS = (1, 32)
#: The most that clients may wait, and that the proxy may compute, in terms of the bare one.
_RECORDED, _SKILLED = 1.10, 1.15
_SPACE = "bench"
_KEY = "sk-bench-loopback"
_CONFIG = """\
model_list:
  - model_name: scripted
    litellm_params: {model: openai/scripted, api_base: "http://127.0.0.1:$PROVIDER/v1", api_key: unused}
litellm_settings: {telemetry: false$CALLBACKS}
general_settings: {master_key: $KEY}
"""
_HANDLER = ", callbacks: [acontext_adapters.litellm.proxy_handler]"


@dataclass(frozen=True)
class _Round:
    """What a proxy did in one round, for each request."""

    #: Microseconds, median.
    p50: float
    #: Milliseconds of processor time: of the whole process until all of it is learned, and of its main thread alone.
    cpu: float
    loop: float
    #: The share of the answers that came with skills.
    skilled: float


def figures(quick: bool) -> Iterator[Figure]:
    """p50 and processor time of a request, one by one and 32 at once, recorded only and with skills."""
    with tempfile.TemporaryDirectory(prefix="acontext-bench-") as folder, contextlib.ExitStack() as stack:
        bench = _Bench(Path(folder), stack)
        bench.teach()
        for agents in AGENTS:
            for what, space, limit in (("record only", "", _RECORDED), ("with skills", _SPACE, _SKILLED)):
                size = (40, 2) if quick else (120, 6)
                yield from bench.compared(what, space, limit, agents, *size)


class _Bench:
    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        provider = free_port()
        _spawn(stack, ["-m", "acontext_plugins.bench.proxy_load", "provider", str(provider)])
        self._agents = _spawn(stack, ["-m", "acontext_plugins.bench.proxy_load", "agents"])
        config = _CONFIG.replace("$PROVIDER", str(provider)).replace("$KEY", _KEY)
        self.bare = _Proxy(folder / "bare", config.replace("$CALLBACKS", ""), stack)
        self.ours = _Proxy(folder / "ours", config.replace("$CALLBACKS", _HANDLER), stack)
        self._numbers = 1

    def teach(self) -> None:
        """Both get warm, and the space gets a skill."""
        for proxy in (self.bare, self.ours):
            for agents in AGENTS:
                self.round(proxy, agents, 64, _SPACE)
        deadline = time.monotonic() + 60
        while self.round(self.ours, 1, 1, _SPACE).skilled < 1:
            if time.monotonic() > deadline:
                raise RuntimeError("the proxy of the benchmark learned nothing")
            time.sleep(0.2)

    def compared(
        self, what: str, space: str, limit: float, agents: int, conversations: int, pairs: int
    ) -> Iterator[Figure]:
        bare: list[_Round] = []
        ours: list[_Round] = []
        for pair in range(pairs):
            for proxy, rounds in [(self.bare, bare), (self.ours, ours)][:: -1 if pair % 2 else 1]:
                rounds.append(self.round(proxy, agents, conversations, space))
        if space and min(one.skilled for one in ours) < 1:
            what += f" in {min(one.skilled for one in ours):.0%}"
        name = f"{what}, {agents} at once"
        yield _figure(f"{name}, p50", "us", [one.p50 for one in bare], [one.p50 for one in ours], limit)
        yield _figure(f"{name}, process", "ms CPU", [one.cpu for one in bare], [one.cpu for one in ours])
        yield _figure(f"{name}, loop's thread", "ms CPU", [one.loop for one in bare], [one.loop for one in ours])

    def round(self, proxy: _Proxy, agents: int, conversations: int, space: str) -> _Round:
        plan = AgentPlan(proxy.port, _KEY, agents, conversations, self._numbers, space)
        self._numbers += conversations
        before = proxy.spent()
        assert self._agents.stdin is not None
        assert self._agents.stdout is not None
        self._agents.stdin.write(json.dumps(asdict(plan)) + "\n")
        self._agents.stdin.flush()
        line = self._agents.stdout.readline()
        if not line:
            raise RuntimeError(f"a request failed; the proxy's last words:\n{proxy.log.read_text()[-2000:]}")
        done = AgentResult(**json.loads(line))
        proxy.settle()
        cpu, loop = (now - then for now, then in zip(proxy.spent(), before, strict=True))
        requests = conversations * CALLS
        return _Round(
            statistics.median(done.times), cpu * 1000 / requests, loop * 1000 / requests, done.with_skills / requests
        )


def _figure(name: str, unit: str, bare: Sequence[float], ours: Sequence[float], limit: float | None = None) -> Figure:
    """Medians, and the median of the pairs' ratios: neighbours have met the same machine."""
    ratio = statistics.median(mine / theirs for mine, theirs in zip(ours, bare, strict=True) if theirs)
    raw = statistics.median(bare)
    return Figure(
        name,
        raw * ratio,
        unit,
        raw,
        "the bare proxy",
        "" if limit is None else f"<= {limit:g}x",
        None if limit is None else ratio <= limit,
    )


class _Proxy:
    """A LiteLLM proxy on a database of its own."""

    def __init__(self, folder: Path, config: str, stack: contextlib.ExitStack) -> None:
        folder.mkdir()
        (folder / "config.yaml").write_text(config)
        self.port, self.log = free_port(), folder / "log"
        self._database = folder / "bench.db"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ACONTEXT_")}
        environment |= {
            "ACONTEXT_URL": database_url(self._database),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
            "DISABLE_ADMIN_UI": "True",
            "NO_DOCS": "True",
        }
        command = [str(Path(sys.executable).parent / "litellm"), "--config", "config.yaml", "--host", "127.0.0.1"]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)], cwd=folder, env=environment, stdout=out, stderr=out
            )
        stack.callback(stop, self.process)
        until_there(self.process, self.port, "/health/liveliness", seconds=180)

    def spent(self) -> tuple[float, float]:
        """Seconds of processor time so far: of the process, and of its main thread."""
        processes = Path("/proc") / str(self.process.pid)
        try:
            fields = (processes / "stat").read_text().rpartition(")")[2].split()
            loop = (processes / "schedstat").read_text().split()[0]
        except OSError as error:
            raise RuntimeError("this benchmark reads processor times from /proc, as Linux has it") from error
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(loop) / 1e9

    def settle(self) -> None:
        """Wait until all that was recorded is observed and learned."""
        deadline = time.monotonic() + 120
        time.sleep(0.3)
        while self._database.exists() and self._is_busy():
            if time.monotonic() > deadline:
                raise RuntimeError("the proxy of the benchmark does not finish what it was told")
            time.sleep(0.1)

    def _is_busy(self) -> bool:
        with contextlib.closing(sqlite3.connect(self._database, timeout=30)) as connection:
            (waiting,) = connection.execute("SELECT count(*) FROM lanes WHERE ready_at IS NOT NULL").fetchone()
        return bool(waiting)


def _spawn(stack: contextlib.ExitStack, arguments: Sequence[str]) -> subprocess.Popen[Any]:
    """Start Python with these arguments, and wait until it says a first line."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, *arguments], stdin=pipe, stdout=pipe, text=True)
    stack.callback(stop, process)
    assert process.stdout is not None
    process.stdout.readline()
    return process
