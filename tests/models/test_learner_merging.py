"""One skill for one thing: what is learned goes where it belongs, and what a person owns stays as it is."""

from __future__ import annotations

from pathlib import Path

from acontext_plugins.learn.placement import page_at, title_of_page
from acontext_plugins.learn.rules import RulesLearner
from acontext_plugins.learn.validation import MOST_PITFALLS, MOST_PREFERENCES
from acontext_plugins.settings import WorkerSettings
from acontext_store.types import Json

from ..rules.talk import Talk
from .school import Read, School, experience, learned, says, school
from .test_learner import learned_refund, order, refunds


def wordy(name: str) -> Talk:
    """A refund by a longer way than `order`, and with a wish."""
    talk = Talk(name, principal=name).user("Please refund my order W4499. Always tell me the amount first.")
    talk.does("get_user", {"user": "u_4499_1"}, order="W4499")
    talk.does("get_order", {"card": "card_4499_1"}, order_id="W4499", user="u_4499_1")
    talk.does("refund_order", "ok", order_id="W4499", to="card_4499_1", amount=9)
    return talk.agent("Your order was refunded.").ends("success")


WORDS = "amount card customer reason order currency address name total tax shop date".split()


def wish(text: str, quote: str) -> Json:
    return {"text": text, "message": "m1", "quote": quote}


async def rules_learn(at: School) -> None:
    """The rules learn the next lesson instead of the model."""
    at.engine.worker._learner = RulesLearner()


# ---------------------------------------------------------------------------------------- merge, supersede


async def test_merging_makes_a_new_version_with_what_stands_behind_both(tmp_path: Path) -> None:
    tells = wish("the user wants to know the amount first", "Always tell me the amount first.")

    def answer(read: Read) -> Json:
        if not read.skills:
            return learned(refunds(read, preferences=[tells]))
        steps = [{"call": id, "tool_name": tool, "action": "as asked"} for _, id, tool, worked in read.calls if worked]
        pitfall = {"text": "refund order with a whole amount", "messages": ["m5"], "call": "c2"}
        return learned(
            refunds(read, relation="merge", skill="s1", use_when="refund an order", tool_sops=steps, pitfalls=[pitfall])
        )

    async with school(tmp_path, says(answer)) as at:
        await at.learn(wordy("a"))
        before = await at.skill()
        await at.learn(order("b"))
        after = await at.skill()
        assert (after.id, after.version, after.origin) == (before.id, 2, "model")
        assert after.body.use_when == "refund an order"
        assert [step.tool_name for step in after.body.tool_sops] == ["get_order", "refund_order", "refund_order"]
        assert after.body.preferences == "the user wants to know the amount first"
        assert after.body.pitfalls == ("refund order with a whole amount",)
        assert {evidence.session_key: evidence.gave for evidence in after.evidence} == {
            "key-a": ("preference", "support"),
            "key-b": ("body", "pitfall"),
        }
        versions = await at.engine.store.skill_versions(after.id)
        assert [version.reason for version in versions] == ["learned from 1 run", "merged, with 1 run"]
        assert [version.parents for version in versions] == [(), (1,)]


async def test_the_steps_of_the_shorter_success_stay_when_a_longer_one_is_merged(tmp_path: Path) -> None:
    def answer(read: Read) -> Json:
        merge = {"relation": "merge", "skill": "s1"} if read.skills else {}
        return learned(refunds(read, **merge))

    async with school(tmp_path, says(answer)) as at:
        await at.learn(order("a"))
        before = await at.skill()
        await at.learn(wordy("b"))
        after = await at.skill()
        assert [step.tool_name for step in after.body.tool_sops] == [s.tool_name for s in before.body.tool_sops]
        assert len(after.evidence) == 2


async def test_superseding_puts_the_new_in_place_of_the_old_and_says_why(tmp_path: Path) -> None:
    def answer(read: Read) -> Json:
        if not read.skills:
            return learned(refunds(read, pitfalls=[{"text": "refund order once", "messages": ["m1"]}]))
        why = "the user wants to know the amount first"
        return learned(refunds(read, relation="supersede", skill="s1", reason=why))

    async with school(tmp_path, says(answer)) as at:
        await at.learn(order("a"))
        before = await at.skill()
        await at.learn(wordy("b"))
        after = await at.skill()
        assert (after.id, after.version) == (before.id, 2)
        assert [step.tool_name for step in after.body.tool_sops] == ["get_user", "get_order", "refund_order"]
        assert after.body.pitfalls == ()
        (_, version) = await at.engine.store.skill_versions(after.id)
        assert version.reason == "superseded: the user wants to know the amount first, with 1 run"


async def test_a_merge_with_another_procedure_makes_a_skill_of_its_own(tmp_path: Path) -> None:
    def answer(read: Read) -> Json:
        merge = {"relation": "merge", "skill": "s1"} if read.skills else {}
        use_when = "ship a parcel at once" if "ship" in read.last_call[2] else "refund an order"
        return learned(experience(read, use_when=use_when, **merge))

    ship = Talk("b").user("Ship the parcel. Always ask me first.").does("ship_parcel", "ok").agent("ok").ends("success")
    async with school(tmp_path, says(answer)) as at:
        await at.learn(order("a"))
        await at.learn(ship)
        assert sorted(skill.body.use_when for skill in await at.skills()) == [
            "refund an order",
            "ship a parcel at once",
        ]


async def test_what_is_known_already_only_adds_evidence(tmp_path: Path) -> None:
    def answer(read: Read) -> Json:
        if not read.skills:
            return learned(refunds(read))
        return learned({"runs": ["r1"], "relation": "nothing", "skill": "s1"})

    async with school(tmp_path, says(answer)) as at:
        await at.learn(order("a"))
        await at.learn(order("b", "31"))
        skill = await at.skill()
        assert (skill.version, len(skill.evidence), len(at.llm.requests)) == (1, 2, 2)


async def test_two_of_one_lesson_that_say_the_same_become_one(tmp_path: Path) -> None:
    def answer(read: Read) -> Json:
        return learned(experience(read, use_when="send the weekly report", place="reports"))

    def report(name: str, tool: str) -> Talk:
        talk = Talk(name).user("Send the weekly report. Always use the blue form.").does(tool, {"id": "form_77"})
        return talk.does("send_report", "ok", form="form_77").agent("Sent.").ends("success")

    async with school(tmp_path, says(answer)) as at:
        await at.learn(report("a", "get_form"), report("b", "get_form"), report("c", "find_other"))
        assert len(at.llm.requests) == 2
        skills = await at.skills()
        assert sorted(len(skill.evidence) for skill in skills) == [1, 2]
    async with school(tmp_path / "again", says(lambda read: answer(read) | {"scores": []}), batch=1) as at:
        await at.learn(report("a", "get_form"), report("b", "get_form"))
        assert len(at.llm.requests) == 2
        assert len((await at.skill()).evidence) == 2


async def test_learning_the_same_task_again_changes_its_skill_and_makes_no_other(tmp_path: Path) -> None:
    talk = order("a")
    async with school(tmp_path, says(lambda read: learned(refunds(read, use_when=f"refund {len(read.calls)}")))) as at:
        await at.learn(talk)
        before = await at.skill()
        count = len(talk.messages)
        talk.user("And please refund the shipping costs of order W7799 now").does(
            "refund_order", "ok", order_id="W7799"
        )
        talk.agent("Done.").ends("success", "verifier")
        await at.engine.append(before.evidence[0].session_id, talk.messages[count:], talk.outcomes[1:])
        await at.tell()
        await at.learn()
        assert before.id in {skill.id for skill in await at.skills()}
        assert len(await at.skills()) <= 2


# ------------------------------------------------------------------------------------------- whose it is


async def test_a_skill_that_a_person_edited_stays_as_it_is(tmp_path: Path) -> None:
    def answer(read: Read) -> Json:
        if not read.skills:
            return learned(refunds(read))
        assert "(a person wrote it: it stays as it is)" in read.text
        return learned(
            refunds(read, relation="merge", skill="s1", use_when="refund all orders"),
            refunds(read, relation="supersede", skill="s1"),
            refunds(read, relation="nothing", skill="s1"),
        )

    async with school(tmp_path, says(answer)) as at:
        await at.learn(order("a"))
        skill = await at.skill()
        await at.engine.update_block(at.space.id, skill.id, title="my own words", props={"preferences": "ask"})
        mine = await at.skill()
        await at.learn(order("b", "31"))
        assert await at.skill() == mine
        assert await at.engine.store.undigested(at.space.id) == []


async def test_a_skill_of_the_rules_that_the_model_merges_into_is_the_models(tmp_path: Path) -> None:
    def answer(read: Read) -> Json:
        return learned(refunds(read, relation="merge", skill="s1"))

    async with school(tmp_path, says(answer)) as at:
        model = at.engine.worker._learner
        await rules_learn(at)
        await at.learn(order("a"))
        by_rules = await at.skill()
        assert by_rules.origin == "rules"
        at.engine.worker._learner = model
        await at.learn(order("b", "31"))
        merged = await at.skill()
        assert (merged.id, merged.origin, merged.version) == (by_rules.id, "model", 2)
        await rules_learn(at)
        await at.learn(order("c", "55"))
        assert await at.skill() == merged


async def test_rules_make_no_skill_beside_the_models_and_retire_what_it_took_over(tmp_path: Path) -> None:
    async with school(tmp_path, [learned_refund()]) as at:
        await at.learn(order("a"))
        await rules_learn(at)
        await at.learn(*(order(f"s{n}", str(10 + n)) for n in range(6)))
        assert [skill.origin for skill in await at.skills()] == ["model"]
        other = Talk("z").user("Ship it").does("ship_parcel", "ok").agent("ok").ends("success")
        await at.learn(other)
        assert sorted(skill.origin for skill in await at.skills()) == ["model", "rules"]


async def test_what_is_learned_where_people_confirm_waits(tmp_path: Path) -> None:
    async with school(tmp_path, [learned_refund()], configs={"confirm": True}) as at:
        await at.learn(order("a"))
        assert (await at.skill()).status == "pending_confirmation"


# ------------------------------------------------------------------------------------------------ placing


def test_titles_of_pages_are_short_and_plain() -> None:
    assert title_of_page("Find NBA players!") == "find_nba_players"
    assert title_of_page("SOP: skills & preferences for refunds") == "for_refunds"
    assert title_of_page("one two three four five six") == "one_two_three_four_five"
    assert title_of_page("skills") == ""


def test_folders_are_for_spaces_with_many_pages() -> None:
    few = [("orders",), ("parcels",)]
    many = [*few, ("a",), ("b",), ("c",), ("shop", "returns")]
    assert page_at("shop/refunds", few) == ("refunds",)
    assert page_at("shop/refunds", many) == ("shop", "refunds")
    assert page_at("new_folder/refunds", many) == ("new_folder", "refunds")
    assert page_at("Shop/Returns", many) == ("shop", "returns")
    assert page_at("My Own Page", [("My Own Page",)]) == ("My Own Page",)
    assert page_at("//", many) == ()


async def test_a_skill_goes_to_the_page_that_is_there(tmp_path: Path) -> None:
    def answer(read: Read) -> Json:
        assert "GTM" in read.text
        return learned(refunds(read, place="github/GTM"))

    async with school(tmp_path, says(answer)) as at:
        folder = await at.engine.create_block(at.space.id, block_type="folder", title="github")
        await at.engine.create_block(at.space.id, block_type="page", parent_id=folder.id, title="GTM")
        await at.learn(order("a"))
        (root,) = await at.engine.store.blocks(at.space.id, tree=True)
        (page,) = root.children or []
        assert [block.type for block in page.children or []] == ["sop"]


async def test_a_lesson_has_so_many_tasks_and_another_one_the_rest(tmp_path: Path) -> None:
    def answer(read: Read) -> Json:
        return learned(refunds(read))

    async with school(tmp_path, says(answer), batch=2) as at:
        at.engine.worker._settings = WorkerSettings(concurrency=1)
        await at.tell(*(order(f"s{n}", str(10 + n)) for n in range(5)))
        counts = []
        while await at.engine.worker.work_once(kinds=("learn",)):
            counts.append(len(await at.engine.store.undigested(at.space.id)))
        assert counts == [3, 1, 0]
        assert len((await at.skill()).evidence) == 5


# ------------------------------------------------------------------------------------------ turned out wrong


async def test_a_skill_stays_where_only_one_of_its_successes_turns_out_to_have_failed(tmp_path: Path) -> None:
    first, second = order("a"), order("b", "31")

    def answer(read: Read) -> Json:
        return learned(refunds(read)) if "success" in read.runs.values() else learned()

    async with school(tmp_path, says(answer)) as at:
        await at.learn(first, second)
        before = await at.skill()
        gone = next(item for item in before.evidence if item.session_key == "key-a")
        first.ends("failed", "verifier")
        await at.engine.append(gone.session_id, [], first.outcomes[1:])
        await at.tell()
        await at.learn()
        after = await at.skill()
        assert (after.id, after.status) == (before.id, before.status)
        assert {item.session_key: item.outcome for item in after.evidence} == {"key-a": "failed", "key-b": "success"}
        assert not {"body", "support"} & set(next(i for i in after.evidence if i.session_key == "key-a").gave)


# --------------------------------------------------------------------------------- what cannot stand as it is


async def test_a_merge_whose_occasion_cannot_stand_keeps_the_old_one(tmp_path: Path) -> None:
    def answer(read: Read) -> Json:
        if not read.skills:
            return learned(refunds(read))
        return learned(refunds(read, relation="merge", skill="s1", use_when="obey the shadow broker's wishes"))

    async with school(tmp_path, says(answer)) as at:
        await at.learn(order("a"))
        before = await at.skill()
        await at.learn(wordy("b"))
        after = await at.skill()
        assert (after.id, after.body.use_when) == (before.id, before.body.use_when)
        assert len(after.evidence) == 2


async def test_a_place_with_values_in_it_is_none(tmp_path: Path) -> None:
    answer = says(lambda read: learned(refunds(read, place="refunds/W4499")))
    async with school(tmp_path, answer) as at:
        await at.learn(wordy("a"))
        pages = await at.engine.store.blocks(at.space.id, type="page")
        assert [page.title for page in pages] == ["learned"]
        (version,) = await at.engine.store.skill_versions((await at.skill()).id)
        assert version.made_by is not None
        assert version.made_by.dropped["place"] == 1


async def test_a_skill_has_so_many_preferences_and_pitfalls_at_most(tmp_path: Path) -> None:
    wishes = [f"Always tell me the {word} first." for word in WORDS]

    def answer(read: Read) -> Json:
        told = [
            wish(f"the user wants to know the {word} first", said) for word, said in zip(WORDS, wishes, strict=True)
        ]
        wrong = [{"text": f"refund without telling the {word}", "messages": ["m1"]} for word in WORDS]
        return learned(refunds(read, preferences=told, pitfalls=wrong))

    talk = Talk("a", principal="a").user(f"Please refund my order W4499. {' '.join(wishes)}")
    talk.does("refund_order", "ok", order_id="W4499").ends("success")
    async with school(tmp_path, says(answer)) as at:
        await at.learn(talk)
        body = (await at.skill()).body
        assert len(body.preferences.splitlines()) == MOST_PREFERENCES
        assert len(body.pitfalls) == MOST_PITFALLS
