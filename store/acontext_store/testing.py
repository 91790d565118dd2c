"""The contracts of storage, for those who write a backend: inherit, give the fixture, and all must be green.

class TestMyStore(StoreContract):
    @pytest.fixture
    def open_store_again(self, tmp_path):
        '''A function that opens the store of a project: the same place each time, which begins empty.'''

class TestMyBlobs(BlobContract):
    @pytest.fixture
    def open_blobs_again(self, tmp_path): ...
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .base import Store

pytest.register_assert_rewrite("acontext_store.contracts")

from .contracts.blobs import BlobContract  # noqa: E402
from .contracts.conversations import MessageContract, SessionContract  # noqa: E402
from .contracts.lasting import LastingContract  # noqa: E402
from .contracts.learning import (  # noqa: E402
    DigestContract,
    HumanContract,
    SearchContract,
    SkillContract,
    TaskContract,
)
from .contracts.spaces import BlockContract, SpaceContract  # noqa: E402
from .contracts.tenancy import TenancyContract  # noqa: E402
from .contracts.work import ClaimContract, DueContract, ReleaseContract  # noqa: E402


class StoreContract(
    SessionContract,
    MessageContract,
    DueContract,
    ClaimContract,
    ReleaseContract,
    TaskContract,
    DigestContract,
    SkillContract,
    HumanContract,
    SearchContract,
    SpaceContract,
    BlockContract,
    TenancyContract,
    LastingContract,
):
    """What every `Store` promises."""

    @pytest.fixture
    def open_store_again(self) -> Callable[[str], Store]:
        """Opens the store of the project with that id. Close what it opened when the test is over."""
        raise NotImplementedError("give this fixture")

    @pytest.fixture
    def store(self, open_store_again: Callable[[str], Store]) -> Store:
        """An empty store."""
        return open_store_again("p1")


__all__ = ["BlobContract", "StoreContract"]
