"""What an adapter may leave out, each by a name: the rest of the contract is for all."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

#: The names that may stand in `unsupported`, and what an adapter can do that leaves them off the list.
CAPABILITIES: Mapping[str, str] = {
    "wrapping": "`learning` wraps the object that runs; without it the host puts something of the adapter's in place",
    "bare_original": "the object that was wrapped is left as it was, and records nothing",
    "streaming": "runs can be streamed; `play(streamed=True)` raises NotImplementedError where they cannot",
    "calls_before_results": "calls are recorded when the model makes them, not together with their results",
    "current_run_in_tools": "the run is the current one inside of its tools",
    "cancellation": "the outcome of a run that is cancelled is `cancelled`",
    "resume": "a run that waits for a person's approval ends as `interrupted`, and goes on as the same run",
    "fates": "what became of each call is told: that it ran, with what, or why it did not (`Run.tell`)",
    "refusal": "a person can refuse a call, and it is told as refused",
    "session": "`learning(session=...)` names the conversation",
    "inject_as_system": "skills stand behind the agent's own instructions",
    "inject_as_user": "with `inject_as='user'`, skills stand and stay behind the turn that they were found for",
    "strict": "with `strict=True`, trouble of ours is raised out of the run",
}


def check_unsupported(owner: str, unsupported: Mapping[str, str]) -> None:
    """Raises TypeError for a name that is none, and for one without a reason."""
    for name, reason in unsupported.items():
        if name not in CAPABILITIES:
            raise TypeError(
                f"{owner}.unsupported: there is no capability {name!r}; there are {', '.join(CAPABILITIES)}"
            )
        if not isinstance(reason, str) or not reason.strip():
            raise TypeError(f"{owner}.unsupported[{name!r}]: say in a sentence why it is not supported")


def needs(capability: str) -> Callable[[Callable[[Any], Awaitable[None]]], Callable[[Any], Awaitable[None]]]:
    """For a test of one capability: where that is listed as unsupported, the test is run and has to fail.

    So a list that says too much is noticed, as far as the test can see it.
    """
    if capability not in CAPABILITIES:
        raise KeyError(capability)

    def decorate(test: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
        @functools.wraps(test)
        async def checked(self: Any) -> None:
            reason = self.unsupported.get(capability)
            try:
                await test(self)
            except Exception:
                if reason is None:
                    raise
                return
            assert reason is None, (
                f"{capability!r} is listed as unsupported ({reason}), but it works: take it off the list"
            )

        return checked

    return decorate
