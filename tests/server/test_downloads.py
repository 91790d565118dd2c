"""Downloads (RFC 9110): the REST server and the small server of embedded links answer alike."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins import AsyncAcontext
from acontext_plugins.files.download_response import byte_range, content_disposition, filename_of
from acontext_plugins.files.service import Download

from .conftest import Server

DATA = b"0123456789"
ETAG = f'"{hashlib.sha256(DATA).hexdigest()}"'
Ask = Callable[..., Awaitable[httpx.Response]]
Keep = Callable[[str, bytes, str], Awaitable[Ask]]


def _asking(client: httpx.AsyncClient, url: str) -> Ask:
    async def ask(method: str = "GET", **headers: str) -> httpx.Response:
        return await client.request(method, url, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return ask


async def _embedded(tmp_path: Path) -> AsyncIterator[Keep]:
    async with AsyncAcontext(f"sqlite:///{tmp_path}/own.db") as client, httpx.AsyncClient() as http:
        disk = await client.disks.create()

        async def keep(filename: str, data: bytes, mime: str) -> Ask:
            await client.artifacts.upsert(disk.id, file=(filename, data, mime))
            found = await client.artifacts.get(disk.id, file_path="/", filename=filename, with_public_url=True)
            assert found.public_url is not None
            return _asking(http, found.public_url)

        yield keep


async def _served(server: Server) -> AsyncIterator[Keep]:
    client = server.client("p1")
    path = f"/disk/{(await client.post('/disk')).json()['data']['id']}/artifact"

    async def keep(filename: str, data: bytes, mime: str) -> Ask:
        await client.post(path, files={"file": (filename, data, mime)})
        found = (await client.get(path, params={"file_path": f"/{filename}"})).json()
        return _asking(client, found["data"]["public_url"])

    yield keep


@pytest.fixture(params=["embedded", "server"])
async def keep(request: pytest.FixtureRequest, tmp_path: Path, server: Server) -> AsyncIterator[Keep]:
    """Keeps a file of a name, bytes and a type, and gives what asks for it."""
    opened = _embedded(tmp_path) if request.param == "embedded" else _served(server)
    async for memory in opened:
        yield memory


#: A Range header, and the bytes that it is answered with; None for all of them, b"" for none (416).
RANGES = [
    ("bytes=0-4", b"01234"),
    ("bytes=0-", DATA),
    ("bytes=2-300", b"23456789"),
    ("bytes=-3", b"789"),
    ("bytes=-300", DATA),
    ("bytes=9-9", b"9"),
    ("BYTES=1-1", b"1"),
    ("bytes=, 1-2 ,", b"12"),  # a list of one: empty elements do not count
    ("bytes=0000000000000000000000000003-4", b"34"),
    ("bytes=10-", b""),
    ("bytes=99-100", b""),
    ("bytes=-0", b""),
    ("bytes=99999999999999999999999999-", b""),
    ("items=0-4", None),
    ("bytes=4-2", None),
    ("bytes=99-98", None),
    ("bytes=0-1,4-5", None),
    ("bytes=0-1,99-", None),
    ("bytes=a-b", None),
    ("bytes=0-b", None),
    ("bytes=-", None),
    ("bytes=", None),
    ("bytes", None),
    ("bytes 0-4", None),
    ("bytes =0-4", None),
    ("bytes=0 - 4", None),
    ("bytes=+0-4", None),
    ("bytes=0--4", None),
    ("bytes=0x1-4", None),
    ("bytes=1.0-4", None),
    ("bytes=1_0-", None),
    ("bytes=" + "9" * 5000 + "-", None),  # longer than any position: RFC 9110 lets a server ignore a range
]


async def test_a_range_is_answered_alike_by_the_server_and_by_an_embedded_link(keep: Keep) -> None:
    ask = await keep("a.txt", DATA, "text/plain")
    for header, expected in RANGES:
        response = await ask(range=header)
        status = {None: 200, b"": 416}.get(expected, 206)
        assert response.status_code == status, header
        if status == 416:
            assert response.headers["content-range"] == "bytes */10", header
            continue
        assert response.content == (DATA if expected is None else expected), header
        assert response.headers["content-length"] == str(len(response.content)), header
        start = DATA.index(response.content)
        told = None if status == 200 else f"bytes {start}-{start + len(response.content) - 1}/10"
        assert response.headers.get("content-range") == told, header


async def test_conditions_come_before_ranges(keep: Keep) -> None:
    ask = await keep("a.txt", DATA, "text/plain")
    for known in (ETAG, f"W/{ETAG}", "*", f'"other", {ETAG}'):
        response = await ask(if_none_match=known, range="bytes=99-")
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", ETAG), known
    assert (await ask(if_none_match='"other"')).status_code == 200
    assert (await ask(if_range=ETAG, range="bytes=0-1")).content == b"01"
    # of other bytes, of who knows which, and a date: we keep none
    for other in ('"other"', f"W/{ETAG}", "Sat, 01 Jan 2033 00:00:00 GMT"):
        assert (await ask(if_range=other, range="bytes=0-1")).status_code == 200, other


async def test_head_has_the_headers_of_the_whole_file(keep: Keep) -> None:
    ask = await keep("a.txt", DATA, "text/plain")
    response = await ask("HEAD", range="bytes=0-1")
    assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "10")
    assert (await ask("HEAD", if_none_match=ETAG)).status_code == 304


async def test_an_empty_file_is_given_whole_whatever_range_is_asked_for(keep: Keep) -> None:
    ask = await keep("a.txt", b"", "text/plain")
    for header in ("bytes=0-", "bytes=-5", "bytes=3-4"):
        response = await ask(range=header)
        assert (response.status_code, response.content) == (200, b""), header


async def test_pictures_and_plain_text_are_shown_and_anything_else_is_saved(keep: Keep) -> None:
    for filename, mime, how, said in (
        ("a.png", "image/png", "inline", "image/png"),
        ("a.txt", "text/plain", "inline", "text/plain; charset=utf-8"),
        ("a.html", "text/html", "attachment", "text/html; charset=utf-8"),
        ("a.svg", "image/svg+xml", "attachment", "image/svg+xml"),
        ("naïve 'x'.bin", "application/octet-stream", "attachment", "application/octet-stream"),
    ):
        headers = (await (await keep(filename, DATA, mime))(range="bytes=0-4")).headers
        assert headers["content-disposition"].partition(";")[0] == how, filename
        assert filename_of(headers["content-disposition"]) == filename
        assert headers["content-type"] == said
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "private, no-store"
        assert "sandbox" in headers["content-security-policy"]


_HEADERS = st.one_of(
    st.text(max_size=60),
    st.builds("{}={}-{}".format, st.sampled_from(["bytes", "Bytes", "items"]), *[st.integers(0, 300)] * 2),
    st.lists(st.sampled_from(["bytes", "=", "-", ",", " ", "0", "5", "99", "٣", "items"]), max_size=8).map("".join),
)


@given(_HEADERS, st.integers(1, 200))
def test_whatever_a_range_header_says_the_bytes_are_in_the_file(header: str, size: int) -> None:
    found = byte_range(header, size)
    assert found is None or 0 <= found[0] < found[1] <= size or found == (size, size)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 200))
def test_a_range_means_what_a_slice_means(first: int, last: int, size: int) -> None:
    data = bytes(range(size))
    found = byte_range(f"bytes={first}-{last}", size)
    assert (found is None) == (first > last)
    if found is not None:
        assert data[slice(*found)] == data[first : last + 1]
    start, end = byte_range(f"bytes={first}-", size) or (0, 0)
    assert data[start:end] == data[first:]
    start, end = byte_range(f"bytes=-{last}", size) or (0, 0)
    assert data[start:end] == data[max(0, size - last) :]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_a_name_survives_its_header(filename: str) -> None:
    told = content_disposition(Download(filename, "text/plain", 1, "0" * 64, lambda start, end: iter(())))
    assert told.isascii()
    assert filename_of(told) == filename
