"""The exceptions, where users look for them. The tree is drawn in `acontext_store.errors`."""

from acontext_store.errors import (
    AcontextError,
    BudgetSpent,
    Closed,
    Conflict,
    IncompatibleStore,
    InvalidAnswer,
    InvalidInput,
    LearningUnavailable,
    LeaseLost,
    NotFound,
    PromptTooLong,
    Refused,
    StoreReplaced,
    StoreUnavailable,
    Unauthorized,
)

__all__ = [
    "AcontextError",
    "BudgetSpent",
    "Closed",
    "Conflict",
    "IncompatibleStore",
    "InvalidAnswer",
    "InvalidInput",
    "LearningUnavailable",
    "LeaseLost",
    "NotFound",
    "PromptTooLong",
    "Refused",
    "StoreReplaced",
    "StoreUnavailable",
    "Unauthorized",
]
