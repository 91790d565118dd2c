"""What a store promises about the ledger of model calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ..errors import InvalidInput
from ..ledger import ModelCall
from ..protocols import Store
from .factories import a_session, a_space, done

DAY_ONE, DAY_TWO = "2026-03-01T12:00:00.000000Z", "2026-03-02T00:00:00.000000Z"


def a_call(**fields: Any) -> ModelCall:
    given = {"job": "learn", "model": "m1", "prompt_tokens": 100, "completion_tokens": 10, "cost": 0.5, "duration": 2.0}
    return ModelCall(**{**given, **fields})


class LedgerContract:
    """The calls of models are logged once, and their costs summed."""

    def test_a_call_is_kept_as_it_was_logged_and_once(self, store: Store) -> None:
        call = a_call(
            space_id="k1",
            session_id="s1",
            prompt="task_agent@1",
            cached_tokens=90,
            error="learning_unavailable",
            cost=None,
        )
        for _ in range(2):
            done(store.log_call(call))
        assert done(store.calls()) == [call]

    def test_calls_come_newest_first_and_of_one_space(self, store: Store) -> None:
        calls = [a_call(space_id=f"k{n % 2}") for n in range(6)]
        for call in calls:
            done(store.log_call(call))
        assert done(store.calls(limit=4)) == calls[:1:-1]
        assert done(store.calls(space_id="k1")) == [calls[5], calls[3], calls[1]]
        assert done(store.calls(space_id="elsewhere")) == []

    def test_without_calls_there_is_nothing_to_sum_up(self, store: Store) -> None:
        assert done(store.costs()) == []
        assert done(store.costs(by=("space", "job", "model", "day"))) == []

    def test_sums_are_told_apart_by_what_is_asked(self, store: Store) -> None:
        for call in (
            a_call(space_id="k1", created_at=DAY_ONE),
            a_call(space_id="k1", created_at=DAY_TWO, model="m2", job="observe", cached_tokens=7),
            a_call(space_id="k2", created_at=DAY_TWO, session_id="s1", prompt="p@1"),
            a_call(created_at=DAY_TWO),
        ):
            done(store.log_call(call))
        (whole,) = done(store.costs())
        assert (whole.calls, whole.tokens, whole.cached_tokens, whole.cost, whole.duration) == (4, 440, 7, 2.0, 8.0)
        assert (whole.space_id, whole.day, whole.job, whole.model) == (None, None, None, None)
        by_space = done(store.costs(by=["space"]))
        assert [(cost.space_id, cost.calls) for cost in by_space] == [(None, 1), ("k1", 2), ("k2", 1)]
        by_day = done(store.costs(by=["day"], space_id="k1"))
        assert [(cost.day, cost.calls) for cost in by_day] == [("2026-03-01", 1), ("2026-03-02", 1)]
        by_both = done(store.costs(by=["model", "job"]))
        assert {(cost.job, cost.model, cost.calls) for cost in by_both} == {("learn", "m1", 3), ("observe", "m2", 1)}
        assert {cost.session_id for cost in done(store.costs(by=["session"]))} == {None, "s1"}
        assert {cost.prompt for cost in done(store.costs(by=["prompt"]))} == {"", "p@1"}

    def test_a_time_begins_with_its_first_moment_and_ends_before_its_last(self, store: Store) -> None:
        for moment in (DAY_ONE, DAY_TWO):
            done(store.log_call(a_call(created_at=moment)))
        assert [cost.calls for cost in done(store.costs(since=DAY_ONE, until=DAY_TWO))] == [1]
        assert [cost.day for cost in done(store.costs(by=["day"], since=DAY_TWO))] == ["2026-03-02"]
        assert done(store.costs(until="2026-03-01")) == []

    def test_failed_calls_and_unknown_prices_are_counted(self, store: Store) -> None:
        for call in (
            a_call(),
            a_call(cost=None),
            a_call(cost=None, error="learning_unavailable", prompt_tokens=0, completion_tokens=0),
        ):
            done(store.log_call(call))
        (cost,) = done(store.costs())
        assert (cost.calls, cost.failed, cost.unpriced, cost.cost, cost.tokens) == (3, 1, 1, 0.5, 220)

    def test_more_than_a_number_of_32_bits_can_be_summed_up(self, store: Store) -> None:
        for _ in range(3):
            done(store.log_call(a_call(prompt_tokens=2**31, cost=0.1)))
        (cost,) = done(store.costs())
        assert cost.prompt_tokens == 3 * 2**31
        assert cost.cost == pytest.approx(0.3)

    def test_what_was_spent_stays_known_when_the_space_and_the_session_go(self, store: Store) -> None:
        space_id = a_space(store)
        done(store.create_session(a_session(space_id=space_id)))
        done(store.log_call(a_call(space_id=space_id, session_id="s1")))
        done(store.delete_session("s1"))
        done(store.delete_space(space_id))
        assert [cost.calls for cost in done(store.costs(space_id=space_id))] == [1]

    def test_text_that_is_none_can_be_logged(self, store: Store) -> None:
        done(store.log_call(a_call(model="m\ud800", prompt="\ud800", error="\ud800")))
        assert done(store.calls())[0].model.startswith("m")

    @pytest.mark.parametrize("wrong", ["", "spaces", "id; DROP TABLE model_calls"])
    def test_what_cannot_tell_sums_apart_is_refused(self, store: Store, wrong: Any) -> None:
        with pytest.raises(InvalidInput, match="space, session, job"):
            done(store.costs(by=[wrong]))
        with pytest.raises(InvalidInput, match="limit"):
            done(store.calls(limit=0))

    def test_projects_pay_for_themselves(self, store: Store, open_store_again: Callable[[str], Store]) -> None:
        done(store.log_call(a_call(id="c1", space_id="k1")))
        other = open_store_again("p2")
        done(other.log_call(a_call(id="c1", space_id="k1", prompt_tokens=1)))
        assert [cost.prompt_tokens for cost in done(store.costs(space_id="k1"))] == [100]
        assert [cost.prompt_tokens for cost in done(other.costs(space_id="k1"))] == [1]
