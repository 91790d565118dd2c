"""The real LiteLLM proxy, as a process of its own on loopback."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import httpx

KEY = "sk-loopback-9f2c77ab41d04e6c8b1aa0f3d2e5c6b7"
#: Whether the proxy's own requirements are installed beside the SDK.
INSTALLED = all(find_spec(name) is not None for name in ("fastapi", "uvicorn", "backoff", "apscheduler"))

#: Older proxies look only beside their config.yaml: there, one line leads to ours.
FINDS_MODULES = tuple(map(int, version("litellm").split(".")[:2])) >= (1, 95)
HANDLER = "acontext_adapters.litellm.proxy_handler" if FINDS_MODULES else "memory_hook.proxy_handler"

CONFIG = """\
model_list:
  - model_name: fake
    litellm_params: {model: openai/fake, api_base: "$UPSTREAM", api_key: sk-up, num_retries: 0}
  - model_name: patient
    litellm_params: {model: openai/patient, api_base: "$UPSTREAM", api_key: sk-up}
  - model_name: unsure
    litellm_params: {model: openai/unsure, api_base: "$UPSTREAM", api_key: sk-up, num_retries: 0}
  - model_name: claude
    litellm_params: {model: anthropic/claude-fake, api_base: "$BARE", api_key: sk-up, num_retries: 0}
litellm_settings:
  callbacks: [$CALLBACKS]
  telemetry: false
  num_retries: 0
  fallbacks: [{"unsure": ["fake"]}]
router_settings:
  disable_cooldowns: true
  retry_after: 0
  allowed_fails: 1000
  model_group_retry_policy: {"patient": {"RateLimitErrorRetries": 2, "InternalServerErrorRetries": 2}}
guardrails:
  - {guardrail_name: mask, litellm_params: {guardrail: guards.Mask, mode: pre_call}}
  - {guardrail_name: block, litellm_params: {guardrail: guards.Block, mode: pre_call}}
  - {guardrail_name: watch, litellm_params: {guardrail: guards.Watch, mode: during_call}}
  - {guardrail_name: judge, litellm_params: {guardrail: guards.Judge, mode: post_call}}
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  custom_auth: keys.authenticate
"""

#: Virtual keys without a database: each names its user and its space, as the proxy's key table does.
KEYS = """
import os
import threading

from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth


def leave_with_the_tests():
    while os.read(0, 1024):
        pass
    os._exit(0)


threading.Thread(target=leave_with_the_tests, daemon=True).start()


async def authenticate(request, api_key):
    name = api_key.removeprefix("sk-")
    metadata = {"acontext_space": name.split("-")[-1]} if name.startswith("spaced-") else {}
    known = {"api_key": api_key, "user_role": LitellmUserRoles.INTERNAL_USER, "metadata": metadata}
    if name.startswith("owned-"):
        known["user_id"] = name.removeprefix("owned-")
    if name.startswith("bad-"):
        raise Exception("unknown key")
    return UserAPIKeyAuth(**known)
"""


#: A callback that makes one of our functions raise, for the requests that name it in a header.
SABOTEUR = """
import importlib
from litellm.integrations.custom_logger import CustomLogger


class Saboteur(CustomLogger):
    def __init__(self):
        super().__init__()
        self.broken = []

    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        while self.broken:
            owner, name, function = self.broken.pop()
            setattr(owner, name, function)
        step = data["proxy_server_request"]["headers"].get("x-break")
        if step:
            module, _, path = step.partition(":")
            owner, *rest = importlib.import_module(module), *path.split(".")
            for part in rest[:-1]:
                owner = getattr(owner, part)
            self.broken.append((owner, rest[-1], owner.__dict__[rest[-1]]))
            setattr(owner, rest[-1], broken)


def broken(*args, **kwargs):
    print("SABOTAGED", flush=True)
    raise RuntimeError("sabotaged")


saboteur = Saboteur()
"""

#: Guardrails, for the requests that name them: one masks a number, the others refuse what they are asked about.
GUARDS = """
from fastapi import HTTPException
from litellm.integrations.custom_guardrail import CustomGuardrail


def masked(value):
    if isinstance(value, str):
        return value.replace("555-0100", "[PHONE]")
    if isinstance(value, list):
        return [masked(one) for one in value]
    return {name: masked(one) for name, one in value.items()} if isinstance(value, dict) else value


class Mask(CustomGuardrail):
    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        return {**data, **{name: masked(data[name]) for name in ("messages", "input") if name in data}}


class Block(CustomGuardrail):
    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        raise HTTPException(400, "blocked")


class Watch(CustomGuardrail):
    async def async_moderation_hook(self, data, user_api_key_dict, call_type):
        raise HTTPException(400, "blocked")


class Judge(CustomGuardrail):
    async def async_post_call_success_hook(self, data, user_api_key_dict, response):
        raise HTTPException(400, "blocked")
"""

#: A handler that waits for its skills also on a machine that is busy with something else.
PATIENT = "from acontext_adapters.litellm import ProxyHandler\n\nhandler = ProxyHandler(deadline=60)\n"


@dataclass
class Proxy:
    """A running proxy: `url` has no /v1."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "memory.db"

    def client(self, key: str = KEY, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}", **headers}, timeout=60)

    def aclient(self, key: str = KEY, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers={"Authorization": f"Bearer {key}", **headers}, timeout=60)


def free_port() -> int:
    """A port below those that the system gives to outgoing connections."""
    start = 18_000 + os.getpid() % 10_000
    for port in range(start, 32_000):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")


@contextlib.contextmanager
def running(
    folder: Path,
    upstream: str,
    *,
    callbacks: str = HANDLER,
    config: str = CONFIG,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Proxy]:
    """The proxy with our handler, until the block is left. Raises RuntimeError with its log where it cannot start."""
    (folder / "keys.py").write_text(KEYS)
    (folder / "sabotage.py").write_text(SABOTEUR)
    (folder / "guards.py").write_text(GUARDS)
    (folder / "patient.py").write_text(PATIENT)
    (folder / "memory_hook.py").write_text("from acontext_adapters.litellm import proxy_handler\n")
    text = config.replace("$UPSTREAM", upstream).replace("$BARE", upstream.removesuffix("/v1"))
    (folder / "config.yaml").write_text(text.replace("$CALLBACKS", callbacks))
    port = free_port()
    given = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ACONTEXT_")},
        "ACONTEXT_URL": f"sqlite:///{folder / 'memory.db'}",
        "ACONTEXT_SPACE": "support",
        "ACONTEXT_OBSERVE__QUIET": "0.05",
        "ACONTEXT_LEARN__QUIET": "0.05",
        "LITELLM_MASTER_KEY": KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "DISABLE_ADMIN_UI": "True",
        "NO_DOCS": "True",
        "PYTHONPATH": str(folder),
        **(environ or {}),
    }
    log = folder / "proxy.log"
    command = [str(Path(sys.executable).parent / "litellm"), "--config", "config.yaml", "--host", "127.0.0.1"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=folder,
            env=given,
            stdin=subprocess.PIPE,  # its end is the end of the tests, however they end
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        proxy = Proxy(f"http://127.0.0.1:{port}", process, log, folder)
        try:
            _ready(proxy)
            yield proxy
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin is not None
            process.stdin.close()


def _ready(proxy: Proxy) -> None:
    pause = threading.Event()
    for _ in range(1200):
        if proxy.process.poll() is not None:
            break
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{proxy.url}/health/liveliness", timeout=5).status_code == 200:
                return
        pause.wait(0.1)
    raise RuntimeError(f"the proxy did not start:\n{proxy.log.read_text()[-4000:]}")
