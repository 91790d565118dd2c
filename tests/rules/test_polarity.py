"""Whether words say no where the user did: half of a sentence is verbatim, too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.transcript.negation import negates, turns, unturned

SAID = (
    "Thanks a lot! Never refund without asking me. I don't like e-mails, call me. N'envoyez pas d'e-mails. 不要发邮件。"
)


@pytest.mark.parametrize(
    ("text", "quote", "turned"),
    [
        ("user wants to be asked before a refund", "Never refund without asking me", False),
        ("user never wants a refund without being asked", "Never refund without asking me.", False),
        ("user wants refunds without asking", "refund without asking me", True),
        ("user wants a refund", "refund", False),
        ("user does not like e-mails", "I don't like e-mails", False),
        ("user likes e-mails", "like e-mails", True),
        ("user likes e-mails", "I don't like e-mails, call me.", True),
        ("user wants a call", "call me", False),
        ("user doesn’t want e-mails", "don't like e-mails", False),
        ("l'utilisateur veut des e-mails", "N'envoyez pas d'e-mails", True),
        ("l'utilisateur ne veut pas d'e-mails", "N'envoyez pas d'e-mails", False),
        ("用户不想要邮件", "不要发邮件", False),
        ("用户要邮件", "发邮件", True),
        ("user likes e-mails", "nobody said this", True),
    ],
)
def test_half_a_sentence_does_not_turn_it_round(text: str, quote: str, turned: bool) -> None:
    assert turns(text, quote, SAID) is turned


@pytest.mark.parametrize(
    ("quote", "said", "kept"),
    [
        ("refund without asking me", SAID, "Never refund without asking me."),
        ("like e-mails", SAID, "I don't like e-mails,"),
        ("call me", SAID, "call me"),
        ("Thanks a lot", SAID, "Thanks a lot"),
        ("ever pay twice", "Never, ever pay twice.", "Never, ever pay twice."),
        ("the terrace", "Use the terrace, and never the cellar", "the terrace"),
        ("the cellar", "Use the terrace, and never the cellar", "and never the cellar"),
        ("pay", "Please do not, whatever they say, pay.", "pay"),
        ("发邮件", "请先打电话，不要发邮件。", "不要发邮件。"),
    ],
)
def test_a_quote_that_says_something_else_than_its_clause_becomes_the_clause(quote: str, said: str, kept: str) -> None:
    assert unturned(quote, said) == kept


def test_to_say_no_to_a_no_is_to_say_yes() -> None:
    assert [negates(text) for text in ("do it", "never do it", "never do it without me", "")] == [
        False, True, False, False,
    ]  # fmt: skip


@given(st.text(max_size=200), st.text(max_size=40))
def test_any_words_can_be_compared(said: str, quote: str) -> None:
    assert turns(quote, quote, said) in (True, False)
    assert unturned(quote, said) or not quote
    assert not turns(unturned(quote, said), quote, said)
