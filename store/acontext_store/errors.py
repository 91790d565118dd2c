"""The exception tree.

AcontextError
├── NotFound            nothing of that kind has that id (404)
├── InvalidInput        a value that cannot be taken; names the thing and the way out (400)
├── Conflict            the thing changed, or exists already (409)
├── Unauthorized        no key, or not this one (401)
├── StoreUnavailable    the database or the disk cannot be used now (503)
│   ├── IncompatibleStore   the database was written by a newer version (503)
│   └── StoreReplaced       the database was deleted or replaced while it was open (503)
├── LeaseLost           another worker owns this work now (409)
├── LearningUnavailable the model, or something it needs, cannot be used now (503)
│   ├── InvalidAnswer       the model answered what cannot be taken, also when asked again (503)
│   ├── PromptTooLong       it was asked more than it can read at once (503)
│   ├── Refused             the model, or its provider, will not answer this (503)
│   └── BudgetSpent         this space's budget for models is spent (503)
└── Closed              the client, or the store, has been closed (409)

`code` and `status` are stable: programs may rely on them, embedded and over HTTP alike.
"""

from __future__ import annotations


class AcontextError(Exception):
    """The root. Catch this to catch all that this library raises on purpose."""

    code: str = "error"
    status: int = 500


class NotFound(AcontextError):
    """Nothing of that kind has that id."""

    code, status = "not_found", 404

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"no {kind} {id!r}")
        self.kind, self.id = kind, id

    def __reduce__(self) -> tuple[type[NotFound], tuple[str, str]]:
        return type(self), (self.kind, self.id)


class InvalidInput(AcontextError):
    """A value that cannot be taken; the sentence names it and the way out."""

    code, status = "invalid_input", 400


class Conflict(AcontextError):
    """The thing exists already, or has changed since it was read."""

    code, status = "conflict", 409


class Unauthorized(AcontextError):
    """No key, or not one that is known here."""

    code, status = "unauthorized", 401


class StoreUnavailable(AcontextError):
    """The database or the disk cannot be used now. Nothing was half written."""

    code, status = "store_unavailable", 503


class IncompatibleStore(StoreUnavailable):
    """The database was written by a newer version of this library."""

    code = "incompatible_store"


class StoreReplaced(StoreUnavailable):
    """The database file was deleted, or another one put in its place, while it was open. This was not kept.

    What is written next goes into the file that is there now, or into a new one.
    """

    code = "store_replaced"


class LeaseLost(AcontextError):
    """Another worker owns this work now; what was decided here was not written."""

    code, status = "lease_lost", 409


class LearningUnavailable(AcontextError):
    """The model, or something else that learning needs, cannot be used now.

    `retry_after` = seconds after which it may be tried again, where that is known.
    """

    code, status = "learning_unavailable", 503

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InvalidAnswer(LearningUnavailable):
    """The model answered what cannot be taken, also when it was asked again."""

    code = "invalid_answer"


class PromptTooLong(LearningUnavailable):
    """The request is longer than the context of the model: ask for less."""

    code = "prompt_too_long"


class Refused(LearningUnavailable):
    """The model, or its provider, will not answer this: a content filter. Something else may be answered."""

    code = "refused"


class BudgetSpent(LearningUnavailable):
    """The budget for models of this space, or of the project, is spent for now."""

    code = "budget_spent"


class Closed(AcontextError):
    """The client, or the store, has been closed."""

    code, status = "closed", 409
