"""Exchange: one request of a client, and what comes back for it, as the call of a model that it is."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
import zlib
from typing import Any

from acontext_plugins.runs import Runtime, reason_of
from acontext_store.records import valid
from acontext_store.types import Json

from ..model_calls import CHAT, RESPONSES, CallRecorder, Events, RecordedCall, WireFormat
from ..model_calls.instructions import EventLines, SentInstructions

calls = CallRecorder()
_WIRES: dict[str, WireFormat] = {"/chat/completions": CHAT, "/responses": RESPONSES}
#: A response in the background is asked for, or stopped.
_LATER = re.compile(r"/responses/([^/]+)(?:/cancel)?$")
#: The SDK waits 8 seconds at most before it tries again, or as long as the provider says, up to a minute.
_LONGEST_WAIT, _LONGEST_SAID = 10.0, 60.0
_ERROR_BYTES = 65_536


class RecordedRequest:
    """Once it is there nothing of it raises, unless `strict`: the request goes out, and the answer in, as they came."""

    def __init__(self, client: Any, request: Any, call: RecordedCall, attempt: int) -> None:
        self.runtime: Runtime = client.acontext_runtime
        self.client = client
        self._request = request
        self.call = call
        self._final = attempt >= client.acontext_max_retries

    @staticmethod
    def of(client: Any, request: Any) -> RecordedRequest | None:
        """The exchange that this request begins; None for requests that are no call of a model. May raise."""
        path, method = request.url.path, request.method
        attempt = int(request.headers.get("x-stainless-retry-count") or 0)
        wire = next((wire for end, wire in _WIRES.items() if path.endswith(end)), None)
        if method == "POST" and wire is not None:
            return RecordedRequest._of_call(client, request, wire, attempt)
        later = _LATER.search(path) if method in ("GET", "POST") else None
        call = calls.opened(later[1]) if later is not None else None
        return RecordedRequest(client, request, call, attempt) if call is not None else None

    @staticmethod
    def _of_call(client: Any, request: Any, wire: WireFormat, attempt: int) -> RecordedRequest | None:
        if "json" not in request.headers.get("content-type", "") or "content-encoding" in request.headers:
            return None
        content = request.content
        body = json.loads(content)
        if not isinstance(body, dict):
            return None
        call = calls.begin(
            client.acontext_runtime,
            wire,
            body,
            principal=str(body.get("user") or body.get("safety_identifier") or "") or None,
            call_id=hashlib.blake2b(content, digest_size=16).hexdigest(),
            attempt=attempt,
        )
        return RecordedRequest(client, request, call, attempt)

    # -- the request
    def prepared(self) -> Any:
        """The request to send."""
        if not self.call.wanted:
            return self._request
        body = self.call.prepared()
        with self.runtime.guard("inject"):
            return self._with(body)
        return self._request

    async def aprepared(self) -> Any:
        """The same in a coroutine."""
        if not self.call.wanted:
            return self._request
        body = await self.call.aprepared()
        with self.runtime.guard("inject"):
            return self._with(body)
        return self._request

    def _with(self, body: Json) -> Any:
        before = self._request
        if body is self.call.body:
            return before
        content = json.dumps(valid(body), ensure_ascii=False, separators=(",", ":")).encode()
        headers = [(name, value) for name, value in before.headers.raw if name.lower() not in _LENGTHS]
        if self.call.instructions is not None:  # they have to be found again in the answer
            headers = [
                (name, _readable(value) if name.lower() == b"accept-encoding" else value) for name, value in headers
            ]
        return type(before)(before.method, before.url, headers=headers, content=content, extensions=before.extensions)

    # -- the answer
    def raised(self, error: BaseException) -> None:
        """There is no answer."""
        with self.runtime.guard("response"):
            if type(error).__module__.partition(".")[0] == self.client.acontext_library.__name__:
                error.request = self._request  # type: ignore[attr-defined]
            if isinstance(error, Exception):
                self._failed(reason_of(error), None)
            else:
                self.call.cancelled()

    def answered(self, response: Any) -> Any:
        """The response, watched while the host reads it."""
        with self.runtime.guard("response"):
            response.request = self._request
            watch = _StreamWatch(self, response)
            content = _read_of(response)
            if content is not None:
                watch.whole(content)
                return watch.put_back(content)
            if not (response.is_stream_consumed or response.is_closed):
                return watch.tee()
            watch.closed()
        return response

    def _failed(self, reason: str, response: Any) -> None:
        headers = response.headers if response is not None else {}
        again = headers.get("x-should-retry")
        status = response.status_code if response is not None else 503
        retried = again == "true" or (again != "false" and (status in (408, 409, 429) or status >= 500))
        if self._final or not retried:
            self.call.failed(reason)
            return
        said = headers.get("retry-after") or "0"
        seconds = float(said) if said.replace(".", "", 1).isdigit() else _LONGEST_SAID
        self.call.failed(reason, retried_within=max(_LONGEST_WAIT, min(seconds, _LONGEST_SAID) + 2))


_LENGTHS = frozenset({b"content-length", b"transfer-encoding"})
_ENCODED = _LENGTHS | {b"content-encoding"}
_READ = frozenset({b"gzip", b"deflate", b"identity"})
#: Of the attributes that every response has: those that say nothing of its body.
_BESIDE_BODY = frozenset({"next_request", "extensions", "history", "default_encoding"})
#: What a response keeps of its body once somebody has asked for it.
_MADE_OF_BODY = frozenset({"_text", "_decoder"})


class _StreamWatch:
    """Reads along, and says how the call ends. Its parts may be called in any order and often; the first end counts."""

    def __init__(self, exchange: RecordedRequest, response: Any) -> None:
        self._exchange = exchange
        self.call = exchange.call
        self.runtime = exchange.runtime
        self._response = response
        self._wrong = response.status_code >= 400
        self._streams = "text/event-stream" in response.headers.get("content-type", "") and not self._wrong
        self._events = Events()
        self._assembler = self.call.wire.assembler()
        #: Of several choices one can be complete before another has begun.
        self._several = (self.call.body.get("n") or 1) != 1
        self._encoding = response.headers.get("content-encoding", "").strip().lower()
        self._inflate: Any = zlib.decompressobj(47) if self._encoding in ("gzip", "deflate") else None
        self._plain = self._encoding in ("", "identity")
        self._kept: list[bytes] = []
        self._size = 0
        #: Something may have to be put back: in the lines of a stream, or in a body that is then given as a whole.
        self._lines: EventLines | None = None
        self._whole: SentInstructions | None = None
        instructions = self.call.instructions
        if instructions is not None and not self._wrong:
            if self._streams and (self._plain or self._inflate is not None):
                self._lines = EventLines(instructions.in_json)
            else:
                self._whole = instructions

    def feed(self, chunk: bytes) -> bytes:
        """Bytes of the body, as they came. Returns those that the host is given."""
        given = chunk
        with self.runtime.guard("stream"):
            read = self._streams and (self._plain or self._inflate is not None)
            text = self._inflate.decompress(chunk) if read and not self._plain else chunk
            if self._lines is not None:
                given = self._lines.feed(text)
            elif self._whole is not None:
                given = b""
                self._kept.append(chunk)
            if self.call.ended:
                return given
            if read:
                self._read(self._events.feed(text))
            elif self._whole is None and (not self._wrong or self._size < _ERROR_BYTES):
                self._kept.append(chunk)
                self._size += len(chunk)
        return given

    def rest(self) -> bytes:
        """What the host is given at the end of the body. Raises the library's error where it cannot be decoded."""
        if self._lines is not None:
            return self._lines.end()
        return self._own(self._decode(), self._whole) if self._whole is not None else b""

    def tee(self) -> Any:
        """The response, whose body is read along. Where something may be put back, the host is given it decoded."""
        response = self._response
        if self._lines is not None or self._whole is not None:
            response.headers.pop("content-encoding", None)
        response.stream = self._exchange.client.acontext_tee(response.stream, self)
        return response

    def put_back(self, content: bytes) -> Any:
        """The response that has been read, with the host's own instructions in it."""
        response, instructions = self._response, self.call.instructions
        made = content if instructions is None or self._wrong else self._own(content, instructions)
        if made is content:
            return response
        base = self._exchange.client.acontext_library.Response
        kind: Any = type(response) if isinstance(response, base) else base
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _ENCODED]
        like = kind.__new__(kind)
        base.__init__(like, response.status_code, headers=headers, content=made)
        # as they are, and only those that are there: getters may raise, and subclasses have attributes of their own
        of_body = (vars(like).keys() - _BESIDE_BODY) | _MADE_OF_BODY
        vars(like).update({name: value for name, value in vars(response).items() if name not in of_body})
        like.request = self._exchange._request
        with contextlib.suppress(RuntimeError):  # nobody has measured it
            like.elapsed = response.elapsed
        return like

    def _own(self, content: bytes, instructions: SentInstructions) -> bytes:
        if not self._streams:
            return instructions.in_json(content)
        lines = EventLines(instructions.in_json)
        made = lines.feed(content) + lines.end()
        return content if made == content else made

    def _read(self, events: list[Json], *, all_read: bool = False) -> None:
        for event in events:
            self._assembler.feed(event)
        complete = self._assembler.finished and (all_read or not self._several)
        if complete or self._events.done:
            self.call.answered(self._assembler.response)
        elif all_read:
            self.call.failed("the stream ended before the answer was complete")

    def whole(self, content: bytes) -> None:
        """The body as it is after decoding."""
        with self.runtime.guard("response"):
            if self._wrong:
                self._exchange._failed(_reason(self._response, content), self._response)
            elif self._streams:
                self._read([*self._events.feed(content), *self._events.end()], all_read=True)
            else:
                answer = json.loads(content)
                if isinstance(answer, dict):
                    self.call.answered(answer)

    def end(self) -> None:
        """The body has been read to its end."""
        if self.call.ended:
            return
        with self.runtime.guard("stream end"):
            if self._streams and (self._plain or self._inflate is not None):
                self._read(self._events.end(), all_read=True)
                return
            self.whole(self._decoded())

    def broke(self, error: BaseException) -> None:
        """Reading has failed, or was given up."""
        with self.runtime.guard("stream"):
            if isinstance(error, Exception):
                self.call.failed(reason_of(error))
            else:
                self.closed()

    def closed(self) -> None:
        """Nobody reads on."""
        if self.call.ended:
            return
        with self.runtime.guard("stream end"):
            if self._wrong:
                self._exchange._failed(_reason(self._response, self._decoded()), self._response)
            elif self._assembler.finished:
                self.call.answered(self._assembler.response)
            else:
                self.call.cancelled()

    def _decoded(self) -> bytes:
        try:
            return self._decode()
        except Exception:  # cut off, or no body at all
            return b""

    def _decode(self) -> bytes:
        body = b"".join(self._kept)
        if self._plain:
            return body
        kind = self._exchange.client.acontext_library.Response
        content: bytes = kind(200, headers={"content-encoding": self._encoding}, content=body).content
        return content


def _readable(accepted: bytes) -> bytes:
    """Of the encodings that a client accepts, those that are read along while they come."""
    names = [name.strip() for name in accepted.split(b",")]
    return b", ".join(name for name in names if name.partition(b";")[0].strip().lower() in _READ) or b"identity"


def _read_of(response: Any) -> bytes | None:
    """The body of a response that has been read; None where it has not."""
    try:
        content: bytes = response.content
    except Exception:
        return None
    return content


def _reason(response: Any, content: bytes) -> str:
    """What the provider says went wrong."""
    words = ""
    try:
        error = json.loads(content)
        error = error.get("error", error)
        words = error if isinstance(error, str) else str(error.get("message") or "")
    except (ValueError, AttributeError):
        words = content[:200].decode("utf-8", "replace")
    return f"{response.status_code} {response.reason_phrase}: {words}".removesuffix(": ")


@functools.cache
def tee_class(library: Any, is_async: bool) -> type[Any]:
    """A stream of this library that lets a watch read along."""

    def start(self: Any, stream: Any, watch: _StreamWatch) -> None:
        self.stream = stream
        self.watch = watch

    def steps(self: Any) -> Any:
        watch = self.watch
        try:
            for chunk in self.stream:
                if given := watch.feed(chunk):
                    yield given
            if rest := watch.rest():
                yield rest
        except BaseException as error:
            watch.broke(error)
            raise
        watch.end()

    async def asteps(self: Any) -> Any:
        watch = self.watch
        try:
            async for chunk in self.stream:
                if given := watch.feed(chunk):
                    yield given
            if rest := watch.rest():
                yield rest
        except BaseException as error:
            watch.broke(error)
            raise
        watch.end()

    def close(self: Any) -> None:
        self.watch.closed()
        self.stream.close()

    async def aclose(self: Any) -> None:
        self.watch.closed()
        await self.stream.aclose()

    def forgotten(self: Any) -> None:
        self.watch.closed()

    if is_async:
        members = {"__aiter__": asteps, "aclose": aclose}
        base = library.AsyncByteStream
    else:
        members = {"__iter__": steps, "close": close}
        base = library.SyncByteStream
    return type(base.__name__, (base,), {"__init__": start, "__del__": forgotten, **members})
