"""RemoteRecorder: from the agent's hands to a server, by way of the disk while the server is away.

Callers only enqueue; one thread makes, scrubs and sends. What is sent carries its ids, so sending it again, after a
timeout or a crash on either side, keeps it once. Order is kept: while anything of this process waits in the spool,
what comes later waits behind it.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from acontext_store.backoff import Backoff
from acontext_store.errors import AcontextError, Closed, InvalidInput, StoreUnavailable, Unauthorized
from acontext_store.forks import CLIENTS, at_fork, renewed_in_child
from acontext_store.protocols import Pending
from acontext_store.types import Appended, Json, Message, Part
from acontext_store.urls import without_secrets

from ..concurrency.caches import SharedCache
from ..concurrency.limited_log import LimitedLog
from ..record.redaction.redactor import Scrubber, fates_without_secrets
from ..record.session_ids import masked_name
from ..service import Recording, SessionRef
from ..settings import RecorderSettings, RemoteSettings
from .http import AWAY, data_of, encoded, error_of, headers_of
from .spool import Spool, spool_path

log = logging.getLogger("acontext")

_PATH = "/_acontext/record"
_JSON = "application/json"
#: Recordings, and bytes, of one request.
_BATCH, _BYTES = 500, 4 * 1024 * 1024
_NAMES = 10_000


@dataclass(slots=True)
class RemoteStats:
    """Counts since the recorder was made."""

    sent: int = 0
    spooled: int = 0
    dropped: int = 0
    failed: int = 0
    redacted: int = 0


@dataclass(slots=True)
class _EncodedRecording:
    recording: Recording
    size: int
    waiter: Pending[Appended] | None = None
    body: bytes = b""


class RemoteRecorder:
    """The way by which conversations reach a server."""

    def __init__(
        self,
        url: str,
        api_key: str,
        scrubber: Scrubber,
        *,
        timeout: float,
        settings: RecorderSettings | None = None,
        remote: RemoteSettings | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._scrubber = scrubber
        self._settings = settings or RecorderSettings()
        self._remote = remote or RemoteSettings()
        self._client = httpx.Client(
            base_url=self._url,
            headers=headers_of(api_key),
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
            transport=transport,
        )
        self.stats = RemoteStats()
        owner = f"{os.getpid()}-{secrets.token_hex(6)}"
        folder = Path(self._remote.spool).expanduser()
        self._spool = Spool(spool_path(folder, self._url, api_key), owner, most=self._remote.spool_bytes)
        self._queue: queue.SimpleQueue[_EncodedRecording | Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = renewed_in_child(self, "_lock", threading.RLock)
        self._pending = 0
        self._pending_bytes = 0
        self._log = LimitedLog(log)
        self._names: SharedCache[str, str] = SharedCache(_NAMES)
        self._closing = False
        self._deadline: float | None = None
        self._backoff = Backoff(self._remote.retry, self._remote.longest_retry)
        #: Times in a row that the server was away.
        self._aways = 0
        self._next_try = 0.0
        self._behind = self._spool.exists
        #: What the spool has no room for.
        self._held: list[_EncodedRecording] = []
        self._stop = threading.Event()
        at_fork(CLIENTS, after_in_child=self._after_fork)
        self._thread = threading.Thread(target=self._work, name="acontext-remote", daemon=True)
        self._thread.start()

    def _after_fork(self) -> None:
        self._closing = True  # its thread is the parent's

    # -- callers
    def record(self, recording: Recording) -> None:
        """Enqueue it: microseconds, never blocks, never raises."""
        with self._lock:
            full = (
                self._closing
                or self._pending >= self._settings.max_pending
                or (self._pending_bytes + recording.size > self._settings.max_bytes and self._pending > 0)
            )
            if not full:
                self._pending += 1
                self._pending_bytes += recording.size
        if full:
            self.stats.dropped += 1
            self._log.warning(
                "dropped", "acontext: a recording was dropped: %s", "closed" if self._closing else "the queue is full"
            )
            return
        self._queue.put(_EncodedRecording(recording, recording.size))

    def record_durably(self, recording: Recording) -> Pending[Appended]:
        """The same, and tell when the server has it. Raises StoreUnavailable where it is away (it is spooled then)."""
        waiter: Pending[Appended] = Pending()
        if self._closing:
            waiter.set_exception(Closed("this client is closed, or was opened before os.fork(): open one here"))
            return waiter
        with self._lock:
            self._pending += 1
            self._pending_bytes += recording.size
        self._queue.put(_EncodedRecording(recording, recording.size, waiter))
        return waiter

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was enqueued before has arrived at the server; False when time ran out first."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._thread.is_alive():
            done = threading.Event()
            arrived: list[bool] = []

            def look(done: threading.Event = done, arrived: list[bool] = arrived) -> None:
                self._next_try = 0.0
                self._drain()
                arrived.append(not self._behind)
                done.set()

            self._queue.put(look)
            if not done.wait(None if deadline is None else max(0.0, deadline - time.monotonic())):
                return False
            if arrived[0]:
                return True
            wait = self._backoff.ceiling(self._aways)
            left = wait if deadline is None else min(wait, deadline - time.monotonic())
            if left <= 0:
                return False
            self._stop.wait(left)
        return not self._pending and not self._behind

    def put_by(self, timeout: float) -> bool:
        """Wait until all that was enqueued before has arrived, or waits in the spool; False when time ran out first."""
        done = threading.Event()
        self._queue.put(done.set)
        return done.wait(timeout)

    def close(self) -> None:
        """Send what is there, for at most `close_timeout` seconds; what has not arrived by then waits in the spool."""
        if self._closing:
            return
        self._deadline = time.monotonic() + self._settings.close_timeout
        self._closing = True
        self._stop.set()
        self._queue.put(None)
        self._thread.join(self._settings.close_timeout + 5)

    @property
    def pending(self) -> int:
        """Recordings in memory that have neither arrived nor been spooled."""
        return self._pending

    # -- the thread
    def _work(self) -> None:
        while True:
            entries, calls, stop = self._gather()
            try:
                if entries:
                    self._handle(entries)
                elif self._behind and time.monotonic() >= self._next_try:
                    self._drain()
            except Exception as error:
                log.exception("acontext: the recorder failed unexpectedly; %d recordings are lost", len(entries))
                self._fail(entries, AcontextError(f"the recorder failed: {error}"))
            for call in calls:
                try:
                    call()
                except Exception:
                    log.exception("acontext: the recorder failed unexpectedly")
            if stop:
                if self._held:
                    self._fail(self._held, StoreUnavailable("the server is away, and the spool cannot keep it"))
                self._spool.close()
                self._client.close()
                return

    def _gather(self) -> tuple[list[_EncodedRecording], list[Callable[[], None]], bool]:
        entries: list[_EncodedRecording] = []
        calls: list[Callable[[], None]] = []
        try:
            wait = max(0.01, self._next_try - time.monotonic()) if self._behind else None
            item = self._queue.get(timeout=wait)
            if self._settings.linger and isinstance(item, _EncodedRecording) and item.waiter is None:
                self._stop.wait(self._settings.linger)
            while True:
                if item is None:
                    return entries, calls, True
                if isinstance(item, _EncodedRecording):
                    entries.append(item)
                else:
                    calls.append(item)
                    return entries, calls, False
                if len(entries) >= _BATCH:
                    return entries, calls, False
                item = self._queue.get_nowait()
        except queue.Empty:
            return entries, calls, False

    def _handle(self, entries: list[_EncodedRecording]) -> None:
        ready = [entry for entry in entries if self._made(entry)]
        if not ready:
            return
        if self._behind:
            self._drain()
        if self._behind and self._queues():
            self._spool_up(ready, StoreUnavailable("the server is away; this waits in the spool, and is sent later"))
            return
        self._send(ready)

    def _queues(self) -> bool:
        """Whether anything of this process waits: what comes later must wait behind it."""
        try:
            return bool(self._held) or not self._spool.exists or self._spool.mine()
        except StoreUnavailable:
            return True

    def _made(self, entry: _EncodedRecording) -> bool:
        """Make the messages, take the secrets out, and write it down as the request has it."""
        recording = entry.recording
        try:
            messages = recording.messages() if callable(recording.messages) else recording.messages
            ref = recording.session
            messages, outcomes, masked = self._scrubber.redact(ref.key, messages, recording.outcomes)
            self.stats.redacted += masked
            said = {
                "session": self._said(ref),
                "messages": [message.model_dump(mode="json") for message in messages],
                "outcomes": [outcome.model_dump(mode="json") for outcome in outcomes],
            }
            if recording.fates:
                fates = fates_without_secrets(self._scrubber, ref.key, recording.fates)
                said["fates"] = [fate.model_dump(mode="json") for fate in fates]
            entry.body = encoded(said)
        except Exception as error:
            self._fail([entry], error)
            return False
        return True

    def _said(self, ref: SessionRef) -> Json:
        """The session as the request names it: without secrets, too."""
        texts = (Part(type="text", text=ref.agent or ""),)
        (clean,), _, _ = self._scrubber.redact(
            ref.key, [Message(role="system", parts=texts, meta=ref.configs or {})], ()
        )
        said = asdict(ref) | {"key": self.masked(ref.key), "principal": ref.principal and self.masked(ref.principal)}
        said["agent"] = ref.agent and clean.parts[0].text
        said["configs"] = clean.meta if ref.configs is not None else None
        return {name: value for name, value in said.items() if value is not None}

    def masked(self, name: str) -> str:
        """The host's key of a session, or a principal, without secrets."""
        known = self._names.get(name)
        if known is None:
            known = self._names[name] = masked_name(name, self._scrubber.redact_text(name, name))
        return known

    def _send(self, entries: list[_EncodedRecording]) -> None:
        """Send them in order, in requests of bounded size. From the first that does not arrive on, all are put by."""
        for batch in _batches(entries):
            try:
                kept = self._post([entry.body for entry in batch])
            except (StoreUnavailable, Unauthorized) as error:
                self._away(error)
                self._spool_up(entries[entries.index(batch[0]) :], error)
                return
            except AcontextError as error:
                self._fail(batch, error)
                continue
            for entry, one in zip(batch, kept, strict=True):
                self._arrived(entry, one)

    def _arrived(self, entry: _EncodedRecording, kept: Json) -> None:
        if "code" in kept:
            self._fail([entry], error_of(kept, int(kept["code"])))
            return
        self._count_out(entry)
        self.stats.sent += 1
        if entry.waiter is not None and entry.waiter.set_running_or_notify_cancel():
            entry.waiter.set_result(Appended.model_validate(kept))

    def _post(self, bodies: Sequence[bytes], *, as_file: bool = False) -> list[Json]:
        """What the server says of each. Raises StoreUnavailable where nobody knows whether it arrived.

        What is too large for a JSON body goes in smaller batches; one that is so alone goes as a file.
        """
        content = b'{"recordings":[' + b",".join(bodies) + b"]}"
        try:
            if as_file:
                response = self._client.post(_PATH, files={"payload": ("recordings.json", content, _JSON)})
            else:
                response = self._client.post(_PATH, content=content, headers={"content-type": _JSON})
        except Exception as error:  # not only the network's: in a process that ends, Python itself cannot do everything
            raise StoreUnavailable(f"{without_secrets(self._url)}: {type(error).__name__} {error}".strip()) from error
        if response.status_code in AWAY or response.status_code >= 500:
            raise StoreUnavailable(f"{without_secrets(self._url)} answered {response.status_code}")
        if response.status_code == 413 and not as_file:
            half = len(bodies) // 2
            return (
                [*self._post(bodies[:half]), *self._post(bodies[half:])] if half else self._post(bodies, as_file=True)
            )
        kept: list[Json] = data_of(self._url, response)["kept"]
        if len(kept) != len(bodies):
            raise InvalidInput(f"{without_secrets(self._url)} answered for {len(kept)} of {len(bodies)} recordings")
        return kept

    # -- the spool
    def _spool_up(self, entries: Sequence[_EncodedRecording], error: AcontextError) -> None:
        """Keep them on the disk until the server is back; in memory, what the disk cannot keep."""
        self._behind = True
        taken = 0
        if not self._held:
            try:
                taken = self._spool.add([entry.body for entry in entries])
                why = f"the spool {self._spool.path} is full ({self._remote.spool_bytes} bytes)"
            except StoreUnavailable as trouble:
                why = str(trouble)
            if taken < len(entries):
                self._log.warning(
                    "held", "acontext: recordings wait in memory, and are lost if this process ends: %s", why
                )
        self.stats.spooled += taken
        for entry in entries[:taken]:
            self._count_out(entry)
        self._held += entries[taken:]
        for entry in entries:
            waiter, entry.waiter = entry.waiter, None
            if waiter is not None and waiter.set_running_or_notify_cancel():
                waiter.set_exception(error)

    def _drain(self) -> None:
        """Send what waits, oldest first: what is in the spool, then what is held."""
        if time.monotonic() < self._next_try:
            return
        while self._spool.exists and not (self._deadline is not None and time.monotonic() > self._deadline):
            try:
                waiting = self._spool.first(_BATCH, _BYTES)
                if not waiting:
                    break
                self._forward(waiting)
            except (StoreUnavailable, Unauthorized) as error:
                self._away(error)
                return
            self._aways = 0
        if self._held and not (self._spool.exists and self._spool.mine()):
            held, self._held = self._held, []
            self._send(held)
        self._behind = bool(self._held) or len(self._spool) > 0
        if self._behind:
            self._next_try = max(self._next_try, time.monotonic() + self._backoff.pause(self._aways))

    def _forward(self, waiting: list[tuple[int, bytes]]) -> None:
        try:
            kept = self._post([body for _, body in waiting])
        except (StoreUnavailable, Unauthorized):
            raise
        except AcontextError as error:
            if len(waiting) == 1:
                self._lost(waiting[0][1], error)
                self._spool.drop([waiting[0][0]])
                return
            for one in waiting:  # one of them cannot be taken: not the others' fault
                self._forward([one])
            return
        for (_, body), answer in zip(waiting, kept, strict=True):
            if "code" in answer:
                self._lost(body, error_of(answer, int(answer["code"])))
            else:
                self.stats.sent += 1
        self._spool.drop([number for number, _ in waiting])

    def _away(self, error: AcontextError) -> None:
        self._behind = True
        self._next_try = time.monotonic() + self._backoff.pause(self._aways)
        self._aways += 1
        self._log.warning(
            "away", "acontext: the server cannot take recordings now, they wait in %s: %s", self._spool.path, error
        )

    # -- counting
    def _lost(self, body: bytes, error: AcontextError) -> None:
        self.stats.failed += 1
        key = str(json.loads(body).get("session", {}).get("key"))
        self._log.warning("failed", "acontext: a recording of session %s was refused: %s", key, error)

    def _fail(self, entries: Sequence[_EncodedRecording], error: BaseException) -> None:
        for entry in entries:
            self._count_out(entry)
            if entry.waiter is not None:
                if entry.waiter.set_running_or_notify_cancel():
                    entry.waiter.set_exception(error)
            else:
                self.stats.failed += 1
                self._log.warning("failed", "acontext: a recording could not be kept: %s", error)

    def _count_out(self, entry: _EncodedRecording) -> None:
        with self._lock:
            self._pending -= 1
            self._pending_bytes -= entry.size


def _batches(entries: Sequence[_EncodedRecording]) -> list[list[_EncodedRecording]]:
    """The entries in order, cut where a request would be too big."""
    batches: list[list[_EncodedRecording]] = []
    size = 0
    for entry in entries:
        if not batches or size + len(entry.body) > _BYTES:
            batches.append([])
            size = 0
        batches[-1].append(entry)
        size += len(entry.body)
    return batches
