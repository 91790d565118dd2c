"""The table of all settings in docs/settings.md, made from the classes; `python -m tests.settings_page` writes it."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from acontext_plugins.settings import PREFIX, Settings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
BEGIN, END = "<!-- all settings: begin -->\n", "<!-- all settings: end -->\n"


def rows(model: type[BaseModel] = Settings, above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting with its path, those of a section after the section's own place."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from rows(field.annotation, f"{above}{name}.")
        else:
            yield f"{above}{name}", field


def variable(path: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + path.replace(".", "__").upper()


def table() -> str:
    lines = ["| setting | type | default | |", "|---|---|---|---|"]
    for path, field in rows():
        said = (field.description or "").replace("|", "\\|").replace("*", "\\*")
        lines.append(f"| `{path}` | {_kind(field.annotation)} | {_default(field)} | {said} |")
    return "\n".join(lines) + "\n"


def _kind(annotation: Any) -> str:
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return " or ".join(_kind(part) for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(f'"{value}"' for value in typing.get_args(annotation))
    names = {bool: "true or false", int: "number", float: "number", str: "text", SecretStr: "secret"}
    origin = typing.get_origin(annotation) or annotation
    return names.get(annotation) or {tuple: "list", dict: "table"}[origin]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return "" if value is None else f"`{json.dumps(value)}`"


def main() -> None:
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
