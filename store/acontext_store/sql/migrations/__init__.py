"""The history of the schema. Each file in `versions/` is one step; the newest is `HEAD`."""

from __future__ import annotations

#: Every schema version there has been, oldest first.
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011")

#: The one that this code reads and writes.
HEAD = REVISIONS[-1]

#: Where a database says which version it has.
VERSION_TABLE = "acontext_schema"
