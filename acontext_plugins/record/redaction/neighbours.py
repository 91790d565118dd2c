"""Secrets that a name beside them announces: `name: DB_PASSWORD` over `value: ...`, the columns of a table."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .names import kind_of_name, worth_masking

#: How far a name and its value may be apart, in characters.
_APART = 160
#: How many rows of a table are read, and how far.
_ROWS, _TABLE = 200, 16_384

_VALUE_KEY = r"[\"']?(?:value|val|secret_?value|secretstring|default|content|stringvalue)[\"']?"
_QUOTED_OR_BARE = (
    r"(?:\\?\"(?P<double>[^\"\n\\]{1,512})\\?\"|'(?P<single>[^'\n]{1,512})'|(?P<bare>[^\s\"'<>,;{}\[\]]{1,512}))"
)
#: Between a name and its value: the rest of the name's line, at most one line more, and the word for value.
_VALUE_AFTER = re.compile(
    rf"\\?[\"']?[ \t]{{0,8}}(?:,|;|\r?\n|\\n|[ \t])\s{{0,40}}"
    rf"(?:[\w\"']{{2,20}}[ \t]{{0,4}}[:=][ \t]{{0,4}}[\w\"'.]{{1,40}}[ \t]{{0,4}}[,;]?\s{{1,40}}|)"
    rf"(?:-[ \t]{{1,4}}|)\\?{_VALUE_KEY}"
    rf"\\?[ \t]{{0,8}}[:=]>?[ \t]{{0,8}}{_QUOTED_OR_BARE}",
    re.IGNORECASE,
)
_VALUE_BEFORE = re.compile(
    rf"(?<![\w])\\?{_VALUE_KEY}\\?[ \t]{{0,8}}[:=][ \t]{{0,8}}{_QUOTED_OR_BARE}\\?[ \t]{{0,8}}(?:,|;|\r?\n"
    rf"|\\n|[ \t])\s{{0,40}}(?:-[ \t]{{1,4}}|)"
    r"\\?[\"']?(?:name|key|field|header|variable|env)[\"']?\\?[ \t]{0,8}[:=]>?[ \t]{0,8}\\?[\"']?$",
    re.IGNORECASE,
)
_NAME_KEY = re.compile(
    r"(?:^|[^\w])\\?[\"']?(?:name|key|field|header|variable|env|id|k|param"
    r"(?:eter)?name)[\"']?\\?[ \t]{0,8}[:=]>?[ \t]{0,8}\\?[\"']?$",
    re.IGNORECASE,
)
_XML_VALUE = re.compile(r"(?:</[\w:.\-]{1,40}>\s{0,40}<[\w:.\-]{1,40}>|[\"'][^<>\n]{0,80}>)(?P<bare>[^<>\n]{1,512})</")
_CELL = re.compile(r"[ \t]{0,4}[`*\"']{0,2}(?P<value>[^|\n`*\"']{1,256}?)[`*\"']{0,2}[ \t]{0,40}(?=\||$|\n)")
_BAR_BEHIND = re.compile(r"[`*\"']{0,2}[ \t]{0,40}\|")
_HEADER_CELL = re.compile(r"[\"'`*]{0,2}[A-Za-z_][\w\-/]{0,30}(?: [\w\-/]{1,30}){0,2}[\"'`*]{0,2}")


def secrets_beside(text: str, begin: int, stop: int, kind: str) -> Iterator[tuple[int, int]]:
    """What stands beside the name in `text[begin:stop]`, which announces a secret of this kind."""
    head = text[max(0, begin - _APART) : begin]
    named = _NAME_KEY.search(head)
    if named is not None:
        after = _VALUE_AFTER.match(text, stop, min(len(text), stop + _APART + 512))
        if after is not None:
            yield from _group(after, kind)
        else:
            before = _VALUE_BEFORE.search(head)
            if before is not None:
                for start, end in _group(before, kind):
                    yield begin - len(head) + start, begin - len(head) + end
    if head[-1:] in ('"', "'", ">"):
        inside = _XML_VALUE.match(text, stop, min(len(text), stop + _APART + 512))
        if inside is not None and worth_masking(kind, inside["bare"].strip(), "assigned"):
            yield inside.span("bare")
    for start, end in _columns(text, begin, stop):
        value = text[start:end]
        if worth_masking(kind, value, "assigned") and kind_of_name(value) is None and not set(value) <= set("-:= "):
            yield start, end


def _group(match: re.Match[str], kind: str) -> Iterator[tuple[int, int]]:
    for group in ("double", "single", "bare"):
        value = match[group]
        if value and worth_masking(kind, value, "assigned") and kind_of_name(value) is None:
            yield match.span(group)


def _columns(text: str, begin: int, stop: int) -> Iterator[tuple[int, int]]:
    """The cells beside and below a name that is the head of a row or of a column."""
    first = text.rfind("\n", max(0, begin - 1024), begin) + 1
    last = text.find("\n", stop, stop + 1024)
    line = text[first : len(text) if last < 0 else last]
    if len(line) > 1024:
        return
    if "|" in line:
        lead = text[first:begin].rstrip(" \t`*\"'")
        if (
            text[begin - 1 : begin] in " `*\"'"
            and (lead == "" or lead.endswith("|"))
            and _BAR_BEHIND.match(text, stop) is not None
        ):
            at = text.find("|", stop) + 1
            cells = [cell.strip(" `*\"'") for cell in line.strip().strip("|").split("|")]
            if len(cells) == 2 or not all(_HEADER_CELL.fullmatch(cell) for cell in cells):
                cell = _CELL.match(text, at)
                if cell is not None and len(cell["value"].split()) == 1:
                    yield cell.span("value")
        yield from _below(text, first, begin, line, "|", last)
        return
    for separator in ("\t", ",", ";"):
        if separator in line:
            yield from _below(text, first, begin, line, separator, last)
            return


def _below(text: str, first: int, begin: int, line: str, separator: str, last: int) -> Iterator[tuple[int, int]]:
    cells = line.strip("\r").split(separator)
    if separator == "|":
        cells_named = [cell.strip() for cell in line.strip().strip("|").split("|")]
    else:
        cells_named = [cell.strip() for cell in cells]
    previous = text[text.rfind("\n", max(0, first - 1025), max(0, first - 1)) + 1 : max(0, first - 1)]
    if previous.count(separator) == line.count(separator):
        return  # a row: the names of a table stand in its first line
    if last < 0 or len(cells_named) < 2 or line[:1] == " " or not all(map(_HEADER_CELL.fullmatch, cells_named)):
        return
    column = text.count(separator, first, begin)
    at = last + 1
    limit = min(len(text), last + _TABLE)
    for _ in range(_ROWS):
        end = text.find("\n", at, limit)
        row = text[at : len(text) if end < 0 and limit == len(text) else end] if end >= 0 or limit == len(text) else ""
        parts = row.split(separator)
        if len(parts) != len(cells):
            return
        value = parts[column]
        plain = value.strip(" \t\r`*\"'")
        if plain and len(plain.split()) == 1:
            start = at + sum(len(part) + 1 for part in parts[:column]) + value.find(plain)
            yield start, start + len(plain)
        if end < 0:
            return
        at = end + 1
