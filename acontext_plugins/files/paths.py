"""Where a file stands on a disk: the one place where paths are read, and where bad ones are refused.

A name is any text that a file system, a shell, a browser or a person could not mistake for something else. Refused
are: "." and "..", empty names, slashes in a name, backslashes, NUL and other control characters, marks that turn the
direction of writing, halves of surrogate pairs, look-alikes of "/", "\\" and ".", drives ("C:"), and what is too long.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from acontext_store.errors import InvalidInput

#: Bytes of UTF-8 that a name, and a whole path, may have.
LONGEST_NAME = 255
LONGEST_PATH = 1024

#: Slashes and backslashes that compatibility normalisation leaves alone, but eyes do not.
_LIKE_SLASHES = frozenset("\u2044\u2215\u29f8\u2571\u27cb\u2216\u29f5\u29f9\u2572\u27cd")
_SLASHES = frozenset("/\\")
#: Control characters, halves of surrogate pairs, line and paragraph separators.
_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_DIRECTIONS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_DRIVE = re.compile(r"[A-Za-z]:")


class ArtifactPath(NamedTuple):
    """A folder (a slash at both ends) and the name of a file in it."""

    path: str
    filename: str

    @property
    def full(self) -> str:
        return self.path + self.filename


def folder(path: str | None) -> str:
    """A folder as it must be given for listing: with a slash at both ends; nothing = the root.

    Raises InvalidInput.
    """
    if path is None or path == "":
        return "/"
    if not (path.startswith("/") and path.endswith("/")):
        raise InvalidInput(f"the path {_shown(path)} must have a slash at both ends, like '/notes/'")
    return _folder(path)


def folder_of(path: str | None) -> str:
    """The folder that an upload goes to: what follows the last slash is ignored, and "notes/" is "/notes/".

    Raises InvalidInput.
    """
    if path is None or path == "":
        return "/"
    path = path[: path.rfind("/") + 1]
    return _folder(path if path.startswith("/") else f"/{path}")


def place(full_path: str) -> ArtifactPath:
    """A file by its whole path: "/notes/todo.md". Raises InvalidInput."""
    path, _, filename = (full_path if full_path.startswith("/") else f"/{full_path}").rpartition("/")
    return placed(_folder(f"{path}/"), filename)


def placed(path: str, filename: str) -> ArtifactPath:
    """A file by its folder (as `folder` and `folder_of` give it) and its name. Raises InvalidInput."""
    found = ArtifactPath(path, _name(filename, "the filename", filename))
    if len(found.full.encode()) > LONGEST_PATH:
        raise InvalidInput(f"the path {_shown(found.full)} is longer than {LONGEST_PATH} bytes: choose a shorter one")
    return found


def _folder(path: str) -> str:
    """`path` begins and ends with a slash."""
    if path == "/":
        return path
    found = "/".join(["", *(_name(name, "the path", path) for name in path[1:-1].split("/")), ""])
    if len(found.encode()) > LONGEST_PATH:
        raise InvalidInput(f"the path {_shown(path)} is longer than {LONGEST_PATH} bytes: choose a shorter one")
    return found


def _name(name: str, what: str, whole: str) -> str:
    """The name as it is kept: its letters composed (NFC), so that it is one name however it was typed."""
    if not name:
        raise InvalidInput(f"{what} {_shown(whole)} has an empty name in it: write one slash between names")
    for letter in name:
        reason = _refused(letter)
        if reason:
            raise InvalidInput(f"{what} {_shown(whole)} holds {reason} (U+{ord(letter):04X}): leave it out")
    name = unicodedata.normalize("NFC", name)
    if set(name) == {"."} and len(name) <= 2:
        raise InvalidInput(f"{what} {_shown(whole)} holds {name!r}: name folders and files by their own names")
    if name.isspace():
        raise InvalidInput(f"{what} {_shown(whole)} holds a name of nothing but spaces: choose another")
    if _DRIVE.fullmatch(name):
        raise InvalidInput(f"{what} {_shown(whole)} holds a drive, {name!r}: disks begin at '/'")
    if len(name.encode()) > LONGEST_NAME:
        raise InvalidInput(
            f"{what} {_shown(whole)} holds a name of more than {LONGEST_NAME} bytes: choose a shorter one"
        )
    return name


@lru_cache(4096)
def _refused(letter: str) -> str:
    """Why a character may not stand in a name; "" where it may."""
    if letter == "/":
        return "a slash in a name"
    if letter == "\\":
        return "a backslash"
    category = unicodedata.category(letter)
    if category == "Cs":
        return "half a surrogate pair"
    if category in _CATEGORIES:
        return "a control character"
    if letter in _DIRECTIONS:
        return "a mark that turns the direction of writing"
    if letter in _LIKE_SLASHES:
        return "a look-alike of a slash"
    plain = set(unicodedata.normalize("NFKC", letter)) if not letter.isascii() else set[str]()
    if plain & _SLASHES or plain == {"."}:
        return "a look-alike of '/', '\\' or '.'"
    return ""


def _shown(path: str) -> str:
    return repr(path if len(path) <= 100 else f"{path[:100]}…")
