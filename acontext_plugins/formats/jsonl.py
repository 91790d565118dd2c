"""Recorded conversations from files: JSON Lines, one conversation a line, compressed or not, in any of our formats.

What cannot be read is reported, never raised: a `LineError` names the file, the line and the reason, and the rest of
the file goes on. A conversation is given whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, get_args

from acontext_store.errors import InvalidInput
from acontext_store.types import Message, OutcomeStatus, stable_id

from . import all_formats, format_of, to_message
from .blob import found

__all__ = ["Conversation", "ConversationReader", "LineError"]

_CHUNK = 262_144
#: A longer line is skipped and reported: it would not fit into memory.
LONGEST_LINE = 512 * 1024 * 1024
_GZIP = b"\x1f\x8b"
_OTHER_ARCHIVES = {
    b"PK\x03\x04": "a zip archive",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\xfd7zXZ": "compressed with xz",
    b"BZh": "compressed with bzip2",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
#: What lists of messages are called in requests to models.
_ELSEWHERE = ("contents", "input")
_STATUSES: tuple[OutcomeStatus, ...] = get_args(OutcomeStatus)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One recorded conversation. Reading it again gives the same ids."""

    id: str
    messages: tuple[Message, ...]
    outcome: OutcomeStatus | None
    principal: str | None
    agent: str | None
    file: str
    line: int
    #: What is odd about it, though it can be used: results without a call, ids of calls that repeat.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LineError:
    """A line that could not be read, or with line 0 a whole file."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.reason}"


class _UnreadableError(Exception):
    """The rest of the file cannot be read."""


class ConversationReader:
    """Reads files of conversations one by one: iterate over it. `-` is the standard input.

    `bytes_read` and `total_bytes` (None where a size is unknown) are of the files as they are, compressed or not.
    """

    def __init__(
        self,
        files: Sequence[str | os.PathLike[str]],
        *,
        outcome_field: str = "outcome",
        stdin: BinaryIO | None = None,
        longest_line: int = LONGEST_LINE,
    ) -> None:
        """`outcome_field`: where the outcome stands: "success", "failed", 1, 0, true, false or null."""
        self.files = tuple(os.fspath(file) for file in files)
        self.outcome_field = outcome_field
        self.bytes_read = 0
        self.total_bytes = _total(self.files)
        self._stdin = stdin
        self._longest_line = longest_line

    def __iter__(self) -> Iterator[Conversation | LineError]:
        self.bytes_read = 0
        seen: dict[str, tuple[bytes, str, int]] = {}
        for file in self.files:
            yield from self._read_file(file, seen)

    def _read_file(self, file: str, seen: dict[str, tuple[bytes, str, int]]) -> Iterator[Conversation | LineError]:
        name = "<stdin>" if file == "-" else file
        line = 0
        try:
            source = (self._stdin or sys.stdin.buffer) if file == "-" else open(file, "rb")  # noqa: SIM115
        except FileNotFoundError:
            yield LineError(name, 0, "no such file")
            return
        except IsADirectoryError:
            yield LineError(name, 0, "is a directory; name the files in it")
            return
        except PermissionError:
            yield LineError(name, 0, "permission denied")
            return
        except (OSError, ValueError) as error:
            yield LineError(name, 0, f"cannot be opened: {error}")
            return
        try:
            for raw in self._lines(source):
                line += 1
                if raw is None:
                    yield LineError(name, line, f"longer than {self._longest_line:,} bytes; skipped")
                    continue
                if line == 1:
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                if not raw.strip():
                    continue
                if line == 1 and raw.strip() in (b"[", b"{"):
                    yield LineError(name, 1, "JSON over several lines; expected JSON Lines, one conversation a line")
                    return
                given = self._conversation(raw, name, line, seen)
                if given is not None:
                    yield given
        except _UnreadableError as error:
            yield LineError(name, line + 1 if line else 0, f"{error}; lines before this one were read ({line})")
        except OSError as error:
            yield LineError(name, line + 1, f"cannot be read on: {error.strerror or error}; {line} lines were read")
        finally:
            if file != "-":
                source.close()

    # -- bytes and lines

    def _lines(self, source: BinaryIO) -> Iterator[bytes | None]:
        """The lines without their ends; None for one that is too long."""
        pieces: list[bytes] = []
        size = 0
        for chunk in self._chunks(source):
            start = 0
            while (end := chunk.find(b"\n", start)) >= 0:
                size += end - start
                if size > self._longest_line:
                    yield None
                else:
                    pieces.append(chunk[start:end])
                    yield b"".join(pieces)
                pieces, size = [], 0
                start = end + 1
            size += len(chunk) - start
            if size > self._longest_line:
                pieces.clear()
            else:
                pieces.append(chunk[start:])
        if size > self._longest_line:
            yield None
        elif size:
            yield b"".join(pieces)

    def _raw(self, source: BinaryIO) -> Iterator[bytes]:
        while chunk := source.read(_CHUNK):
            self.bytes_read += len(chunk)
            yield chunk

    def _chunks(self, source: BinaryIO) -> Iterator[bytes]:
        raw = self._raw(source)
        first = next(raw, b"")
        while 0 < len(first) < 6 and (more := next(raw, b"")):
            first += more
        if first.startswith(_GZIP):
            yield from _inflated(first, raw)
            return
        for magic, kind in _OTHER_ARCHIVES.items():
            if first.startswith(magic):
                raise _UnreadableError(f"is {kind}; expected JSON Lines in UTF-8, plain or gzip")
        if first:
            yield first
        yield from raw

    # -- one line

    def _conversation(
        self, raw: bytes, file: str, line: int, seen: dict[str, tuple[bytes, str, int]]
    ) -> Conversation | LineError | None:
        try:
            item = _parsed(raw)
            given = self._built(item, file, line)
        except InvalidInput as error:
            return LineError(file, line, str(error))
        print_ = hashlib.sha256(_canonical([item["messages"], item.get("system"), given.outcome])).digest()
        before = seen.get(given.id)
        if before is None:
            seen[given.id] = (print_, file, line)
            return given
        if before[0] == print_:
            return None
        place = f"line {before[2]}" if before[1] == file else f"{before[1]}:{before[2]}"
        return LineError(file, line, f"id {given.id!r} stands for another conversation already ({place})")

    def _built(self, item: dict[str, Any], file: str, line: int) -> Conversation:
        blobs = item.get("messages")
        if not isinstance(blobs, list):
            what = "nothing" if blobs is None else found(blobs)
            there = next((f"; {name!r} holds one: call it messages" for name in _ELSEWHERE if item.get(name)), "")
            raise InvalidInput(f"messages: found {what}, expected a list of messages{there}")
        if not blobs:
            raise InvalidInput("messages: the list is empty")
        id = _name(item, "id") or stable_id("conversation", hashlib.sha256(_canonical(blobs)).hexdigest())
        named = item.get("format")
        format = named if isinstance(named, str) and named in all_formats() else format_of(blobs)
        messages: list[Message] = []
        if prompt := _system_prompt(item):
            messages.append(to_message(prompt, "openai", id=stable_id(id, "system"), run_id=id))
        for at, blob in enumerate(blobs):
            try:
                messages.append(to_message(blob, format, id=stable_id(id, str(at)), run_id=id))
            except InvalidInput as error:
                reason = str(error)
                for name in ("message", "item"):
                    reason = reason.removeprefix(name)
                raise InvalidInput(f"messages[{at}]{reason}") from error
        return Conversation(
            id=id,
            messages=tuple(messages),
            outcome=_outcome(item.get(self.outcome_field), self.outcome_field),
            principal=_name(item, "principal"),
            agent=_name(item, "agent"),
            file=file,
            line=line,
            notes=_notes(messages),
        )


def _total(files: Sequence[str]) -> int | None:
    total = 0
    for file in files:
        if file == "-":
            return None
        try:
            if os.path.isfile(file):
                total += os.path.getsize(file)
            elif os.path.exists(file) and not os.path.isdir(file):
                return None
        except (OSError, ValueError):
            continue
    return total


def _inflated(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """What gzip members hold, as far as it can be read."""
    member = zlib.decompressobj(wbits=31)
    fresh = True
    waiting = first
    while True:
        if not waiting:
            waiting = next(rest, b"")
            if not waiting:
                if not fresh:
                    raise _UnreadableError("the gzip data ends too early, the rest of the file is missing")
                return
        if fresh and waiting.strip(b"\0") == b"":  # padding behind the last member
            waiting = b""
            continue
        try:
            data = member.decompress(waiting, _CHUNK)
        except zlib.error as error:
            raise _UnreadableError(f"the gzip data is damaged, the rest of the file is unreadable ({error})") from error
        fresh = False
        waiting = member.unconsumed_tail
        if data:
            yield data
        if member.eof:
            waiting = member.unused_data
            member = zlib.decompressobj(wbits=31)
            fresh = True


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"no UTF-8 (byte {error.start + 1}: {error.reason})") from error
    try:
        item = json.loads(text)
    except RecursionError as error:
        raise InvalidInput("no usable JSON: nested too deep") from error
    except json.JSONDecodeError as error:
        raise InvalidInput(f"no JSON ({error.msg}, column {error.colno})") from error
    except ValueError as error:
        raise InvalidInput(f"no usable JSON ({error})") from error
    if not isinstance(item, dict):
        raise InvalidInput(f"found {found(item)}, expected an object with id, messages and outcome")
    return item


def _system_prompt(item: dict[str, Any]) -> dict[str, Any] | None:
    """The system prompt, where it stands beside the messages, as in requests to Anthropic's API."""
    prompt = item.get("system")
    if isinstance(prompt, list) and not all(isinstance(block, dict) and "text" in block for block in prompt):
        return None  # a field of the user's own, like any other
    return {"role": "system", "content": prompt} if isinstance(prompt, str | list) and prompt else None


def _canonical(value: Any) -> bytes:
    try:
        return json.dumps(value, sort_keys=True).encode()
    except (RecursionError, ValueError) as error:
        raise InvalidInput("messages: nested too deep") from error


def _name(item: dict[str, Any], key: str) -> str | None:
    value = item.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvalidInput(f"{key}: found {found(value)}, expected text or a whole number")


def _outcome(value: Any, field: str) -> OutcomeStatus | None:
    if value is None:
        return None
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _STATUSES:
            return word
        value = {"1": 1, "0": 0, "true": 1, "false": 0, "1.0": 1, "0.0": 0}.get(word, value)
    if isinstance(value, bool | int | float) and value in (0, 1):
        return "success" if value else "failed"
    raise InvalidInput(f'{field}: found {found(value)}, expected "success", "failed", 1, 0, true, false or null')


def _notes(messages: Sequence[Message]) -> tuple[str, ...]:
    called: set[str] = set()
    repeated: dict[str, None] = {}
    orphans: dict[str, None] = {}
    for message in messages:
        for part in message.parts:
            meta = part.meta or {}
            if part.type == "tool-call" and (id := str(meta.get("id") or "")):
                if id in called:
                    repeated[id] = None
                called.add(id)
            elif part.type == "tool-result":
                id = str(meta.get("tool_call_id") or "")
                if id and id not in called:
                    orphans[id] = None
    notes = []
    if repeated:
        notes.append(f"{len(repeated)} ids of tool calls occur more than once")
    if orphans:
        notes.append(f"{len(orphans)} tool results answer no call that was made before")
    return tuple(notes)
