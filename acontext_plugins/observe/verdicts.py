"""Verdicts: what shows that a task has succeeded or failed, and whose word on it is believed.

The model's verdict counts only with something that shows it, and least of all: 0.4, or 0.7 where it cites the user and
the rules read the user's words the same way. What others state outranks it (see `rules.outcomes`).
"""

from __future__ import annotations

from collections.abc import Sequence

from acontext_store.types import Outcome, StoredMessage, stable_id

from ..transcript.tool_calls import verdict_of_acts
from ..transcript.user_turns import TurnReader, asks, own_words, turn_of, visible_words
from .answer import UpdateTask
from .prompt_view import said_parts
from .rows import FINAL, Row, Scene, plain, tidy
from .rules import BARE, DESCRIPTION_CHARS, EXPLICIT, is_verdict, status_of, weightier

REASON_CHARS = 300


def verdict(scene: Scene, row: Row, update: UpdateTask) -> Outcome | None:
    """The model's verdict on the task; None where nothing that it cites shows it."""
    cited, succeeds = scene.cited(update.cites), update.status == "success"
    quote = plain(update.quote)
    if quote and not any(quote in plain("\n".join(said_parts(message))) for message in cited):
        return None
    shows = heard = [message for message in cited if _is_word_on(scene, row, message)]
    if row.status == "running":
        seen = [m for m in cited if _is_result(scene, row, m, good=succeeds) or _is_elsewhere(scene, row, m)]
        shows = [*heard, *seen]
    if not shows or (succeeds and not heard and verdict_of_acts(scene.calls(row)) is not None):
        return None
    last = max(shows, key=lambda message: message.seq)
    return Outcome(
        id=stable_id(row.id, "judge", "success" if succeeds else "failed", last.id),
        status="success" if succeeds else "failed",
        source="user" if any(_rules_agree(scene, message, succeeds) for message in heard) else "judge",
        reason=tidy(update.quote, REASON_CHARS),
        run_id=last.run_id,
        after_seq=last.seq,
        created_at=last.created_at,
    )


def _is_word_on(scene: Scene, row: Row, message: StoredMessage) -> bool:
    """A user's words: of a task that has begun, those after the agent began it."""
    if message.role != "user" or not own_words(message.text):
        return False
    begun = min((other.seq for other in scene.agents(row)), default=row.last_seq)
    return row.status == "pending" or 0 < begun < message.seq


def _is_result(scene: Scene, row: Row, message: StoredMessage, *, good: bool) -> bool:
    """What a tool answered in this task; for a success, no error."""
    return scene.owner(message) == row.id and any(
        call.result_message_id == message.id and not (good and (call.is_error or not call.ran))
        for call in scene.view.calls
        if call.result is not None
    )


def _is_elsewhere(scene: Scene, row: Row, message: StoredMessage) -> bool:
    """The agent at another task, after all that belongs to this one."""
    owner = scene.owner(message)
    return message.role == "assistant" and owner not in (None, row.id) and 0 < row.last_seq < message.seq


def _rules_agree(scene: Scene, message: StoredMessage, succeeds: bool) -> bool:
    """Whether the rules, too, read the user's words as this verdict."""
    reader = TurnReader()
    for earlier in sorted(scene.view.messages.values(), key=lambda one: one.seq):
        if earlier.seq < message.seq and earlier.role == "assistant":
            reader.agent(earlier)
        elif earlier.seq < message.seq and earlier.role == "user":
            reader.user(own_words(earlier.text))
    kind = reader.user(own_words(message.text))
    return kind == ("thanks" if succeeds else "correction")


# ------------------------------------------------------------------------------------ what others state


def hear(scene: Scene, outcomes: Sequence[Outcome]) -> None:
    """What hosts, frameworks and users have stated, in order of arrival. To hear it twice changes nothing."""
    for outcome in sorted(outcomes, key=lambda outcome: outcome.after_seq):
        if outcome.weight > 0:
            for row in _covered(scene, outcome):
                _believe(scene, row, outcome)


def _covered(scene: Scene, outcome: Outcome) -> list[Row]:
    """The tasks that it speaks of: those of its run; without one, those since the last such word."""
    run_id = outcome.run_id if _tells_runs(scene) else None
    rows = [row for row in scene.rows if 0 < row.first_seq <= outcome.after_seq]
    if run_id is not None:
        known = scene.batch.runs.get(run_id, ())
        rows = [row for row in rows if row.id in known or any(m.run_id == run_id for m in row.links)]
    if outcome.weight >= EXPLICIT:
        if run_id is None:
            rows = _since_last_word(scene, outcome, rows)
        return rows or _unseen(scene, outcome, run_id)
    if outcome.status == "success" and run_id is not None:
        return rows
    return sorted(rows, key=lambda row: row.last_seq)[-1:]  # it speaks of what went on last


def _tells_runs(scene: Scene) -> bool:
    """Whether the host tells which run a message belongs to."""
    shown = (*scene.batch.messages, *scene.batch.earlier)
    return any(scene.batch.runs.values()) or any(message.run_id is not None for message in shown)


def _since_last_word(scene: Scene, outcome: Outcome, rows: list[Row]) -> list[Row]:
    """The tasks that went on after the last explicit word on all of the session; else those that it spoke of."""
    all_of_it = not _tells_runs(scene)
    spoken = [
        row.outcome
        for row in scene.rows
        if row.closed and row.outcome is not None and (all_of_it or row.outcome.run_id is None)
    ]
    others = [said for said in spoken if said.id != outcome.id]
    last = max(others, key=lambda said: said.after_seq, default=None)
    if last is None:
        return rows
    fresh = [row for row in rows if row.last_seq > last.after_seq]
    return fresh or [row for row in rows if row.outcome is not None and row.outcome.id == last.id]


def _unseen(scene: Scene, outcome: Outcome, run_id: str | None) -> list[Row]:
    """A task of its own for an explicit verdict on messages in which the model saw none."""
    free = [
        message
        for message in (*scene.batch.earlier, *scene.batch.messages)
        if message.seq <= outcome.after_seq
        and message.role != "system"
        and scene.owner(message) is None
        and run_id in (None, message.run_id)
    ]
    requests = [text for m in free if m.role == "user" and (text := tidy(turn_of(m.text).asked, DESCRIPTION_CHARS))]
    if not is_verdict(outcome) or not requests or any(row.outcome == outcome for row in scene.rows):
        return []
    row = Row(
        id=stable_id(scene.batch.session.id, "task", free[0].id, "stated"),
        description=requests[0],
        created_at=free[0].created_at,
        updated_at=free[-1].created_at,
    )
    scene.rows.append(row)
    for message in free:
        scene.link(message, row)
    return [row]


def _believe(scene: Scene, row: Row, outcome: Outcome) -> None:
    if outcome.weight < EXPLICIT and _is_past(row, outcome):
        return
    if outcome.weight <= BARE and outcome.status == "success":
        against = verdict_of_acts(scene.calls(row))
        if against is not None:
            changed = {"status": against.status, "source": "tool", "reason": against.reason}
            outcome = outcome.model_copy(update={"id": stable_id(row.id, "tool", outcome.id), **changed})
        elif row.status not in FINAL and _is_asking(scene, row):
            return
    best = weightier(row.outcome, outcome)
    if best != row.outcome:
        row.outcome, row.status = best, status_of(best, closed=True, replied=True)


def _is_past(row: Row, outcome: Outcome) -> bool:
    """Whether the task went on, or was judged, after this was said; or it says nothing of one that is finished."""
    if row.last_seq > outcome.after_seq or (row.status in FINAL and not is_verdict(outcome)):
        return True
    return row.outcome is not None and is_verdict(row.outcome) and row.outcome.after_seq > outcome.after_seq


def _is_asking(scene: Scene, row: Row) -> bool:
    """Whether the agent's last words in this task wait for the user."""
    said = scene.agents(row)
    return bool(said) and asks(visible_words(max(said, key=lambda message: message.seq).text))
