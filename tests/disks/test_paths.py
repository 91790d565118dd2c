"""Paths on a disk: one reading of each, and nothing that anybody could mistake for another place."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from acontext_plugins.errors import InvalidInput
from acontext_plugins.files import ArtifactPath, folder, folder_of, place, placed


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, "/"),
        ("", "/"),
        ("/", "/"),
        ("/notes/", "/notes/"),
        ("/notes/a", "/notes/"),
        ("/notes", "/"),
        ("notes/", "/notes/"),
        ("notes/a", "/notes/"),
        ("notes", "/"),
        ("/ノート/½ cup/v1..v2/", "/ノート/½ cup/v1..v2/"),
        ("/cafe\u0301/", "/caf\u00e9/"),
    ],
)
def test_an_upload_goes_to_the_folder_before_the_last_slash(given: str | None, kept: str) -> None:
    assert folder_of(given) == kept


@pytest.mark.parametrize("given", ["notes", "/notes", "notes/", "a/b", "."])
def test_what_is_listed_has_a_slash_at_both_ends(given: str) -> None:
    with pytest.raises(InvalidInput, match="both ends"):
        folder(given)
    assert folder(None) == folder("") == folder("/") == "/"
    assert folder("/a/b/") == "/a/b/"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/todo/todo.md", ArtifactPath("/todo/", "todo.md")),
        ("todo.md", ArtifactPath("/", "todo.md")),
        ("a/b/c", ArtifactPath("/a/b/", "c")),
        ("/.hidden", ArtifactPath("/", ".hidden")),
        ("/...", ArtifactPath("/", "...")),
        ("/a b/ c ", ArtifactPath("/a b/", " c ")),
        ("/👩\u200d💻.md", ArtifactPath("/", "👩\u200d💻.md")),
        ("/e\u0301", ArtifactPath("/", "é")),
    ],
)
def test_a_file_is_found_by_its_whole_path(given: str, kept: ArtifactPath) -> None:
    assert place(given) == kept
    assert place(place(given).full) == kept


BAD = {
    "": "empty name",
    ".": "own names",
    "..": "own names",
    "a\\b": "backslash",
    "a\0b": "control",
    "a\nb": "control",
    "a\x7fb": "control",
    "a\x85b": "control",
    "a\u2028b": "control",
    "a\ud800b": "surrogate",
    "a\u202etxt.exe": "direction",
    "a\u2066b": "direction",
    "a\u2215b": "look-alike",
    "a\u2044b": "look-alike",
    "a\uff0fb": "look-alike",
    "a\uff3cb": "look-alike",
    "\u2100": "look-alike",
    "\u2024\u2024": "look-alike",
    ".\uff0e": "look-alike",
    "\u2025": "look-alike",
    "\ufe52.": "look-alike",
    "C:": "drive",
    "   ": "spaces",
    "\u00a0": "spaces",
    "a" * 256: "255 bytes",
    "é" * 128: "255 bytes",
}


@pytest.mark.parametrize(("name", "reason"), BAD.items(), ids=ascii)
def test_a_bad_name_is_refused_wherever_it_stands(name: str, reason: str) -> None:
    for ask in (
        lambda: placed("/", name),
        lambda: place(f"/a/{name}"),
        lambda: place(f"/{name}/a.md"),
        lambda: folder(f"/a/{name}/"),
        lambda: folder(f"/{name}/a/"),
        lambda: folder_of(f"/a/{name}/b"),
        lambda: folder_of(f"a/{name}/"),
    ):
        with pytest.raises(InvalidInput, match=reason) as caught:
            ask()
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("path", ["//", "//host/share/", "/a//b/", "/a//", "//a/"])
def test_a_path_has_one_slash_between_names(path: str) -> None:
    with pytest.raises(InvalidInput, match="empty name"):
        folder(path)


def test_a_filename_is_no_path() -> None:
    for name in ("/etc/passwd", "a/b", "../a"):
        with pytest.raises(InvalidInput, match="slash"):
            placed("/", name)


def test_a_path_may_be_so_long_and_no_longer() -> None:
    names = "/" + "/".join(["n" * 100] * 10) + "/"
    assert folder(names) == names
    with pytest.raises(InvalidInput, match="1024 bytes"):
        placed(names, "n" * 100)
    with pytest.raises(InvalidInput, match="1024 bytes"):
        folder(names + "n" * 100 + "/")


_letters = st.characters(exclude_categories=[]) | st.sampled_from(list("/\\..\0~:é\u0301"))
_paths = st.text(_letters, max_size=30)


@given(_paths)
@example("/a/../../etc/passwd")
@example("a\u0338")
def test_any_path_is_refused_or_has_one_form_that_is_safe(path: str) -> None:
    try:
        found = place(path)
    except InvalidInput:
        return
    assert place(found.full) == found
    assert folder(found.path) == found.path == folder_of(found.full)
    assert found.path.startswith("/")
    assert found.path.endswith("/")
    found.full.encode()
    for form in ("NFC", "NFKC"):
        read = unicodedata.normalize(form, found.full)
        assert read.count("/") == found.full.count("/")
        assert "\\" not in read
        assert not {"", ".", ".."} & set(read[1:].split("/"))
        assert all(letter.isprintable() or unicodedata.category(letter) in ("Cf", "Zs", "Cn", "Co") for letter in read)


@given(st.lists(st.text("abc. é-_~0", min_size=1, max_size=10).filter(lambda name: name.strip(" ."))), st.text("abc"))
def test_ordinary_names_are_kept_as_they_are(names: list[str], filename: str) -> None:
    names = [unicodedata.normalize("NFC", name) for name in names]
    path = "/".join(["", *names, ""])
    assert placed(folder(path), f"{filename}x") == ArtifactPath(path, f"{filename}x")
