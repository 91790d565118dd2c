"""Every call is a row in the ledger, and no space spends more than its budget."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.llm import Purpose, Reply, Request, Usage
from acontext_plugins.llm import budget as budgets
from acontext_plugins.llm.budget import Budget, budget_of
from acontext_plugins.llm.usage_metering import Metered, MeteredEmbedder, UsageLedger
from acontext_plugins.testing import ScriptedEmbedder, ScriptedLLM
from acontext_store.errors import BudgetSpent, InvalidInput, LearningUnavailable, StoreUnavailable
from acontext_store.ledger import Cost, ModelCall
from acontext_store.open import open_store
from acontext_store.protocols import Pending, Store
from acontext_store.types import Space

from .asking import LEARN, asks

TOOK = Usage(prompt_tokens=10, completion_tokens=990, cached_tokens=5, cost=0.01)
OTHER = Purpose(job="observe", space_id="k2")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(f"sqlite:///{tmp_path}/a.db", project_id="p1")
    for name in ("k1", "k2"):
        made.create_space(Space(id=name, project_id="p1")).result()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _fair_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is thought to take about what it takes here."""
    monkeypatch.setattr("acontext_plugins.llm.usage_metering._ANSWER", 990)


def metered(store: Store, *steps: Any, budget: Budget | None = None) -> Metered:
    script: Any = list(steps) or (lambda request: Reply(text="hi", usage=TOOK))
    return Metered(ScriptedLLM(script, model="m"), UsageLedger(store, budget))


async def rows(store: Store) -> list[ModelCall]:
    return await store.calls()


# -- rows
async def test_a_call_is_a_row(store: Store) -> None:
    reply = await metered(store).complete(asks())
    assert reply.text == "hi"
    (row,) = await rows(store)
    assert (row.job, row.space_id, row.session_id, row.prompt) == ("learn", "k1", "s1", "experience_agent@1")
    assert (row.model, row.prompt_tokens, row.completion_tokens, row.cached_tokens) == ("m", 10, 990, 5)
    assert (row.cost, row.error) == (0.01, "")
    assert row.duration >= 0


async def test_a_call_that_fails_is_a_row_too(store: Store) -> None:
    llm = metered(store, LearningUnavailable("away"), RuntimeError("a mistake"))
    with pytest.raises(LearningUnavailable):
        await llm.complete(asks())
    with pytest.raises(RuntimeError):
        await llm.complete(asks())
    found = await rows(store)
    assert [(row.error, row.prompt_tokens, row.cost) for row in found] == [
        ("RuntimeError", 0, None),
        ("learning_unavailable", 0, None),
    ]


async def test_a_call_that_is_cancelled_is_a_row_too(store: Store) -> None:
    begun = asyncio.Event()

    async def never(request: Request) -> str:
        begun.set()
        await asyncio.Event().wait()
        return ""

    call = asyncio.create_task(Metered(ScriptedLLM(never), UsageLedger(store)).complete(asks()))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert [row.error for row in await rows(store)] == ["cancelled"]


async def test_a_call_without_a_space_is_a_row(store: Store) -> None:
    await metered(store).complete(asks().model_copy(update={"purpose": Purpose(job="observe")}))
    assert [row.space_id for row in await rows(store)] == [None]


async def test_what_was_answered_is_given_back_where_the_ledger_cannot_be_written(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(call: ModelCall) -> Pending[None]:
        failed: Pending[None] = Pending()
        failed.set_exception(StoreUnavailable("the disk is full"))
        return failed

    monkeypatch.setattr(store, "log_call", fail)
    llm = metered(store, budget=Budget(daily_tokens=2_500))
    assert [(await llm.complete(asks())).text for _ in range(2)] == ["hi", "hi"]
    assert "missing in the ledger: the disk is full" in caplog.text
    with pytest.raises(BudgetSpent):  # and it counts
        await llm.complete(asks())
    monkeypatch.setattr(budgets, "today", lambda: "2999-01-01")
    await llm.complete(asks())  # until the next day


async def test_after_the_store_is_closed_an_answer_is_still_an_answer(store: Store) -> None:
    def closing(request: Request) -> Reply:
        store.close()
        return Reply(text="last words", usage=TOOK)

    llm = Metered(ScriptedLLM(closing), UsageLedger(store))
    assert (await llm.complete(asks())).text == "last words"


# -- vectors
async def test_vectors_are_rows_too(store: Store) -> None:
    embedder = MeteredEmbedder(ScriptedEmbedder(), UsageLedger(store))
    assert len(await embedder.embed(["x" * 400, "y" * 400], purpose=LEARN)) == 2
    assert await embedder.embed([], purpose=LEARN) == []
    (row,) = await rows(store)
    assert (row.prompt_tokens, row.completion_tokens, row.cost, row.error) == (200, 0, None, "")


async def test_vectors_of_an_embedder_that_counts(store: Store) -> None:
    class Counting(ScriptedEmbedder):
        async def embed_with_usage(self, texts: Sequence[str], *, purpose: Purpose) -> tuple[list[list[float]], Usage]:
            return await self.embed(texts, purpose=purpose), Usage(prompt_tokens=7, cost=0.5)

    await MeteredEmbedder(Counting(), UsageLedger(store)).embed(["x"], purpose=LEARN)
    assert [(row.prompt_tokens, row.cost) for row in await rows(store)] == [(7, 0.5)]


async def test_vectors_are_within_the_budget(store: Store) -> None:
    embedder = MeteredEmbedder(ScriptedEmbedder(), UsageLedger(store, Budget(daily_tokens=150)))
    await embedder.embed(["x" * 400], purpose=LEARN)
    with pytest.raises(BudgetSpent):
        await embedder.embed(["x" * 400], purpose=LEARN)


# -- budgets
async def test_a_space_that_has_spent_its_tokens_is_refused_before_the_call(store: Store) -> None:
    llm = metered(store, budget=Budget(daily_tokens=2_900))
    for _ in range(2):
        await llm.complete(asks())
    with pytest.raises(BudgetSpent, match=r"space k1 .*2,000 of 2,900 tokens.*raise llm\.daily_tokens") as caught:
        await llm.complete(asks())
    assert len(await rows(store)) == 2
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 86_401
    await llm.complete(asks().model_copy(update={"purpose": OTHER}))  # another space has a budget of its own


async def test_a_space_that_has_spent_its_money_is_refused(store: Store) -> None:
    llm = metered(store, budget=Budget(daily_cost=0.025))
    for _ in range(2):
        await llm.complete(asks())
    with pytest.raises(BudgetSpent, match=r"0\.0200 of 0\.0250 US dollars"):
        await llm.complete(asks())


async def test_sessions_without_a_space_share_a_budget(store: Store) -> None:
    llm = metered(store, budget=Budget(daily_tokens=2_500))
    request = asks().model_copy(update={"purpose": Purpose(job="observe")})
    await llm.complete(asks())
    for _ in range(2):
        await llm.complete(request)
    with pytest.raises(BudgetSpent, match="sessions without a space"):
        await llm.complete(request)


async def test_a_space_may_have_a_budget_of_its_own(store: Store) -> None:
    llm = metered(store, budget=Budget(daily_tokens=2_500))
    await store.update_space("k1", configs={"budget": {"daily_tokens": 0}})
    await store.update_space("k2", configs={"budget": {"daily_tokens": 1}})
    for _ in range(5):
        await llm.complete(asks())
    with pytest.raises(BudgetSpent):
        await llm.complete(asks().model_copy(update={"purpose": OTHER}))


async def test_a_budget_that_is_none_is_said_and_the_general_one_holds(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await store.update_space("k1", configs={"budget": {"daily_tokens": "many"}})
    llm = metered(store, budget=Budget(daily_tokens=2_500))
    for _ in range(2):
        await llm.complete(asks())
    with pytest.raises(BudgetSpent):
        await llm.complete(asks())
    assert caplog.text.count("configs.budget.daily_tokens: a number") == 1


async def test_it_is_said_once_a_day(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    llm = metered(store, budget=Budget(daily_tokens=1))
    for day in ("2999-01-01", "2999-01-02"):
        monkeypatch.setattr(budgets, "today", lambda day=day: day)
        for _ in range(3):
            with pytest.raises(BudgetSpent):
                await llm.complete(asks())
    assert caplog.text.count("rules go on without a model until 00:00 UTC") == 2


async def test_a_new_day_has_a_new_budget(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = metered(store, budget=Budget(daily_tokens=2_500))
    for _ in range(2):
        await llm.complete(asks())
    with pytest.raises(BudgetSpent):
        await llm.complete(asks())
    monkeypatch.setattr(budgets, "today", lambda: "2999-01-01")
    await llm.complete(asks())


async def test_where_prices_are_unknown_money_is_no_limit_and_it_is_said(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = Reply(text="x", usage=TOOK.model_copy(update={"cost": None}))
    llm = metered(store, *[unknown] * 4, budget=Budget(daily_cost=0.01))
    for _ in range(4):
        await llm.complete(asks())
    assert caplog.text.count("llm.daily_cost cannot be kept") == 1


@pytest.mark.parametrize("fails", [False, True])
async def test_calls_at_the_same_time_do_not_spend_more_than_there_is(store: Store, fails: bool) -> None:
    """Forty at once, each of about a thousand tokens, with a budget for ten."""
    go = asyncio.Event()

    async def when_all_have_asked(request: Request) -> Any:
        await go.wait()
        return LearningUnavailable("away") if fails else Reply(text="x", usage=TOOK)

    llm = Metered(ScriptedLLM(when_all_have_asked), UsageLedger(store, Budget(daily_tokens=10_500)))
    calls = {asyncio.create_task(llm.complete(asks())) for _ in range(40)}
    refused: set[asyncio.Task[Reply]] = set()
    while len(refused) < 30:
        refused |= (await asyncio.wait(calls - refused, return_when=asyncio.FIRST_COMPLETED))[0]
    assert all(isinstance(call.exception(), BudgetSpent) for call in refused)
    go.set()
    await asyncio.gather(*(calls - refused), return_exceptions=True)
    spent = (await store.costs(space_id="k1"))[0]
    assert (spent.calls, spent.tokens) == (10, 0 if fails else 10_000)
    if fails:  # what failed has taken nothing, so there is room again
        with pytest.raises(LearningUnavailable, match="away"):
            await llm.complete(asks())
    else:
        with pytest.raises(BudgetSpent):
            await llm.complete(asks())


async def test_another_process_spends_from_the_same_budget(store: Store) -> None:
    first, second = (metered(store, budget=Budget(daily_tokens=2_500)) for _ in range(2))
    await first.complete(asks())
    await second.complete(asks())
    for llm in (first, second):
        with pytest.raises(BudgetSpent):
            await llm.complete(asks())


async def test_answers_that_are_longer_than_thought_are_expected_next_time(store: Store) -> None:
    long = Reply(text="x", usage=Usage(prompt_tokens=10, completion_tokens=50_000))
    llm = metered(store, *[long] * 2, budget=Budget(daily_tokens=60_000))
    await llm.complete(asks())
    with pytest.raises(BudgetSpent):
        await llm.complete(asks())


# -- what a budget is
@pytest.mark.parametrize(
    ("configs", "wanted"),
    [
        (None, Budget(5, 0.5)),
        ({}, Budget(5, 0.5)),
        ({"budget": None}, Budget(5, 0.5)),
        ({"budget": {}}, Budget(5, 0.5)),
        ({"budget": {"daily_tokens": 7}}, Budget(7, 0.5)),
        ({"budget": {"daily_cost": 2, "daily_tokens": 0}}, Budget(0, 2.0)),
    ],
)
def test_a_space_says_what_is_different(configs: Any, wanted: Budget) -> None:
    assert budget_of(configs, Budget(5, 0.5)) == wanted


BAD: list[Any] = [7, "x", [], {"tokens": 1}, {"daily_tokens": -1}, {"daily_tokens": 1.5}, {"daily_cost": "1"}]


@pytest.mark.parametrize("wrong", [*BAD, {"daily_cost": float("nan")}, {"daily_tokens": True}, {"daily_cost": None}])
def test_what_is_no_budget_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidInput, match=r"configs\.budget"):
        budget_of({"budget": wrong}, Budget())


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(["budget", "x"]), st.recursive(st.floats() | st.text(), st.lists)))
def test_whatever_stands_in_configs_is_a_budget_or_refused(configs: dict[str, Any]) -> None:
    try:
        found = budget_of(configs, Budget(1, 1.0))
    except InvalidInput:
        return
    assert found.daily_tokens >= 0


def test_sums_know_all_tokens() -> None:
    assert Cost(prompt_tokens=3, completion_tokens=4).tokens == 7
