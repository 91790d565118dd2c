"""Finding files: by patterns of their paths, and by regular expressions in their texts.

Patterns come from models and from strangers, so neither may take long: globs are matched name by name without
backtracking across names, and a regular expression that has run too long is given up.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
import time
from collections.abc import Callable

import regex  # type: ignore[import-untyped]

from acontext_store.errors import InvalidInput

#: Seconds that all searches of one expression may take.
PATIENCE = 5.0
_LONGEST = 1_000


class Glob:
    """A pattern of paths: `*` and `?` within a name, `[abc]`, and `**` for any number of folders.

    It begins at the root: `*.txt` = text files there, `**/*.txt` = text files anywhere, `/docs/**` = all below docs.
    """

    def __init__(self, pattern: str) -> None:
        """Raises InvalidInput."""
        _check(pattern, "glob")
        names = [name for name in pattern.split("/") if name]
        if not names:
            raise InvalidInput("the pattern names nothing: write '**' for all files")
        if pattern.endswith("/"):
            names.append("**")
        if names[-1] == "**":
            names.append("*")
        self._names = names
        self._tests: list[Callable[[str], object] | None] = [
            None if name == "**" else re.compile(fnmatch.translate(name)).match for name in names
        ]

    @property
    def under(self) -> str:
        """The folder below which all that fits must be."""
        plain = itertools.takewhile(lambda name: not re.search(r"[*?\[]", name), self._names[:-1])
        return "/".join(["", *plain, ""])

    def fits(self, full_path: str) -> bool:
        """Whether the path of a file matches."""
        names = full_path.strip("/").split("/")
        last = self._tests[-1]
        if last is not None and not last(names[-1]):
            return False  # most files are no match by their own name
        at = self._further({0})
        for name in names:
            after: set[int] = set()
            for done in at:
                test = self._tests[done] if done < len(self._tests) else _no
                if test is None:
                    after.add(done)
                elif test(name):
                    after.add(done + 1)
            at = self._further(after)
        return len(self._tests) in at

    def _further(self, at: set[int]) -> set[int]:
        """How many parts of the pattern may have been read, as `**` may stand for no folder at all."""
        for done, test in enumerate(self._tests):
            if done in at and test is None:
                at.add(done + 1)
        return at


def _no(name: str) -> bool:
    return False


class Grep:
    """A regular expression over the lines of texts. Each line is searched alone; `^` and `$` are its ends."""

    def __init__(self, pattern: str, *, patience: float = PATIENCE) -> None:
        """Raises InvalidInput."""
        _check(pattern, "regular expression")
        try:
            self._found = regex.compile(pattern, regex.MULTILINE).search
        except (regex.error, RecursionError, OverflowError, ValueError) as error:
            raise InvalidInput(f"the regular expression {pattern[:100]!r} cannot be read: {error}") from error
        self._pattern = pattern
        self._left = patience

    def finds(self, text: str) -> bool:
        """Whether it occurs. Raises InvalidInput when its searches have taken too long, all together."""
        begun = time.monotonic()
        try:
            if self._left > 0:
                return self._found(text, timeout=self._left, concurrent=True) is not None
        except TimeoutError:
            pass
        finally:
            self._left -= time.monotonic() - begun
        raise InvalidInput(
            f"the search for {self._pattern[:100]!r} took too long: write a simpler expression, or plain words"
        )


def _check(pattern: str, what: str) -> None:
    if not isinstance(pattern, str) or not pattern.strip():
        raise InvalidInput(f"the {what} is empty: give a pattern")
    if len(pattern) > _LONGEST:
        raise InvalidInput(f"the {what} is longer than {_LONGEST} characters: write a shorter one")
