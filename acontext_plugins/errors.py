"""The exceptions, where users look for them. The tree is drawn in `acontext_store.errors`."""

from acontext_store.errors import (
    AcontextError,
    Closed,
    Conflict,
    IncompatibleStore,
    InvalidInput,
    LearningUnavailable,
    LeaseLost,
    NotFound,
    StoreUnavailable,
    Unauthorized,
)

__all__ = [
    "AcontextError",
    "Closed",
    "Conflict",
    "IncompatibleStore",
    "InvalidInput",
    "LearningUnavailable",
    "LeaseLost",
    "NotFound",
    "StoreUnavailable",
    "Unauthorized",
]
