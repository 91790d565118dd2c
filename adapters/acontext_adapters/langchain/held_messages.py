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

    def record(self, run: Run) -> None:
        message, id, if_taken = self.message, self.id, self.id_if_taken
        run.record(
            make=lambda: converted(message, id, if_taken), fates=self.fates, told=self.told, size=rough_size(message)
        )

    def is_said_by(self, other: BaseMessage) -> bool:
        """Whether `other` is what has become of this message."""
        mine = self.message
        if isinstance(mine, ToolMessage):
            return isinstance(other, ToolMessage) and other.tool_call_id == mine.tool_call_id
        return isinstance(mine, AIMessage) and isinstance(other, AIMessage) and mine.id in (None, other.id)


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
        for held in self._held:
            now = next((one for one in reversed(messages) if held.is_said_by(one)), None)
            if now is not None and now.content != held.message.content:
                held.message = held.message.model_copy(update={"content": now.content})
                changed.append(held.message)
        return changed

    def release(self, run: Run, *, answers: bool = False) -> None:
        """Nobody can change them any more; `answers=True`: those of the model, that is."""
        while self._held and not (answers and isinstance(self._held[0].message, ToolMessage)):
            self._held.pop(0).record(run)

    def drop(self) -> list[CallFate]:
        """Somebody has refused them. Returns the fates that were to be told with them."""
        held, self._held = self._held, []
        return [fate for one in held for fate in one.fates]
