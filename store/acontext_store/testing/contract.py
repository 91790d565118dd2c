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

from ..protocols import Store
from .approval import ApprovalContract, OutageContract, ProgressContract
from .blobs import BlobContract
from .conversations import MessageContract, SessionContract
from .disks import ArtifactContract, BlobUseContract, DiskContract
from .durability import DurabilityContract
from .embedding import EmbedContract
from .fates import FateContract
from .jobs import ClaimContract, DueContract, ReleaseContract
from .learning import DigestContract, HumanContract, SearchContract, SkillContract, TaskContract
from .ledger import LedgerContract
from .outcome_sources import OutcomeSourceContract
from .replacing import ReplaceContract
from .server_queries import ObservingContract, OneMessageContract, PrincipalContract, ToolContract
from .spaces import BlockContract, SpaceContract
from .task_links import BufferContract, LinkContract
from .tenancy import TenancyContract


class StoreContract(
    SessionContract,
    MessageContract,
    FateContract,
    ReplaceContract,
    OutcomeSourceContract,
    DueContract,
    ClaimContract,
    ReleaseContract,
    OutageContract,
    TaskContract,
    LinkContract,
    BufferContract,
    DigestContract,
    SkillContract,
    HumanContract,
    ApprovalContract,
    ProgressContract,
    SearchContract,
    EmbedContract,
    SpaceContract,
    BlockContract,
    DiskContract,
    ArtifactContract,
    BlobUseContract,
    OneMessageContract,
    ObservingContract,
    PrincipalContract,
    ToolContract,
    LedgerContract,
    TenancyContract,
    DurabilityContract,
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
