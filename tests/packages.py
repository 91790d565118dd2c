"""Packages of third parties, as an installer would leave them: modules, and the entry points that they register."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def install(
    folder: Path,
    name: str,
    entry_points: Mapping[str, Mapping[str, str]],
    modules: Mapping[str, str] | None = None,
    *,
    version: str = "1.0",
) -> Path:
    """Install into a folder, which is returned: for `sys.path`, or PYTHONPATH. A group has names, a name its object."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = (
        f"[{group}]\n" + "".join(f"{one} = {value}\n" for one, value in points.items())
        for group, points in entry_points.items()
    )
    (info / "entry_points.txt").write_text("\n".join(groups))
    for file, text in (modules or {}).items():
        (folder / file).write_text(text)
    return folder
