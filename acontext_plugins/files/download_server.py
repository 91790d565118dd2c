"""Links to files: where they lead, and the small server that answers them where there is no other."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from acontext_plugins.files.download_response import respond
from acontext_plugins.files.service import DOWNLOAD, Download
from acontext_plugins.files.signed_urls import LinkTarget, sign
from acontext_plugins.settings import is_loopback
from acontext_store.errors import AcontextError, Closed, StoreUnavailable
from acontext_store.forks import CLIENTS, at_fork, renewed_in_child

#: Below the ports that systems hand out to outgoing connections.
_PORTS = range(20_000, 32_000)


class DownloadLinks:
    """Addresses that a plain GET can download.

    They begin with `public_url` where a server is there to answer them. Else a server of our own on 127.0.0.1 does,
    which begins with the first link and ends with the client; its links are for programs on this machine.
    """

    def __init__(
        self, *, public_url: str, secret: Callable[[], bytes], open_link: Callable[[Mapping[str, str]], Download]
    ) -> None:
        self._public_url = public_url.rstrip("/")
        self._secret = secret
        self._open_link = open_link
        self._key: bytes | None = None
        self._server: FileServer | None = None
        self._lock = renewed_in_child(self, "_lock", threading.Lock)
        self._closed = False
        at_fork(CLIENTS, after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.after_fork()

    @property
    def public(self) -> bool:
        """Whether others than programs on this machine can follow them."""
        return bool(self._public_url) and not is_loopback(urlsplit(self._public_url).hostname or "")

    @property
    def key(self) -> bytes:
        """What links are signed with. Raises StoreUnavailable where it can be neither read nor made."""
        if self._key is None:
            self._key = self._secret()
        return self._key

    def url(self, link: LinkTarget) -> str:
        """The address of a link. Raises StoreUnavailable where no server can be begun."""
        return f"{self._base()}/{DOWNLOAD}?{sign(self.key, link)}"

    def _base(self) -> str:
        if self._public_url:
            return self._public_url
        with self._lock:
            if self._closed:
                raise Closed("this client is closed: open another")
            if self._server is None:
                self._server = FileServer(self._open_link)
            return self._server.url

    def close(self) -> None:
        with self._lock:
            self._closed = True
            server, self._server = self._server, None
        if server is not None:
            server.close()


class FileServer:
    """Answers GET and HEAD of signed links on 127.0.0.1, ranges too; everything else is refused."""

    def __init__(self, open_link: Callable[[Mapping[str, str]], Download]) -> None:
        """Begin. Raises StoreUnavailable where no port is free."""
        handler = type("_BoundHandler", (_Handler,), {"open_link": staticmethod(open_link)})
        self._http = _listen(handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, name="acontext-files", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more requests; what is being sent is sent on until the process ends."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def after_fork(self) -> None:
        """In a forked child: the port is the parent's."""
        self._http.socket.close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked has gone away."""


def _listen(handler: type[BaseHTTPRequestHandler]) -> _Http:
    trouble: OSError | None = None
    for port in random.SystemRandom().sample(_PORTS, 50):  # the host may have seeded the others
        try:
            return _Http(("127.0.0.1", port), handler)
        except OSError as error:
            trouble = error
    raise StoreUnavailable(f"no port on 127.0.0.1 is free for links to files ({trouble}): set public_url") from trouble


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "acontext"
    sys_version = ""
    timeout = 30
    open_link: Callable[[Mapping[str, str]], Download]

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        address = urlsplit(self.path)
        if address.path != f"/{DOWNLOAD}":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            download = self.open_link(dict(parse_qsl(address.query)))
            decided = respond(download, self.command, self.headers.get)
            pieces = download.read(decided.start, decided.end)
        except AcontextError as error:
            self.send_error(error.status, explain=str(error))
            return
        self.send_response(decided.status)
        for name, value in decided.headers.items():
            self.send_header(name, value)
        if decided.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self.send_header("content-length", "0")
        self.end_headers()
        if with_body and decided.start < decided.end:
            self._send(pieces)

    def _send(self, pieces: Iterator[bytes]) -> None:
        try:
            for piece in pieces:
                self.wfile.write(piece)
        except (OSError, AcontextError):
            self.close_connection = True  # who reads sees that it ended early

    def log_message(self, format: str, *args: Any) -> None:
        """Addresses are secrets: they are written nowhere."""
