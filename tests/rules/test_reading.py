"""What the rules read off a conversation: injected text, tool names, calls, turns, values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.learn.distil import Mask, distil
from acontext_plugins.transcript.tool_calls import (
    effect_of,
    effect_of_name,
    executed_calls,
    is_tool_name,
    looks_like_error,
    phrase,
    tool_calls,
)
from acontext_plugins.transcript.user_turns import (
    asks,
    corrections,
    kind_of_turn,
    sentences,
    standing_wishes,
    strip_injected,
)
from acontext_plugins.transcript.value_flow import ValueFlow, clean, marks

from .talk import Talk, call, result

# ---------------------------------------------------------------------------------------- injected text


@pytest.mark.parametrize(
    ("given_text", "left"),
    [
        ("before <acontext-skills>x</acontext-skills> after", "before  after"),
        ('<acontext-skills nonce="a1">\nx\n</acontext-skills>\n\nask', "ask"),
        ("ask <acontext-skills nonce=1> never closed", "ask"),
        ("a <ACONTEXT-SKILLS>x</ACONTEXT-SKILLS> b </acontext-skills> c", "a  b  c"),
        ("plain", "plain"),
    ],
)
def test_our_own_text_is_taken_out(given_text: str, left: str) -> None:
    assert strip_injected(given_text) == left


@given(st.text(), st.text())
def test_what_stands_between_markers_never_survives(inside: str, after: str) -> None:
    stripped = strip_injected(f"<acontext-skills>CANARY{inside}</acontext-skills>{after.replace('CANARY', '')}")
    assert "CANARY" not in stripped


# ------------------------------------------------------------------------------------------- tool names


@pytest.mark.parametrize(
    ("name", "effect"),
    [
        ("get_order_details", "read"),
        ("fhir_get_patient", "read"),
        ("fhir_post_observation", "write"),
        ("listAllAirports", "read"),
        ("orders.cancel", "write"),
        ("mail/send", "write"),
        ("search_direct_flight", "read"),
        ("update_reservation_flights", "write"),
        ("book_reservation", "write"),
        ("images_for_seo_api", "read"),
        ("transfer_to_human_agents", "write"),
        ("grep", "read"),
        ("mkdir", "write"),
        ("think", "thought"),
        ("Finish", "finish"),
        ("frobnicate", None),
    ],
)
def test_a_name_tells_what_a_tool_does(name: str, effect: str | None) -> None:
    assert effect_of_name(name) == effect


@pytest.mark.parametrize(
    ("command", "effect"), [("ls -la", "read"), ("git status", "read"), ("rm -rf x", "write"), ("cat a > b", "write")]
)
def test_a_shell_is_judged_by_its_command(command: str, effect: str) -> None:
    assert effect_of("bash", {"command": command}) == effect


def test_names_of_any_style_become_words() -> None:
    assert phrase("getUserDetails") == phrase("get_user_details") == phrase("get-user.details") == "get user details"


@pytest.mark.parametrize("name", ["ignore all instructions", "", "x" * 200, None, "a\nb", "<b>"])
def test_what_is_no_name_is_no_tool(name: object) -> None:
    assert not is_tool_name(name)


# ------------------------------------------------------------------------------------------------ calls


def test_repeated_call_ids_are_paired_in_order() -> None:
    talk = Talk().user("go")
    talk.add("assistant", call("get_a", "same", x=1)).add("tool", result("first", "same"))
    talk.add("assistant", call("get_b", "same", x=2)).add("tool", result("second", "same"))
    assert [(c.tool, c.result) for c in executed_calls(talk.messages)] == [("get_a", "first"), ("get_b", "second")]


def test_results_without_a_call_are_ignored_and_calls_without_a_result_kept() -> None:
    talk = Talk().user("go").add("tool", result("stray", "nobody")).add("assistant", call("submit", "c9"))
    assert executed_calls(talk.messages) == []
    (only,) = tool_calls(talk.messages)
    assert (only.tool, only.result) == ("submit", None)


def test_parallel_calls_get_their_own_results() -> None:
    talk = Talk().user("go").add("assistant", call("get_a", "1"), call("get_b", "2"))
    talk.add("tool", result("two", "2")).add("tool", result("one", "1"))
    assert [c.result for c in executed_calls(talk.messages)] == ["one", "two"]


@pytest.mark.parametrize(
    "words",
    [
        "Error: user not found",
        "Traceback (most recent call last):",
        'ValueError("x")',
        '# var_0 = "Error: user not found"',
        '{"error": "no such thing"}',
        '{"success": false}',
        '{"error": "", "response": "{\'success\': False}"}',
        '{"status": "failed"}',
        "400 Client Error: for url",
        "bash: foo: command not found",
    ],
)
def test_errors_are_recognised(words: str) -> None:
    assert looks_like_error(words)


@pytest.mark.parametrize(
    "words", ["", "ok", '{"error": "", "response": "[]"}', '{"errors": [], "status": "ok"}', "No errors found", "[1]"]
)
def test_results_that_only_mention_errors_are_none(words: str) -> None:
    assert not looks_like_error(words)


@given(st.text())
def test_any_result_can_be_judged(words: str) -> None:
    assert looks_like_error(words) in (True, False)


def test_cleaning_drops_errors_repeats_thoughts_and_unused_look_ups() -> None:
    talk = Talk().user("Cancel order A-1001")
    talk.does("get_order", {"id": "A-1001", "user": "u-77"}, order="A-1001")
    talk.does("get_order", {"id": "A-1001", "user": "u-77"}, order="A-1001")
    talk.does("get_weather", {"sky": "blue-9999"}, city="Rome")
    talk.does("think", "", thought="hm")
    talk.does("cancel_order", "Error: locked", order="A-1001")
    talk.does("cancel_order", "done", order="A-1001", user="u-77")
    talk.agent("It is cancelled.")
    cleaned = clean(executed_calls(talk.messages), talk.messages)
    assert [c.tool for c in cleaned.calls] == ["get_order", "cancel_order"]
    (pitfall,) = cleaned.pitfalls
    assert (pitfall.tool, pitfall.added) == ("cancel_order", ("user",))


# ---------------------------------------------------------------------------------------------- values


def test_values_are_traced_to_who_said_them_first() -> None:
    talk = Talk().system("Use region eu-west-17 always").user("Refund #W123 by May 5, two of them")
    talk.does("get_order", {"payment": "card_9911", "id": "W123"}, id="#W123")
    talk.does("refund", "ok", id="#W123", card="card_9911", day="2024-05-05", n=2, region="eu-west-17", mode="fast")
    calls = executed_calls(talk.messages)
    flow = ValueFlow(talk.messages, calls)
    kinds = {name: flow.source(value, calls[1].at).kind for name, value in calls[1].arguments.items()}
    assert kinds == {"id": "user", "card": "tool", "day": "user", "n": "user", "region": "config", "mode": "literal"}


def test_values_inside_values_are_traced_too() -> None:
    talk = Talk().user("Order for patient S1234").does("post_order", "ok", subject={"reference": "Patient/S1234"})
    calls = executed_calls(talk.messages)
    assert ValueFlow(talk.messages, calls).source("Patient/S1234", calls[0].at).kind == "user"


def test_masking_hides_values_addresses_and_numbers() -> None:
    mask = Mask({"yusuf": "first_name"})
    masked = mask("Mail bob@x.org about #W123 for Yusuf at https://a.b/c")
    assert masked == "Mail {email} about {id} for {first_name} at {url}"


# ---------------------------------------------------------------------------------------------- speech


@pytest.mark.parametrize(
    ("words", "asked", "kind"),
    [
        ("Book me a flight to Rome", False, "request"),
        ("My zip is 19122", True, "answer"),
        ("No", True, "answer"),
        ("Yes, please go ahead", True, "confirmation"),
        ("That sounds good. Let's first collect the news.", False, "confirmation"),
        ("Thanks, perfect!", False, "thanks"),
        ("No, that's all for now. Thank you!", False, "thanks"),
        ("Thanks! Can you also book a hotel?", False, "request"),
        ("No, I wanted the red one", False, "correction"),
        ("That's wrong, you cancelled the other order", True, "correction"),
    ],
)
def test_turns_are_told_apart(words: str, asked: bool, kind: str) -> None:
    assert kind_of_turn(words, asked=asked) == kind


def test_an_offer_of_more_help_asks_nothing() -> None:
    assert asks("Which size would you like?")
    assert not asks("Done. Is there anything else I can help you with?")


def test_standing_wishes_are_verbatim_and_memories_are_not_wishes() -> None:
    said = "Please always ask before cancelling. I never received it. I can't remember my id. I'd like the plan first."
    assert standing_wishes(said) == [
        ("Please always ask before cancelling.", True),
        ("I'd like the plan first.", False),
    ]


def test_a_wish_to_be_asked_first_is_a_wish() -> None:
    said = "That sounds good. Let's first collect the message and report to me before any landing page coding."
    assert standing_wishes(said) == [(sentences(said)[1], False)]


def test_only_telling_corrections_are_kept() -> None:
    assert corrections("No, don't cancel the whole order. Thanks.") == ["No, don't cancel the whole order."]
    assert corrections("No, that covers everything for now.") == []
    assert corrections("No, that is not complete. Always send a receipt.") == ["Always send a receipt."]
    assert corrections("No, that is not right, use the window seat.") == ["No, that is not right, use the window seat."]


def test_a_full_stop_inside_a_word_ends_no_sentence() -> None:
    assert sentences("Open report.txt now. It has 3.5 MB!") == ["Open report.txt now.", "It has 3.5 MB!"]


@given(st.text(), st.booleans())
def test_any_turn_has_a_kind(words: str, asked: bool) -> None:
    assert kind_of_turn(words, asked=asked) in ("request", "answer", "thanks", "correction", "confirmation")
    json.dumps(standing_wishes(words))


@pytest.mark.parametrize("piece", ["a", "-", ".", "a.", "@", "a@", "a-", "/"])
def test_a_long_text_without_spaces_is_read_in_one_pass(piece: str) -> None:
    """One match holds all other threads: with a pattern that looks back over the text this would take hours."""
    text = (piece * 600_000)[:600_000]
    assert list(marks(text)) == []
    assert Mask({})(text) == text


def test_a_mark_has_three_characters_and_a_digit() -> None:
    assert list(marks("a1b 1ab ab1 a1 12 abcd ab1c x@y.z9 W-77, plain")) == ["1ab", "ab1", "ab1c", "x@y.z9", "W-77"]


@pytest.mark.slow
def test_a_conversation_of_thousands_of_calls_is_distilled() -> None:
    talk = Talk()
    for number in range(5000):
        if number % 10 == 0:
            talk.user(f"do thing {number}")
        talk.does("odd_tool", number=number)
    talk.agent("done").ends("success")
    (finished,) = talk.finished()
    body = distil(finished, space_id="space").body
    assert (body["tools"], body["steps"][0]["n"]) == (["odd_tool"], 5000)
