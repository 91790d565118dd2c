"""What may be the id of a project: it stands first in every key, so look-alikes and wildcards are refused."""

from __future__ import annotations

import re

from .errors import InvalidInput

_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_project_id(project_id: str) -> str:
    """Return it, or raise InvalidInput: letters, digits, ".", "_" and "-", at most 128, no look-alikes."""
    if not isinstance(project_id, str) or not _PROJECT.fullmatch(project_id):
        raise InvalidInput(
            f"{project_id!r} cannot be a project id: use up to 128 of A-Z, a-z, 0-9, '.', '_' and '-', "
            "a letter or a digit first"
        )
    return project_id
