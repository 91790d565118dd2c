"""Messages that are held until the hooks of an agent behind them have spoken: what these mask is never recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from acontext_plugins.runs import Run
from acontext_store.types import CallFate

from .convert import converted, rough_size


@dataclass(slots=True)
class HeldMessage:
    """A message that has been said, and what else is recorded with it."""

    message: BaseMessage
    id: str
    id_if_taken: str | None = None
    fates: Sequence[CallFate] = ()
    told: bool = False
    #: Which of the results of calls with its id in one answer.
    occurrence: int = 0

    def record(self, run: Run) -> None:
        message, id, if_taken = self.message, self.id, self.id_if_taken
        run.record(
            make=lambda: converted(message, id, if_taken), fates=self.fates, told=self.told, size=rough_size(message)
        )


class HeldMessages:
    """The newest messages of a run, in order."""

    def __init__(self) -> None:
        self._held: list[HeldMessage] = []

    def hold(self, message: HeldMessage) -> None:
        self._held.append(message)

    def now_read(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """Hooks have put these in their place, perhaps; the calls in them stay those that were asked for.

        Returns those that read otherwise now.
        """
        changed = []
        for held, now in self._found_in(messages):
            same = now.content == held.message.content
            held.message = held.message.model_copy(update={"content": now.content, "id": now.id or held.message.id})
            if not same:
                changed.append(held.message)
        return changed

    def _found_in(self, messages: Sequence[BaseMessage]) -> list[tuple[HeldMessage, BaseMessage]]:
        """What has become of those that are among these: by their own ids, or else by their calls."""
        ids = {message.id: message for message in messages if message.id is not None}
        found = [(held, ids[held.message.id]) for held in self._held if held.message.id in ids]
        taken = {id(now) for _, now in found}
        others = [held for held in self._held if held.message.id not in ids]
        for held in sorted(others, key=lambda one: one.occurrence):
            now = _newest_answer(held, messages) if isinstance(held.message, AIMessage) else None
            if isinstance(held.message, ToolMessage):
                results = _results(held.message.tool_call_id, messages)
                own = results[held.occurrence : held.occurrence + 1]
                now = next((one for one in (*own, *reversed(results)) if id(one) not in taken), None)
            if now is not None:
                taken.add(id(now))
                found.append((held, now))
        return found

    def release(self, run: Run, *, answers: bool = False) -> None:
        """Nobody can change them any more; `answers=True`: those of the model, that is."""
        while self._held and not (answers and isinstance(self._held[0].message, ToolMessage)):
            self._held.pop(0).record(run)

    def drop(self) -> list[CallFate]:
        """Somebody has refused them. Returns the fates that were to be told with them."""
        held, self._held = self._held, []
        return [fate for one in held for fate in one.fates]


def _newest_answer(held: HeldMessage, messages: Sequence[BaseMessage]) -> BaseMessage | None:
    """The model's newest answer, for one that has no id."""
    if held.message.id is not None:
        return None
    return next((one for one in reversed(messages) if isinstance(one, AIMessage)), None)


def _results(call_id: str, messages: Sequence[BaseMessage]) -> list[ToolMessage]:
    """The results of the calls with this id that were asked for last: some providers number theirs anew each time."""
    results: list[ToolMessage] = []
    for message in messages:
        if isinstance(message, AIMessage) and any(
            call.get("id") == call_id for call in (*message.tool_calls, *message.invalid_tool_calls)
        ):
            results = []
        elif isinstance(message, ToolMessage) and message.tool_call_id == call_id:
            results.append(message)
    return results
