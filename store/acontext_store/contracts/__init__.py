"""What every store and blob store promises, as tests. Users take them from `acontext_store.testing`."""

import pytest

_CONTRACTS = (
    "blobs",
    "confirming",
    "conversations",
    "disks",
    "given",
    "lasting",
    "learning",
    "ledger",
    "spaces",
    "tenancy",
    "work",
)
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in _CONTRACTS))
