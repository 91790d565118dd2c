"""Gets the source package of a release, and unpacks it beside the environments. Nothing of it is kept elsewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from .suites import CACHE, Suite


class Unreachable(Exception):
    """The source package cannot be had: the package index does not answer, or does not have it."""


def unpacked(suite: Suite) -> Path:
    """The folder of the suite's source package, downloaded where it is not there yet. Raises Unreachable."""
    folder = CACHE / f"{suite.package}-{suite.version}"
    if folder.exists():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-binary", suite.package, "-d", scratch, f"{suite.package}=={suite.version}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = list(Path(scratch).glob("*.tar.gz"))
        if done.returncode or not found:
            last = (done.stderr.strip().splitlines() or ["no source package came"])[-1]
            raise Unreachable(f"{suite.package} {suite.version} cannot be downloaded: {last}")
        with tarfile.open(found[0]) as archive:
            archive.extractall(scratch, filter="data")
        (inside,) = (path for path in Path(scratch).iterdir() if path.is_dir())
        shutil.move(inside, folder)
    return folder
