"""Reading prompt files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from acontext_store.errors import InvalidInput

_FOLDER = Path(__file__).parent
_HEAD = re.compile(r"\A---\n(.*?)\n---\n(.*)\Z", re.DOTALL)
_PARTS = re.compile(r"\A\s*# system\n(.*?)\n# user\n(.*)\Z", re.DOTALL)
_INPUT = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt with its inputs still open."""

    name: str
    version: str
    inputs: tuple[str, ...]
    system: str
    user: str

    @property
    def id(self) -> str:
        """`name@version`, as it stands on what was made with it."""
        return f"{self.name}@{self.version}"

    def messages(self, inputs: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """System and user message, every input in its place. Texts of inputs are not looked into."""
        if set(inputs) != set(self.inputs):
            raise InvalidInput(f"prompt {self.id} takes {', '.join(self.inputs)}; given: {', '.join(inputs)}")

        def filled(text: str) -> str:
            return _INPUT.sub(lambda found: inputs[found.group(1)], text).strip()

        return {"role": "system", "content": filled(self.system)}, {"role": "user", "content": filled(self.user)}


def prompt_names() -> list[str]:
    """The prompts that come with the library."""
    return sorted(path.stem for path in _FOLDER.glob("*.md"))


def load_prompt(name: str, *, folder: str | None = None) -> Prompt:
    """The prompt of that name, from the user's `folder` where it has one. Raises InvalidInput that names the file."""
    if folder:
        own = Path(folder).expanduser()
        if not own.is_dir():
            raise InvalidInput(f"prompts: {own} is no folder")
        if (own / f"{name}.md").is_file():
            return _read(own / f"{name}.md", name, _read(_FOLDER / f"{name}.md", name).inputs)
    return _read(_FOLDER / f"{name}.md", name)


@lru_cache(maxsize=64)
def _read(path: Path, name: str, known: tuple[str, ...] | None = None) -> Prompt:
    try:
        text = path.read_text("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"prompt {path} cannot be read: {error}") from None
    whole = _HEAD.match(text)
    parts = _PARTS.match(whole.group(2)) if whole else None
    if whole is None or parts is None:
        raise InvalidInput(f"prompt {path}: a head between '---' lines, then '# system' and '# user' are wanted")
    head = dict(line.partition(":")[::2] for line in whole.group(1).splitlines() if line.strip())
    fields = {key.strip(): value.strip() for key, value in head.items()}
    if fields.get("name") != name or not fields.get("version"):
        raise InvalidInput(f"prompt {path}: its head must say 'name: {name}' and a version")
    inputs = tuple(part.strip() for part in fields.get("inputs", "").split(",") if part.strip())
    system, user = parts.groups()
    used = set(_INPUT.findall(system + user))
    if unknown := used - set(inputs if known is None else known):
        raise InvalidInput(
            f"prompt {path}: no input {', '.join(sorted(unknown))}; there are {', '.join(known or inputs)}"
        )
    if unused := set(inputs if known is None else ()) - used:
        raise InvalidInput(f"prompt {path}: its inputs {', '.join(sorted(unused))} are not used")
    return Prompt(name, fields["version"], inputs if known is None else known, system, user)
