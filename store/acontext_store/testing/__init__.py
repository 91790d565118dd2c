"""What every store and blob store promises, as tests, for those who write a backend: see `contract`."""

from pathlib import Path

import pytest

# before they are imported, so that a failing assert says what it has compared
pytest.register_assert_rewrite(*(f"{__name__}.{file.stem}" for file in Path(__file__).parent.glob("[!_]*.py")))

from .contract import BlobContract, StoreContract  # noqa: E402

__all__ = ["BlobContract", "StoreContract"]
