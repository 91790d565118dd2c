"""From finished tasks to skills."""

from __future__ import annotations

import random

import pytest

from acontext_plugins.learn.distil import distil
from acontext_plugins.learn.episode_body import EpisodeBody, EpisodeStep
from acontext_plugins.learn.procedures import EpisodeRun, contrast, order_rules
from acontext_plugins.learn.rules import learn
from acontext_plugins.learn.statistics import benjamini_hochberg, fisher_exact, log_odds
from acontext_plugins.protocols import LearningInput
from acontext_store.types import Episode, Skill

from .talk import SPACE, T0, Memory, Talk


def refund(name: str, order: str = "W77", *, thanks: bool = False, principal: str | None = None) -> Talk:
    """A run that finds an order and refunds it."""
    talk = Talk(name, principal=principal).user(f"I want my money back for order #{order}")
    talk.does("get_order", {"order": order, "card": f"card_{name}_991"}, order_id=f"#{order}")
    talk.does("refund_order", {"status": "refunded"}, order_id=f"#{order}", card=f"card_{name}_991", mode="full")
    talk.agent(f"Order {order} is refunded.")
    return talk.user("Thanks, perfect!") if thanks else talk


def test_a_reported_success_becomes_an_active_skill() -> None:
    memory = Memory().learn(refund("a").ends("success"))
    (skill,) = memory.active
    assert [(step.tool_name, step.action) for step in skill.body.tool_sops] == [
        ("get_order", "order_id from user"),
        ("refund_order", "order_id from user; card from get_order; mode"),
    ]
    assert skill.body.use_when == "refund order: I want my money back for order {order_id}"
    assert skill.body.trace[0] == "get_order(order_id={user.order_id})"
    assert skill.body.variables["get_order.card"] == "from the result of get_order"
    assert skill.source_ids == ("key-a",)


def test_every_skill_names_the_messages_and_calls_that_taught_it() -> None:
    talk = refund("a").ends("success")
    (skill,) = Memory().learn(talk).active
    (evidence,) = skill.evidence
    assert set(evidence.message_ids) <= {m.id for m in talk.messages}
    assert talk.messages[0].id in evidence.message_ids
    assert evidence.call_ids == ("call-1", "call-2")
    assert evidence.gave == ("body",)


def test_a_weak_success_stays_a_candidate_until_it_recurs_and_was_hard() -> None:
    memory = Memory()
    for name in "abc":
        run = Talk(name).run(name).user("Cancel everything").does("cancel_order").does("cancel_trip").agent("Done.")
        memory.learn(run.ends("success", "framework", run_id=name))
        assert len(memory.skills) == 1
        assert bool(memory.active) == (name == "c")


def test_two_conversations_that_had_to_fix_the_same_error_are_enough() -> None:
    def talk(name: str, order: str) -> Talk:
        talk = Talk(name).run(name).user(f"Please refund order {order}")
        talk.does("issue_refund", {"error": "amount must be an integer"}, order=order, amount="24.50")
        talk.does("issue_refund", {"status": "ok"}, order=order, amount=2450)
        return talk.agent("Refunded.").ends("success", "framework", run_id=name)

    memory = Memory().learn(talk("one", "A-1001"))
    assert memory.active == []
    memory.learn(talk("two", "A-2077"))
    (skill,) = memory.active
    assert skill.body.pitfalls


def test_failures_teach_no_steps() -> None:
    memory = Memory().learn(refund("a").ends("failed"))
    assert memory.skills == {}
    assert memory.last.digested == tuple(memory.episodes)


def test_runs_that_change_the_same_things_are_one_skill_with_the_shortest_as_body() -> None:
    long = Talk("b").user("I want my money back for order #W5 and quickly")
    long.does("get_order", {"order": "W5", "card": "card_5_991"}, order_id="#W5")
    long.does("get_policy", {"days": "policy-30"}, of="policy-1")
    long.does("refund_order", "ok", order_id="#W5", card="card_5_991", mode="full").agent("By policy-30 it is done.")
    memory = Memory().learn(long.ends("success"), refund("a").ends("success"), refund("c", "W9").ends("success"))
    (skill,) = memory.active
    assert [step.tool_name for step in skill.body.tool_sops] == ["get_order", "refund_order"]
    assert set(skill.source_ids) == {"key-a", "key-b", "key-c"}
    assert "mode=full" in skill.body.tool_sops[1].action


def test_an_error_and_its_correction_become_a_pitfall() -> None:
    talk = Talk("a").user("Refund order #W7").does("refund_order", "Error: card missing", order_id="#W7")
    talk.does("refund_order", "ok", order_id="#W7", card="same").agent("Done.")
    (skill,) = Memory().learn(talk.ends("success")).active
    assert skill.body.pitfalls == ("refund_order can fail: worked with adding card",)


def test_failures_warn_where_there_are_enough_on_both_sides() -> None:
    talks = [refund(f"good{i}", f"W{i}1").ends("success") for i in range(8)]
    for i in range(8):
        bad = Talk(f"bad{i}").user(f"I want my money back for order #B{i}1").does("list_rumours", "x")
        bad.does("refund_order", "ok", order_id=f"#B{i}1").agent("Done.")
        talks.append(bad.ends("failed"))
    (skill,) = Memory().learn(*talks).active
    assert "do not call list_rumours: failed runs called it" in skill.body.pitfalls
    assert "do call get_order: failed runs left it out" in skill.body.pitfalls
    assert set(skill.source_ids) == {f"key-good{i}" for i in range(8)}
    assert {e.outcome for e in skill.evidence if "contrast" in e.gave} == {"failed"}


def test_standing_wishes_become_preferences() -> None:
    talk = Talk("a").user("Refund order #W7. Always ask me before you refund.").agent("Shall I?").user("Yes")
    talk.does("refund_order", "ok", order_id="#W7").agent("Done.").ends("success")
    (skill,) = Memory().learn(talk).active
    assert skill.body.preferences == "Always ask me before you refund."
    assert "the user said always, never or remember" in skill.score_reasons


def test_the_order_of_arrival_and_a_second_look_change_nothing() -> None:
    talks = [refund(name, f"W{i}2").ends("success") for i, name in enumerate("abcdefgh")]
    talks += [
        Talk(n).user("Book a hotel in Rome please").does("book_hotel", city="Rome").agent("ok").ends("success")
        for n in "xyz"
    ]
    finished = [done for talk in talks for done in talk.finished()]
    first = Memory().learn_tasks(finished)
    assert first.learn_tasks([]).last.edits == ()
    assert first.learn_tasks(finished).last.edits == ()
    shuffled = list(finished)
    random.Random(7).shuffle(shuffled)
    assert Memory().learn_tasks(shuffled).skills == first.skills


def test_learning_bit_by_bit_gives_what_learning_at_once_gives() -> None:
    talks = [refund(name, f"W{i}2").ends("success") for i, name in enumerate("abcd")]
    once, slowly = Memory().learn(*talks), Memory()
    for talk in talks:
        slowly.learn(talk)
    assert [(s.id, s.body, s.evidence, s.status) for s in slowly.skills.values()] == [
        (s.id, s.body, s.evidence, s.status) for s in once.skills.values()
    ]


def test_what_a_person_decided_or_wrote_stays() -> None:
    memory = Memory().learn(refund("a").ends("success"))
    (skill,) = memory.skills.values()
    memory.skills[skill.id] = skill.model_copy(update={"status": "retired"})
    memory.learn(refund("b", "W8").ends("success"))
    assert memory.skills[skill.id].status == "retired"
    memory.skills[skill.id] = skill.model_copy(
        update={"origin": "human", "body": skill.body.model_copy(update={"use_when": "mine"})}
    )
    assert memory.learn(refund("c", "W9").ends("success")).last.edits == ()


def test_a_task_that_became_part_of_a_bigger_one_counts_once() -> None:
    memory = Memory().learn(refund("a").ends("success"))
    (episode,) = memory.episodes.values()
    whole = Episode(
        task_id="whole", session_id="a", space_id="space", body={**episode.body, "span": [1, 99]}, created_at="2026"
    )
    memory.episodes["whole"] = whole
    (skill,) = memory.learn_tasks([]).active
    assert [e.task_id for e in skill.evidence] == ["whole"]


def test_an_episode_is_compact_and_says_what_every_argument_was() -> None:
    (done,) = refund("a").ends("success").finished()
    episode = distil(done, space_id="space")
    assert episode.body["steps"][1]["args"] == {"order_id": ["user"], "card": [">get_order"], "mode": ["=full"]}
    assert "card_a_991" not in str(episode.body)
    assert "W77" not in str(episode.body)


@pytest.mark.slow
def test_ten_thousand_episodes_make_three_hundred_skills_once() -> None:
    (done,) = refund("a").ends("success").finished()
    body = distil(done, space_id="space").body
    episodes = []
    for i in range(10_000):
        steps = [{**step, "tool": f"{step['tool']}_{i % 300}"} for step in body["steps"]]
        mine = {
            **body,
            "steps": steps,
            "tools": [step["tool"] for step in steps],
            "said": f"give the money back {i}",
            "key": f"k{i}",
        }
        episodes.append(Episode(task_id=f"t{i}", session_id=f"s{i}", space_id="space", body=mine, created_at=T0))
    ops = learn(LearningInput(SPACE, [], episodes, []))
    assert len(ops.edits) == 300
    skills = [
        Skill(id=e.skill_id, project_id="p", space_id="space", block_id="b", status=e.status, origin="rules", version=1,
              body=e.body, evidence=e.evidence, score=e.score, score_reasons=e.score_reasons)
        for e in ops.edits
    ]  # fmt: skip
    assert learn(LearningInput(SPACE, [], episodes, skills)).edits == ()


# ------------------------------------------------------------------------------------------- statistics


@pytest.mark.parametrize(
    ("table", "p"),
    [
        ((8, 2, 1, 5), 0.03497),
        ((3, 1, 1, 3), 0.48571),
        ((10, 0, 0, 10), 1.0825e-05),
        ((0, 5, 0, 5), 1.0),
        ((12, 5, 29, 2), 0.08027),
    ],
)
def test_fishers_test_gives_the_textbook_values(table: tuple[int, int, int, int], p: float) -> None:
    assert fisher_exact(*table) == pytest.approx(p, rel=1e-3)


def test_fishers_test_is_symmetric_and_stays_in_range() -> None:
    generator = random.Random(3)
    for _ in range(300):
        a, b, c, d = (generator.randrange(0, 400) for _ in range(4))
        p = fisher_exact(a, b, c, d)
        assert 0 <= p <= 1
        assert p == pytest.approx(fisher_exact(c, d, a, b))
        assert p == pytest.approx(fisher_exact(a, c, b, d))


def test_benjamini_hochberg_gives_the_papers_q_values() -> None:
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert benjamini_hochberg([]) == []


def test_log_odds_have_a_sign_and_no_infinity() -> None:
    assert log_odds(5, 0, 0, 5) > 0 > log_odds(0, 5, 5, 0)


def test_two_few_runs_contrast_nothing() -> None:
    def run(i: int, *tools: str) -> EpisodeRun:
        steps = [EpisodeStep(tool=tool, write=tool == "pay") for tool in tools]
        return EpisodeRun(f"t{i}", f"s{i}", T0, EpisodeBody(tools=list(tools), steps=steps))

    good, bad = [run(i, "check", "pay") for i in range(6)], [run(i + 9, "pay") for i in range(6)]
    assert contrast(good[:4], bad) == []
    assert [(f.feature, f.verdict) for f in contrast(good, bad)] == [("check", "do")]
    assert order_rules(good, bad) == [("check", "pay")]
    assert order_rules(good, bad[:1]) == []
