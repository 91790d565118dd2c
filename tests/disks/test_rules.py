"""Contents, patterns and links: pure functions, and input that nobody should have to fear."""

from __future__ import annotations

import fnmatch
import json
import re
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.errors import InvalidInput, Unauthorized
from acontext_plugins.files import (
    LONGEST,
    MOST_PARSED,
    Glob,
    Grep,
    LinkTarget,
    content_kind,
    parse_content,
    sign,
    verify,
)
from acontext_plugins.files.signed_urls import expiry

OCTETS = "application/octet-stream"

# ------------------------------------------------------------------------------------------------------- contents


@pytest.mark.parametrize(
    ("filename", "mime", "kind"),
    [
        ("todo.md", OCTETS, "text"),
        ("TODO.MD", OCTETS, "text"),
        ("a.json", "text/plain", "json"),
        ("a.csv", OCTETS, "csv"),
        ("a.tar.py", OCTETS, "code"),
        ("Dockerfile", OCTETS, "code"),
        ("app.dockerfile", OCTETS, "code"),
        ("makefile", "", "code"),
        ("notes", "text/plain; charset=utf-8", "text"),
        ("notes", OCTETS, None),
        ("a.unknown", "TEXT/X-Anything", "text"),
        ("data", "application/json", "json"),
        ("data", "text/csv", "csv"),
        ("a.png", "image/png", None),
        ("json", OCTETS, None),
    ],
)
def test_the_name_tells_first_and_then_the_mime_type(filename: str, mime: str, kind: str | None) -> None:
    assert content_kind(filename, mime) == kind


@pytest.mark.parametrize(
    "data", [b'{"a": 1}', b"[]", b'"x"', b'\xef\xbb\xbf{"bom": true}', b"1" * 6000, b'{"a": 1, "a": 2}']
)
def test_json_is_given_as_it_was_written(data: bytes) -> None:
    found = parse_content("a.json", OCTETS, data)
    assert found is not None
    assert (found.type, found.raw.encode()) == ("json", data)


@pytest.mark.parametrize("data", [b"", b"{", b"{'a': 1}", b"NaN", b"[1,]", b"[" * 100_000, b'"\xff"'])
def test_what_is_no_json_is_not_given(data: bytes) -> None:
    assert parse_content("a.json", OCTETS, data) is None


def test_csv_is_given_where_it_can_be_read() -> None:
    assert parse_content("a.csv", OCTETS, b'a,b\r\n"x, y",2\r\nshort\r\n') is not None
    assert parse_content("a.csv", OCTETS, b'a,b\n"never ended,1\n') is None


def test_text_must_be_text_and_not_too_long() -> None:
    assert parse_content("a.txt", OCTETS, b"\xff\xfe") is None
    assert parse_content("a.bin", OCTETS, b"plain") is None
    assert parse_content("a.txt", OCTETS, b"x" * MOST_PARSED) is not None
    assert parse_content("a.txt", OCTETS, b"x" * (MOST_PARSED + 1)) is None


@given(st.text(max_size=20), st.text(max_size=20), st.binary(max_size=200))
def test_any_file_has_a_text_or_none(filename: str, mime: str, data: bytes) -> None:
    found = parse_content(filename, mime, data)
    assert found is None or found.raw.encode() == data


# ------------------------------------------------------------------------------------------------------- patterns


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("*.txt", ["/a.txt"], ["/b/a.txt", "/a.txt.gz"]),
        ("**/*.py", ["/a.py", "/x/a.py", "/x/y/a.py"], ["/a.pyc"]),
        ("/docs/**/*.md", ["/docs/a.md", "/docs/x/y/a.md"], ["/a.md", "/doc/a.md"]),
        ("/docs/**", ["/docs/a", "/docs/x/y"], ["/docs", "/docsx/a"]),
        ("docs/", ["/docs/a"], ["/docs"]),
        ("**", ["/a", "/a/b/c"], []),
        ("/a?c/[xy].md", ["/abc/x.md", "/a.c/y.md"], ["/ac/x.md", "/abc/z.md", "/a/c/x.md"]),
        ("**/a/**/b", ["/a/b", "/x/a/y/z/b", "/a/a/b"], ["/a/c", "/b"]),
        ("/A.md", ["/A.md"], ["/a.md"]),
    ],
)
def test_globs(pattern: str, fitting: list[str], others: list[str]) -> None:
    glob = Glob(pattern)
    assert [path for path in [*fitting, *others] if glob.fits(path)] == fitting
    assert all(path.startswith(glob.under) for path in fitting)


def test_a_glob_that_would_backtrack_for_ever_answers() -> None:
    assert not Glob("*a" * 100 + "*b").fits("/" + "a" * 255)
    assert not Glob("**/" * 100 + "*b").fits("/a" * 400)


_names = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=4)


@given(_names, st.lists(st.sampled_from(["**", "*", "a", "b", "a*", "?", "*b"]), min_size=1, max_size=4))
def test_globs_are_what_the_definition_says(names: list[str], parts: list[str]) -> None:
    def fits(parts: list[str], names: list[str]) -> bool:
        if not parts:
            return not names
        if parts[0] == "**":
            if len(parts) == 1:
                return bool(names)
            return any(fits(parts[1:], names[skipped:]) for skipped in range(len(names) + 1))
        return bool(names) and fnmatch.fnmatchcase(names[0], parts[0]) and fits(parts[1:], names[1:])

    assert Glob("/".join(parts)).fits("/" + "/".join(names)) == fits(parts, names)


@pytest.mark.parametrize("pattern", ["", "  ", "/", "x" * 1001])
def test_an_empty_or_endless_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidInput):
        Glob(pattern)


def test_expressions_are_searched_line_by_line() -> None:
    text = "one\ntwo TODO: fix the bug\nthree"
    assert all(Grep(pattern).finds(text) for pattern in ("TODO.*bug", "^three$", "t.o", "^two"))
    assert not any(Grep(pattern).finds(text) for pattern in ("TODO.*three", "^fix", "four"))


@pytest.mark.parametrize("pattern", ["", "(", "[a", "*", "x" * 1001, "(?P<a>x)(?P<a", "(?<=a"])
def test_an_expression_that_cannot_be_read_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidInput):
        Grep(pattern)


def test_an_expression_that_takes_for_ever_is_given_up() -> None:
    with pytest.raises(InvalidInput, match="too long"):
        Grep(r"(a+)+$", patience=0.1).finds("a" * 5000 + "c")


# ---------------------------------------------------------------------------------------------------------- links

KEY = b"k" * 32
_words = st.text(st.characters(codec="utf-8"), max_size=20)
_links = st.builds(
    LinkTarget,
    project=st.text("pq-", min_size=1),
    expires=st.integers(1, 10**10),
    disk=_words,
    path=_words,
    session=_words,
    sha256=_words,
    filename=_words,
    mime=_words,
)


def _query(link: LinkTarget, key: bytes = KEY) -> dict[str, str]:
    return dict(parse_qsl(sign(key, link)))


@given(_links)
def test_a_link_comes_back_as_it_was_signed(link: LinkTarget) -> None:
    assert verify(KEY, _query(link), now=link.expires) == link


@given(_links, st.sampled_from(["project", "expires", "disk", "path", "session", "sha256", "filename", "mime"]), _words)
def test_a_link_that_was_changed_is_refused(link: LinkTarget, field: str, value: str) -> None:
    query = _query(link)
    for changed in (
        {**query, field: value},
        {**query, "signature": value},
        {**query, field: query.get(field, "") + "0"},
    ):
        if {name: text for name, text in changed.items() if text} != query:
            with pytest.raises(Unauthorized, match="not one of ours"):
                verify(KEY, changed, now=0)
    with pytest.raises(Unauthorized, match="not one of ours"):
        verify(b"another key", query, now=0)


def test_fields_do_not_run_into_each_other() -> None:
    one = sign(KEY, LinkTarget("p", 9, disk="ab", path="c"))
    assert (
        dict(parse_qsl(one))["signature"]
        != dict(parse_qsl(sign(KEY, LinkTarget("p", 9, disk="a", path="bc"))))["signature"]
    )


def test_a_link_ends() -> None:
    query = _query(LinkTarget("p", expiry(60, now=1000), disk="d", path="/a"))
    assert verify(KEY, query, now=1060).path == "/a"
    with pytest.raises(Unauthorized, match="expired"):
        verify(KEY, query, now=1061)
    for wrong in (0, -1, LONGEST + 1, True, "60"):
        with pytest.raises(InvalidInput, match="expire"):
            expiry(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("query", [{}, {"signature": "é"}, {"expires": "1"}, {"expires": "x", "project": "p"}])
def test_half_a_link_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(Unauthorized):
        verify(KEY, {"project": "p", "signature": "0", **query}, now=0)


def test_the_signature_says_nothing_of_the_key() -> None:
    query = _query(LinkTarget("p", 9))
    assert re.fullmatch(r"[0-9a-f]{64}", query["signature"])
    assert KEY.decode() not in json.dumps(query)
