"""The head of a request has an end: 64 kB, counted while it comes, for each request of a connection anew."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.server.http_timeouts import HEAD, protocol_of
from tests.wire.conftest import free_port

from ..examples import examples


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Says what it was asked, how many bytes came with it, and which headers."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    names = [name.decode() for name, _ in scope["headers"]]
    body = json.dumps({"path": scope["path"], "size": size, "headers": len(names), "names": names[-3:]}).encode()
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = free_port()
    config = uvicorn.Config(
        echo, port=port, http=protocol_of(30), ws="none", lifespan="off", log_level="critical", timeout_keep_alive=60
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    yield port
    server.should_exit = True
    thread.join()


def answers(connection: socket.socket, *, most: int = 1_000) -> list[tuple[int, Any]]:
    """The next so many, or all until the other side ends: status and body of each."""
    found: list[tuple[int, Any]] = []
    with connection.makefile("rb") as stream:
        while len(found) < most and (first := stream.readline()):
            length = 0
            while line := stream.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            found.append((int(first.split()[1]), json.loads(stream.read(length))))
    return found


def asked(port: int, *pieces: bytes) -> list[tuple[int, Any]]:
    """What it answers until it ends the connection."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(60)
        for piece in pieces:
            connection.sendall(piece)
        return answers(connection)


def a_head(size: int, *, header: int = 0, path: str = "/", more: str = "connection: close\r\n") -> bytes:
    """A head of exactly so many bytes: in one header, or in headers of at most `header` bytes."""
    head = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{more}"
    left, number = size - len(head) - 2, 0
    while left:
        line = min(left, header or left)
        line = left if left - line < 10 else line
        head += f"x{number}: ".ljust(line - 2, "y") + "\r\n"
        left, number = left - line, number + 1
    return (head + "\r\n").encode()


@pytest.mark.parametrize("header", [0, 30, 4_000])
def test_a_head_may_have_64_kb_and_not_a_byte_more(port: int, header: int) -> None:
    [(status, said)] = asked(port, a_head(HEAD, header=header))
    assert (status, said["path"]) == (200, "/")
    [(status, said)] = asked(port, a_head(HEAD + 1, header=header))
    assert (status, said["code"], said["error"]) == (431, 431, "too_large")
    assert "64 kB" in said["msg"]


@pytest.mark.parametrize("size", [HEAD + 1, 200_000, 900_000])
@pytest.mark.parametrize("header", [0, 40])
def test_who_sends_far_too_much_still_reads_why(port: int, size: int, header: int) -> None:
    [(status, _)] = asked(port, a_head(size, header=header))
    assert status == 431


def test_a_long_address_is_called_one(port: int) -> None:
    [(status, said)] = asked(port, a_head(HEAD + 100, path="/" + "x" * HEAD, more=""))
    assert (status, said["error"]) == (414, "too_large")


def test_a_head_that_never_ends_is_not_read_for_ever(port: int) -> None:
    sent = 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(60)
        connection.sendall(b"GET / HTTP/1.1\r\nx: ")
        with contextlib.suppress(ConnectionError):
            while sent < 100_000_000:
                sent += connection.send(b"y" * 65_536)
    assert sent < 50_000_000


def test_what_comes_in_small_pieces_is_counted_together(port: int) -> None:
    head = a_head(HEAD + 1)
    pieces = [head[at : at + 999] for at in range(0, len(head), 999)]
    [(status, _)] = asked(port, *pieces)
    assert status == 431


def test_each_request_of_a_connection_is_counted_anew(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(60)
        for number in range(5):
            connection.sendall(a_head(HEAD - 1, path=f"/{number}", more=""))
            [(status, said)] = answers(connection, most=1)
            assert (status, said["path"]) == (200, f"/{number}")
        connection.sendall(a_head(HEAD + 1, more=""))
        [(status, _)] = answers(connection)
        assert status == 431


BODY = b"POST /posted HTTP/1.1\r\nhost: localhost\r\ncontent-length: 40\r\n\r\n" + b"GET / HTTP/1.1\r\n\r\n".ljust(40)
CHUNKED = b"POST /chunked HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n"
SMALL = b"GET /small HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.mark.parametrize("before", [(SMALL,), (BODY,), (SMALL, BODY, SMALL, BODY, BODY), (CHUNKED,), (CHUNKED, SMALL)])
def test_requests_before_one_that_is_refused_are_answered_first(port: int, before: tuple[bytes, ...]) -> None:
    paths = [request.split()[1].decode() for request in before]
    found = asked(port, b"".join(before) + a_head(HEAD + 20_000, more=""))
    assert [status for status, _ in found] == [200] * len(before) + [431]
    assert [said["path"] for _, said in found[:-1]] == paths
    found = asked(port, b"".join(before) + b"what is this?\r\n\r\n")
    assert [status for status, _ in found] == [200] * len(before) + [400]


@pytest.mark.parametrize("unit", [b"x", b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_body_is_no_head(port: int, unit: bytes) -> None:
    body = (unit * 2_000_000)[:2_000_000]
    head = b"POST /big HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    [(status, said)] = asked(port, head + b"content-length: 2000000\r\n\r\n" + body)
    assert (status, said["size"]) == (200, 2_000_000)
    chunks = [
        b"%x\r\n%s\r\n" % (len(piece), piece) for at in range(0, len(body), 150_000) if (piece := body[at:][:150_000])
    ]
    chunks += [b"1;why=none\r\nx\r\n"] * 5_000 + [b"0\r\n\r\n"]
    [(status, said)] = asked(port, head + b"transfer-encoding: chunked\r\n\r\n" + b"".join(chunks))
    assert (status, said["size"]) == (200, 2_005_000)


def test_trailers_are_no_headers_and_have_an_end(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(60)
        connection.sendall(head + b"authorization: Bearer x\r\n\r\n" + SMALL)
        first, second = answers(connection, most=2)
        assert first == (200, {"path": "/", "size": 3, "headers": 2, "names": ["host", "transfer-encoding"]})
        assert second[1]["path"] == "/small"
    [(status, said)] = asked(port, head + b"".join(b"x%d: y\r\n" % number for number in range(10_000)))
    assert (status, said["error"]) == (431, "too_large")
    assert "trailers" in said["msg"]


def test_the_extension_of_a_chunk_has_an_end(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n3;"
    [(status, said)] = asked(port, head + b"x" * 100_000)
    assert (status, said["error"]) == (431, "too_large")


@examples(40)
@given(
    requests=st.lists(
        st.sampled_from([SMALL, BODY, CHUNKED, a_head(HEAD, path="/long", more="")]), min_size=1, max_size=6
    ),
    cuts=st.lists(st.integers(0, 3 * HEAD), max_size=6),
)
def test_it_does_not_matter_in_which_pieces_requests_come(port: int, requests: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(requests)
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for begin, end in itertools.pairwise(places):
            connection.sendall(stream[begin:end])
        found = answers(connection, most=len(requests))
    assert [said["path"].encode() for _, said in found] == [request.split()[1] for request in requests]
